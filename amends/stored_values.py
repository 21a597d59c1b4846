"""Values that open sagas hold, seen by another version of their definition: what its paths read, and its types refuse.

A page of sagas costs at most two queries, whatever its size.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from sagas.facts import facts_of
from sagas.manifest import Manifest
from sagas.ports import Store
from sagas.seal import Sealed
from sagas.state import State, Value


@dataclass(frozen=True, slots=True)
class Seen:
    """What the new version makes of a saga's values: the facts that it needs, and what does not fit its types."""

    facts: dict[str, bool | int]
    unfit: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Look:
    source: str
    item: int | None
    value: Value


async def see(
    store: Store, sagas: Sequence[tuple[Manifest, State]], new: Manifest, types: Sealed | None
) -> dict[str, Seen]:
    """Look at the values of these sagas, each with the version that it goes by; without `types` at facts alone."""
    asked = [(state.saga_id, look) for old, state in sagas for look in _looks(old, new, state)]
    values = await store.values([(saga_id, look.value) for saga_id, look in asked]) if asked else []
    facts: dict[str, dict[str, bool | int]] = {state.saga_id: {} for _, state in sagas}
    unfit: dict[str, list[str]] = {state.saga_id: [] for _, state in sagas}
    known = {state.saga_id: state.facts for _, state in sagas}
    for (saga_id, look), value in zip(asked, values, strict=True):
        if look.item is None:
            found = facts_of(new, look.source, value)
            facts[saga_id] |= {path: fact for path, fact in found.items() if path not in known[saga_id]}
        node = None if look.source == "input" else look.source
        if types is not None and value is not None and (why := types.refuses(node, value)) is not None:
            what = "the input" if node is None else f"what '{node}' gave"
            unfit[saga_id].append(f"{what} is none of the new type: {why}")
    return {saga_id: Seen(facts[saga_id], tuple(unfit[saga_id])) for saga_id in facts}


def _looks(old: Manifest, new: Manifest, state: State) -> list[_Look]:
    """The values that new paths read, or whose type has changed."""
    sources = {path.partition(".")[0] for path, kind in new.paths if f"{kind}:{path}" not in state.facts}
    found: list[_Look] = []
    if "input" in sources or old.input_schema != new.input_schema:
        found.append(_Look("input", None, state.input))
    for (name, item), step in state.steps.items():
        before, after = old.by_name.get(name), new.by_name.get(name)
        if before is None or after is None or step.result is None:
            continue
        if name in sources or before.result_schema != after.result_schema:
            found.append(_Look(name, item, step.result))
    return found
