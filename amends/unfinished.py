"""Sagas that may still run something: what has not ended, and what has ended and may yet be undone."""

from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass

from sagas.listing import SagaFilter
from sagas.manifest import Manifest
from sagas.migrating import pivot_passed
from sagas.ports import Store
from sagas.state import State

PAGE = 500


@dataclass(frozen=True, slots=True)
class Page:
    """Heads, and by fingerprint the versions that they go by; one of a newer program is not among these."""

    heads: Sequence[State]
    manifests: Mapping[str, Manifest]


async def unfinished(store: Store) -> AsyncGenerator[Page]:
    """All sagas that may still run something, a page at a time, each once.

    These have not ended, or wait for an operator after their end; and the completed children of those that may turn
    them back (rule B5). Children are read by their ids: two queries at most for each generation of a page.

    Raises:
        StoreUnavailable: the database is away.
    """
    known: dict[str, Manifest] = {}
    after: str | None = None
    while True:
        rows = await store.sagas(SagaFilter(may_run=True, after=after, limit=PAGE))
        heads = [row.state for row in rows]
        while heads:
            if missing := sorted({head.fingerprint for head in heads} - known.keys()):
                known |= await store.manifests(missing)
            yield Page(heads, known)
            children = [child for head in heads for child in _children(known.get(head.fingerprint), head)]
            found = await store.heads(children) if children else {}
            heads = [head for head in found.values() if head.status == "completed"]
        if len(rows) < PAGE:
            return
        after = rows[-1].cursor


def _children(manifest: Manifest | None, head: State) -> list[str]:
    """The children that a saga may turn back."""
    if manifest is None or head.newer or head.status == "compensated" or pivot_passed(manifest, head):
        return []
    return [step.child for step in head.steps.values() if step.child is not None and step.status != "undone"]
