"""What must be true of every saga once nobody races any more: none is stuck, and nothing is undone and counted."""

from functools import reduce

from amends.views import records_of
from sagas.compensation import needs_undo
from sagas.evolve import evolve
from sagas.inputs import Release, Resolve, TryAgain
from sagas.state import COMMAND_KINDS, State, Wait
from tests.faults.racing import World

HEAL_ROUNDS = 40
HEAL_SECONDS = 1200.0
ENDS_BY_ITSELF = frozenset({*COMMAND_KINDS, "child", "notify"})


async def heal(world: World) -> None:
    """Everything works again, and operators decide what waits for them: every saga must come to its end."""
    world.trouble, world.store.slow = 0.0, False
    while world.asking:
        await world.clock.sleep(0.5)
    for head in world.store.every():
        if head.held:
            await world.ask(Release(head.saga_id, "it works again", world.new_id("heal")))
    check_waits(world)
    world.loop.skip(world.store.quiet_until)
    try:
        for _ in range(HEAL_ROUNDS):
            until = world.loop.time() + HEAL_SECONDS
            while world.loop.time() < until and not _at_rest(world):
                await world.clock.sleep(1.0)
            if all(head.terminal or head.closed for head in world.store.every()) and not world.store.owing():
                return
            if not _at_rest(world):
                break
            for head in world.store.every():
                for desk in [wait for wait in head.waits.values() if wait.kind == "operator"]:
                    await _decide(world, head, desk)
    finally:
        world.loop.skip(lambda: 0.0)
    stuck = [head.saga_id for head in world.store.every() if not (head.terminal or head.closed)]
    raise AssertionError("stuck:\n" + "\n\n".join([await world.told(saga_id) for saga_id in stuck]))


def _at_rest(world: World) -> bool:
    """Whether each saga has ended, or waits for a person, or for its family."""
    return not world.store.owing() and all(
        head.terminal or all(wait.kind in ("operator", "child", "deadline") for wait in head.waits.values())
        for head in world.store.every()
    )


async def _decide(world: World, head: State, desk: Wait) -> None:
    """An operator tries again what can be; what cannot they undo by hand."""
    told = (head.saga_id, "it works again", world.new_id("heal"))
    assert desk.step is not None
    answer = await world.ask(TryAgain(*told, step=desk.step, item=desk.item))
    if answer.code == "refused":
        word = Resolve(head.saga_id, "by hand", world.new_id("heal"), step=desk.step, item=desk.item, outcome="undone")
        answer = await world.ask(word)
        world.done.discard((head.saga_id, desk.step, desk.item))
    assert answer.code in ("accepted", "nothing"), f"{answer}\n{await world.told(head.saga_id)}"


def check_waits(world: World) -> None:
    """No saga is stuck: it has ended, or waits for a person, for an instant, or for what others are bound to say."""
    for head in world.store.every():
        if head.terminal or head.closed:
            continue
        ends = [wait for wait in head.waits.values() if wait.kind == "operator" or wait.kind in ENDS_BY_ITSELF]
        timed = [wait for wait in head.waits.values() if wait.due_at is not None and wait.kind != "deadline"]
        assert ends or timed, f"{head.saga_id} is stuck: {head}"


async def check_all(world: World) -> None:
    """The head is the fold; what counts stands there, what is given up does not; nothing is both."""
    assert not world.wrong, "\n".join(world.wrong)
    heads = {head.saga_id: head for head in world.store.every()}
    for head in heads.values():
        history = await world.store.history(head.saga_id, limit=100_000)
        assert reduce(evolve, history, State(head.saga_id)) == head, f"the head is the fold of {head.saga_id}"
        if head.closed or (head.parent is not None and heads[head.parent.saga_id].closed):
            continue
        problems = _counted_wrong(world, head, final=head.parent is None or heads[head.parent.saga_id].terminal)
        assert not problems, "\n".join([*problems, await world.told(head.saga_id)])


def _counted_wrong(world: World, head: State, *, final: bool) -> list[str]:
    manifest = world.sealed[head.definition].manifest
    found: list[str] = []
    for node in [node for node in manifest.nodes if node.kind == "step"]:
        for key in records_of(manifest, head, node):
            step, stands = head.step(*key), (head.saga_id, *key) in world.done
            if head.status == "completed" and final:
                right = (step.status == "succeeded" and stands) or (step.status == "skipped" and not stands)
            else:
                right = head.status != "compensated" or node.undo is None or not (stands or needs_undo(node, step))
            if not right:
                where = "is there" if stands else "is not there"
                found.append(f"{key} is {step.status} in what is {head.status}, and {where}")
    return found
