"""From waits to commands: what a worker must be told, with everything that it needs loaded in one go (rule C2)."""

from collections import OrderedDict
from collections.abc import Iterable, Sequence

from orchestrator.arguments import Plan, compose, plans_of
from sagas.events import Json
from sagas.manifest import Handler, Manifest, Node, Role
from sagas.points import buggify
from sagas.ports import Command, Store
from sagas.state import State, Value, Wait

NO_HANDLER = Handler(function="")
Wanted = tuple[Manifest, State, Wait]


def role_of(wait: Wait) -> Role:
    """Which function of the step a command wait is about."""
    match wait.kind:
        case "step" | "undo" | "probe" | "fallback":
            return wait.kind
        case _:
            raise ValueError(f"a wait of kind {wait.kind} is no command")


def handler_of(node: Node, role: Role) -> Handler:
    """The handler of a role. A transaction step's probe is built in and takes nothing (rule O3)."""
    match role:
        case "step":
            return node.handler or NO_HANDLER
        case "undo":
            return node.undo or NO_HANDLER
        case "probe":
            return node.probe or NO_HANDLER
        case "fallback":
            return node.fallback or NO_HANDLER


def timeout_of(node: Node, role: Role) -> float:
    """Seconds that one execution may take."""
    return (
        (node.handler or NO_HANDLER).timeout
        if role == "probe" and node.probe is None
        else handler_of(node, role).timeout
    )


class Values:
    """Results that were seen lately, so that the next step's command needs no query. Holds at most `limit` of them."""

    def __init__(self, limit: int = 8192) -> None:
        self._limit = limit
        self._found: OrderedDict[tuple[str, int], Json] = OrderedDict()

    def keep(self, saga_id: str, sequence: int, value: Json) -> None:
        """Remember the value that the event `sequence` carries."""
        self._found[saga_id, sequence] = value
        if len(self._found) > self._limit:
            self._found.popitem(last=False)

    async def load(self, store: Store, wanted: Iterable[tuple[str, Value]]) -> dict[tuple[str, Value], Json]:
        """The values behind these references, those that are not remembered from the store."""
        found: dict[tuple[str, Value], Json] = {}
        missing: list[tuple[str, Value]] = []
        for saga_id, value in dict.fromkeys(wanted):
            key = (saga_id, value.event or 0)
            if value.event is not None and key in self._found and not buggify("values.forgotten"):
                found[saga_id, value] = self._found[key]
            else:
                missing.append((saga_id, value))
        if missing:
            found.update(zip(missing, await store.values(missing), strict=True))
        return found


async def commands_for(store: Store, values: Values, wanted: Sequence[Wanted]) -> list[Command]:
    """The commands that these waits owe, in their order."""
    plans: list[dict[str, Plan]] = []
    needed: list[tuple[str, Value]] = []
    for manifest, state, wait in wanted:
        node = manifest.by_name[wait.step or ""]
        found = plans_of(manifest, state, node, wait.item, handler_of(node, role_of(wait)))
        plans.append(found)
        needed += [(state.saga_id, value) for plan in found.values() for value in plan.needed()]
    loaded = await values.load(store, needed) if needed else {}
    return [_command(entry, found, loaded) for entry, found in zip(wanted, plans, strict=True)]


def _command(entry: Wanted, plans: dict[str, Plan], loaded: dict[tuple[str, Value], Json]) -> Command:
    manifest, state, wait = entry
    node = manifest.by_name[wait.step or ""]
    role = role_of(wait)
    step = state.step(node.name, wait.item)

    def load(value: Value) -> Json:
        return loaded[state.saga_id, value]

    return Command(
        saga_id=state.saga_id,
        opened_by=wait.opened_by,
        definition=state.definition,
        fingerprint=state.fingerprint,
        step=node.name,
        item=wait.item,
        role=role,
        attempt=wait.attempt,
        queue=node.queue,
        priority=node.priority,
        timeout=timeout_of(node, role),
        arguments={name: compose(plan, load) for name, plan in plans.items() if plan.payload is None},
        payloads={name: plan.payload for name, plan in plans.items() if plan.payload is not None},
        given={name: plan.given for name, plan in plans.items() if plan.given is not None},
        turning_back=state.status == "compensating",
        cause=str(step.error["message"]) if role == "fallback" and step.error else None,
        evidence=step.evidence if role == "undo" or (role == "probe" and step.tried == "fallback") else 0,
        trace=state.trace,
    )
