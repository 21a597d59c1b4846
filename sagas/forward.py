"""Going forward: what can run now, what is skipped, and when everything is done."""

from typing import assert_never

from sagas import events as e
from sagas.draft import Draft
from sagas.family import child_id
from sagas.manifest import ITEMS_MAX, ITEMS_OPEN_MAX, Manifest, Node
from sagas.state import DONE, OPEN, PENDING, State
from sagas.statuses import StepStatus
from sagas.waiting import UNTIL

START_LIMIT = "schedule_timeout"


def item_count(manifest: Manifest, state: State, node: Node) -> int:
    """How many items a node with `each` has; what a skipped step would have given has none."""
    path = node.each or ""
    source = manifest.by_name.get(path)
    if source is not None and source.each is not None:
        skipped = state.step(source.name).status == "skipped"
        return 0 if skipped else item_count(manifest, state, source)
    return int(state.facts.get(f"each:{path}", 0))


def items_of(manifest: Manifest, state: State, node: Node) -> list[int | None]:
    """The keys of a node's records: `[None]`, or one index for each item. Of a list that is too long none ever is."""
    count = 0 if node.each is None else item_count(manifest, state, node)
    return [None, *range(count if count <= ITEMS_MAX else 0)]


def is_list(node: Node, item: int | None) -> bool:
    """Whether all items of the node are meant, and none of them: what fails so is a list that is too long."""
    return node.each is not None and item is None


def advance(draft: Draft) -> None:
    """Schedule every step whose turn it is, skip what is not needed, complete the saga when all has ended.

    One pass is enough, since a node is declared after all that it depends on (def_R3).
    """
    if draft.state.held or draft.state.status != "active":
        return
    ended: set[str] = set()
    for node in draft.manifest.nodes:
        if ended.issuperset(node.after) and (_is_done(draft.state, node) or _advance_node(draft, node)):
            ended.add(node.name)
    if len(ended) == len(draft.manifest.nodes) and draft.state.status == "active":
        draft.emit(e.SagaCompleted())


def _is_done(state: State, node: Node) -> bool:
    """Whether there is nothing to be done about the node, which all but lists know of themselves."""
    whole = state.steps.get((node.name, None))
    return whole is not None and whole.status in DONE and node.each is None


def _advance_node(draft: Draft, node: Node) -> bool:
    """Whether the node has ended well."""
    whole = draft.step(node, None)
    if whole.status == "skipped":
        return True
    begun = whole.status != "pending" or (node.each is not None and _has_items(draft.state, node.name))
    if not begun and (why := _skips(draft.state, node)) is not None:
        draft.emit(e.StepSkipped(step=node.name, why=why))
        return True
    if node.kind != "step":
        return _advance_wait(draft, node)
    if node.each is not None:  # a list that was too long waits for an operator, also once it is corrected
        return whole.status != "failed" and _advance_items(draft, node)
    if whole.status == "pending":
        schedule(draft, node, None, 1)
        return False
    return whole.status in DONE


def _has_items(state: State, name: str) -> bool:
    """Whether an item of a step is known: a correction may change what would have skipped it."""
    return any(step == name for step, _ in state.steps)


def _advance_wait(draft: Draft, node: Node) -> bool:
    """Open a wait whose turn has come; a signal that came before is taken at once (rule B6)."""
    if draft.step(node, None).status == "pending":
        match node.kind:
            case "signal":
                draft.emit(e.WaitOpened(step=node.name, kind="signal", due_in=node.timeout))
            case "sleep":
                draft.emit(e.WaitOpened(step=node.name, kind="timer", cause="sleep", due_in=node.length))
            case "sleep_until":
                pause_until(draft, node)
            case "child":
                start_child(draft, node)
            case "step":
                return False
            case _:
                assert_never(node.kind)
    return draft.step(node, None).status in DONE


def pause_until(draft: Draft, node: Node) -> None:
    """Open the timer of a `sleep_until`; one that is open already gives way to it."""
    until = draft.state.facts.get(f"moment:{node.moment}", 0) / 1000
    draft.emit(e.WaitOpened(step=node.name, kind="timer", cause=UNTIL, due_in=max(until - draft.now, 0.0)))


def schedule(draft: Draft, node: Node, item: int | None, attempt: int, cause: str = "first") -> None:
    """Owe an execution of the step, and its start limit. One that was refused has begun nothing: its limit goes on."""
    draft.emit(e.StepScheduled(step=node.name, item=item, attempt=attempt, cause=cause))
    if node.schedule_timeout is not None and draft.state.wait_of(node.name, item, "deadline") is None:
        draft.emit(
            e.WaitOpened(
                step=node.name, item=item, attempt=attempt, kind="deadline", cause=START_LIMIT,
                due_in=node.schedule_timeout,
            )
        )  # fmt: skip


def start_child(draft: Draft, node: Node) -> None:
    """Owe the child its start; another attempt is another child (rule B5)."""
    attempt = draft.step(node, None).attempt + 1
    child = child_id(draft.state.saga_id, node.name, attempt)
    draft.emit(e.ChildStarted(step=node.name, attempt=attempt, child_id=child, definition=node.child or ""))
    draft.emit(e.WaitOpened(step=node.name, attempt=attempt, kind="child"))


def _skips(state: State, node: Node) -> str | None:
    if node.when is not None and not state.facts.get(f"when:{node.when}", False):
        return "when"
    if node.unless is not None and state.facts.get(f"when:{node.unless}", False):
        return "unless"
    return None


def _advance_items(draft: Draft, node: Node) -> bool:
    count = item_count(draft.manifest, draft.state, node)
    if count > ITEMS_MAX:
        return False
    state = draft.state
    statuses: list[StepStatus] = [state.steps.get((node.name, index), PENDING).status for index in range(count)]
    if "pending" in statuses:
        under_way = sum(_is_open(state, node.name, index, status) for index, status in enumerate(statuses))
        room = max(min(node.concurrency or ITEMS_OPEN_MAX, ITEMS_OPEN_MAX) - under_way, 0)
        for index in [index for index, status in enumerate(statuses) if status == "pending"][:room]:
            schedule(draft, node, index, 1)
    return DONE.issuperset(statuses)


def _is_open(state: State, name: str, index: int, status: StepStatus) -> bool:
    """Whether an item is under way; one that is asked about may run again."""
    return status in OPEN or (status == "unknown" and state.wait_of(name, index, "probe", "retry") is not None)


def too_many_items(draft: Draft) -> Node | None:
    """The node whose list is longer than any may be, as soon as it is known to be needed."""
    state = draft.state
    for node in draft.manifest.lists:
        if draft.step(node, None).status != "pending":
            continue
        source = draft.manifest.by_name.get(node.each or "")
        of_another = source is not None and source.each is not None  # which has failed for its list already
        known = node.unless is None or _is_known(state, node.unless)
        needed = not of_another and known and _skips(state, node) is None
        if needed and item_count(draft.manifest, state, node) > ITEMS_MAX:
            return node
    return None


def _is_known(state: State, path: str) -> bool:
    """Whether what stands at a path is known, and stays as it is."""
    source = path.partition(".")[0]
    return source == "input" or state.step(source).status in DONE
