"""Before a deploy: which open sagas the new definitions could not serve, why, and what to do."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from amends.stored_values import see
from amends.unfinished import Page, unfinished
from sagas.events import Json
from sagas.manifest import Manifest
from sagas.ports import Store
from sagas.seal import Sealed
from sagas.serving import Gap, gaps_of
from sagas.state import State
from sagas.versions import what_it_needs

SHOWN = 3
VALUES = "let the new type read what was stored (a default for a new field), or deploy when they have ended"


@dataclass(frozen=True, slots=True)
class Unserved:
    """Open sagas of one version that could not be served, for one reason."""

    definition: str
    fingerprint: str
    gap: Gap
    sagas: tuple[str, ...]

    def document(self) -> dict[str, Json]:
        """For machines."""
        return {
            "definition": self.definition, "fingerprint": self.fingerprint, "why": self.gap.what,
            "remedy": self.gap.remedy, "sagas": list(self.sagas),
        }  # fmt: skip

    def lines(self) -> list[str]:
        """For people."""
        some = ", ".join(self.sagas[:SHOWN]) + (", …" if len(self.sagas) > SHOWN else "")
        count = f"{len(self.sagas)} open saga{'s' if len(self.sagas) != 1 else ''}"
        return [
            f"{self.definition} {self.fingerprint[:6]}: {count} cannot be served: {self.gap.what}",
            f"  {some}",
            f"  what to do: {self.gap.remedy}",
        ]


@dataclass(slots=True)
class Outlook:
    """How many sagas are open, or may yet be undone, and which of them could not be served."""

    open: int = 0
    _found: dict[tuple[str, str, Gap], list[str]] = field(default_factory=dict[tuple[str, str, Gap], list[str]])

    def add(self, state: State, gap: Gap) -> None:
        """One of them cannot, for this reason."""
        self._found.setdefault((state.definition, state.fingerprint, gap), []).append(state.saga_id)

    @property
    def unserved(self) -> list[Unserved]:
        """By definition, version and reason."""
        return [Unserved(*key, tuple(ids)) for key, ids in sorted(self._found.items(), key=lambda entry: str(entry[0]))]


async def look_ahead(store: Store, sagas: Mapping[str, Sealed]) -> Outlook:
    """Look at every saga that may still run something, a page at a time; at most five queries a page.

    Raises:
        StoreUnavailable: the database is away.
    """
    outlook = Outlook()
    async for page in unfinished(store):
        outlook.open += len(page.heads)
        readable = [
            (page.manifests[head.fingerprint], head) for head in page.heads if _is_readable(outlook, page, head)
        ]
        unborn = await _unborn(store, [head for _, head in readable])
        for old, head in readable:
            for gap in gaps_of(old, head, sagas, unborn):
                outlook.add(head, gap)
        await _look_at_values(outlook, store, readable, sagas)
    return outlook


def _is_readable(outlook: Outlook, page: Page, head: State) -> bool:
    if not head.newer and head.fingerprint in page.manifests:
        return True
    outlook.add(head, Gap(what_it_needs(head.release), "deploy with that version of amends"))
    return False


async def _unborn(store: Store, heads: Sequence[State]) -> set[str]:
    """The children that these wait for and whose start nobody has taken yet."""
    awaited = {step.child for head in heads for step in head.steps.values() if step.child and step.status == "running"}
    return awaited - (await store.heads(sorted(awaited))).keys() if awaited else set()


async def _look_at_values(
    outlook: Outlook, store: Store, readable: Sequence[tuple[Manifest, State]], sagas: Mapping[str, Sealed]
) -> None:
    """What was given already must fit the new types, where these have changed."""
    for name, sealed in sagas.items():
        mine = [(old, head) for old, head in readable if head.definition == name and old != sealed.manifest]
        seen = await see(store, mine, sealed.manifest, sealed) if mine else {}
        for _, head in mine:
            for why in seen[head.saga_id].unfit:
                outlook.add(head, Gap(why, VALUES))
