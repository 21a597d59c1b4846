"""One contract, two stores: in memory and PostgreSQL."""

import time
from dataclasses import replace
from math import inf
from typing import Any

import pytest

from orchestrator.waits import move_of
from sagas.decide import decide
from sagas.inputs import Cancel, Hold, Input, Outcome, Release, Start
from sagas.listing import SagaFilter
from sagas.manifest import Handler, Manifest, Node, Role
from sagas.peek import Peek
from sagas.ports import Move, Published, Store, WaitRow
from sagas.state import State, Value

LEASE = 4.0
MANIFEST = Manifest(
    name="pair",
    nodes=(
        Node("first", "step", "compensatable", handler=Handler("f"), undo=Handler("u"), queue="one"),
        Node("second", "step", "no_undo", after=("first",), handler=Handler("s")),
    ),
    input="Pair",
    input_schema={},
)


def saga_id(number: int) -> str:
    return f"01900000-0000-7000-8000-{number:012d}"


def move(state: State, word: Input) -> Move:
    """What follows from an input, as the engine would append it."""
    decision = decide(MANIFEST, state, word, time.time())
    assert decision.recorded, decision.answer
    return move_of(MANIFEST, state, decision.state, decision.recorded, LEASE)


def started(number: int, key: str | None = None, value: Any = None) -> Move:
    return move(State(saga_id(number)), Start(saga_id(number), MANIFEST, value, key=key))


def succeeded(state: State, result: Any = 1, step: str = "first") -> Outcome:
    wait = state.wait_of(step, None, "step", "undo")
    assert wait is not None
    role: Role = "undo" if wait.kind == "undo" else "step"
    return Outcome(state.saga_id, wait.opened_by, wait.attempt, step, None, role, "succeeded", result=result)


def failed(state: State, step: str) -> Outcome:
    error = {"type": "Permanent", "code": "permanent", "message": "no", "attempt": 1, "retryable": False}
    return replace(succeeded(state, None, step), kind="failed", error=error)


async def test_a_start_is_there_with_its_events_and_waits(store: Store) -> None:
    begun = started(1, key="k", value={"n": 1})
    committed = await store.start([begun])
    assert committed.moved == {saga_id(1)}
    assert committed.now == pytest.approx(time.time(), abs=5)
    assert (await store.heads([saga_id(1), saga_id(2)])) == {saga_id(1): begun.state}
    kept = await store.history(saga_id(1))
    assert [replace(entry, at=0.0) for entry in kept] == [replace(entry, at=0.0) for entry in begun.events]
    assert [entry.at for entry in kept] == pytest.approx([entry.at for entry in begun.events], abs=1e-3)
    (row,) = await store.waits(saga_id(1))
    assert (row.kind, row.step, row.queue, row.attempt, row.published_at) == ("step", "first", "one", 1, None)
    assert (await store.by_key([("pair", "k")]))[("pair", "k")].saga_id == saga_id(1)


async def test_a_second_start_of_a_key_or_an_id_is_absent(store: Store) -> None:
    await store.start([started(1, key="k")])
    assert (await store.start([started(2, key="k"), started(3, key="other")])).moved == {saga_id(3)}
    assert (await store.start([started(1)])).moved == frozenset()
    assert len(await store.history(saga_id(1))) == 2


async def test_who_loses_the_race_leaves_nothing_behind(store: Store) -> None:
    one, two = started(1), started(2)
    await store.start([one, two])
    winner = move(one.state, succeeded(one.state))
    loser = move(one.state, failed(one.state, "first"))
    other = move(two.state, succeeded(two.state))
    assert (await store.append([winner])).moved == {saga_id(1)}
    assert (await store.append([loser, other])).moved == {saga_id(2)}
    assert (await store.heads([saga_id(1)]))[saga_id(1)] == winner.state
    assert [row.step for row in await store.waits(saga_id(1))] == ["second"]
    assert len(await store.history(saga_id(1))) == winner.state.version


async def test_two_inputs_of_one_saga_are_one_move(store: Store) -> None:
    begun = started(1)
    await store.start([begun])
    first = decide(MANIFEST, begun.state, succeeded(begun.state), time.time())
    second = decide(MANIFEST, first.state, succeeded(first.state, 2, "second"), time.time())
    both = move_of(MANIFEST, begun.state, second.state, first.recorded + second.recorded, LEASE)
    assert (await store.append([both])).moved == {saga_id(1)}
    assert await store.waits(saga_id(1)) == []
    assert (await store.heads([saga_id(1)]))[saga_id(1)].status == "completed"


async def test_seen_knows_the_words_that_events_came_from(store: Store) -> None:
    begun = started(1)
    await store.start([begun])
    word = succeeded(begun.state)
    await store.append([move(begun.state, word)])
    asked = [(saga_id(1), word.id), (saga_id(1), "other"), (saga_id(2), word.id)]
    assert await store.seen(asked) == {(saga_id(1), word.id)}


async def test_a_compensated_saga_frees_its_key(store: Store) -> None:
    begun = started(1, key="k")
    await store.start([begun])
    state = begun.state
    for step, works in (("first", True), ("second", False), ("first", True)):
        word = succeeded(state, None, step) if works else failed(state, step)
        following = move(state, word)
        await store.append([following])
        state = following.state
    assert state.status == "compensated"
    assert await store.by_key([("pair", "k")]) == {}
    assert (await store.start([started(2, key="k")])).moved == {saga_id(2)}


async def test_values_come_from_heads_events_and_payloads(store: Store) -> None:
    begun = started(1, value={"text": "x" * 400})
    await store.start([begun])
    done = move(begun.state, succeeded(begun.state, {"long": "y" * 400}))
    await store.append([done])
    await store.put_payloads({"h": b'{"large":true}'})
    result = done.state.step("first").result
    assert result is not None
    assert result.event is not None
    wanted = [begun.state.input, result, Value(payload="h"), Value(inline=7)]
    assert await store.values([(saga_id(1), value) for value in wanted]) == [
        {"text": "x" * 400},
        {"long": "y" * 400},
        {"large": True},
        7,
    ]


async def test_unsent_commands_are_taken_once(store: Store) -> None:
    begun = started(1)
    await store.start([begun])
    (row,) = await store.waits(saga_id(1))
    assert await store.unpublished(0, 10) == [row]
    await store.mark_unsent([(saga_id(1), row.opened_by)])
    assert await store.unpublished(0, 10) == []
    assert await store.take_unsent(10, (), [MANIFEST.fingerprint]) == []
    (taken,) = await store.take_unsent(10, (), ["another"])
    assert taken.since >= row.since
    assert not taken.unsent
    assert await store.take_unsent(10) == []


async def test_what_was_taken_and_not_sent_is_given_back_only_while_nobody_else_has_taken_it(store: Store) -> None:
    """rule_C9: the answer of giving back may be lost, and another may have sent the command since."""
    await store.start([started(1)])
    (row,) = await store.waits(saga_id(1))
    await store.mark_unsent([(saga_id(1), row.opened_by)])
    first = await store.take_unsent(10)
    await store.give_back(first)
    second = await store.take_unsent(10)
    assert [taken.opened_by for taken in second] == [row.opened_by]
    await store.give_back(first)
    assert await store.take_unsent(10) == []


async def test_a_marked_command_is_taken_back_by_its_mark_once(store: Store) -> None:
    """rule_L5, rule_C9: who has the mark alone may judge it."""
    for number in (1, 2):
        await store.start([started(number)])
    marked, sent = [(await store.waits(saga_id(number)))[0] for number in (1, 2)]
    await store.mark_unsent([(saga_id(1), marked.opened_by)])
    await store.confirm([Published(saga_id(2), sent.opened_by, "1-1", 60.0)])
    keys = [(saga_id(2), sent.opened_by), (saga_id(1), marked.opened_by), (saga_id(1), 99)]
    first = await store.withdraw(keys)
    assert [(row.saga_id, row.unsent, row.entry_id) for row in first] == [
        (saga_id(1), True, None), (saga_id(2), False, "1-1"),
    ]  # fmt: skip
    assert [row.unsent for row in await store.withdraw(keys)] == [False, False]
    assert await store.take_unsent(10) == []
    assert await store.unpublished(5, 10) == [], "its age counts from now"


async def test_a_command_that_was_sent_is_not_marked(store: Store) -> None:
    await store.start([started(1)])
    (row,) = await store.waits(saga_id(1))
    await store.confirm([Published(saga_id(1), row.opened_by, "1-1", 60.0)])
    await store.mark_unsent([(saga_id(1), row.opened_by)])
    assert await store.take_unsent(10) == []


async def test_a_confirmed_command_is_due_for_its_check_and_can_be_moved_on(store: Store) -> None:
    begun = started(1)
    await store.start([begun])
    (row,) = await store.waits(saga_id(1))
    assert await store.due(10) == []
    await store.confirm([Published(saga_id(1), row.opened_by, "1-1", -1.0), Published(saga_id(2), 9, "1-2", 0.0)])
    (due,) = await store.due(10)
    assert (due.entry_id, due.saga_id) == ("1-1", saga_id(1))
    assert await store.due(10, commands=False) == []
    assert await store.unpublished(0, 10) == []
    assert ((await store.peek()).due_at or 0) < time.time()
    await store.postpone([(saga_id(1), row.opened_by, 60.0)])
    assert await store.due(10) == []
    claims = await store.claims([(saga_id(1), row.opened_by), (saga_id(1), 99)])
    assert {key: claim.attempt for key, claim in claims.items()} == {(saga_id(1), row.opened_by): 1}


async def test_after_a_loss_of_memory_sent_commands_are_looked_for_within_seconds(store: Store) -> None:
    """rule_L7: once for each other memory, and whenever something is missing."""
    await store.memory_lost("one")
    await store.start([started(1)])
    (row,) = await store.waits(saga_id(1))
    key = (saga_id(1), row.opened_by)

    async def due_in() -> float:
        (wait,) = await store.waits(saga_id(1))
        return wait.due_at - await store.now()

    await store.confirm([Published(*key, "1-1", 100.0, "one")])
    assert await store.memory_lost("one") == 0
    assert await due_in() > 90
    assert await store.memory_lost("two") == 1
    assert 0 < await due_in() < 2
    assert await store.memory_lost("two") == 0
    await store.postpone([(*key, 100.0)])
    assert await store.memory_lost("") == 1
    assert 0 < await due_in() < 2


async def test_after_a_loss_of_memory_commands_are_looked_for_500_a_second_oldest_first(store: Store) -> None:
    """rule_L7."""
    for number in (2, 1):
        await store.start([started(number)])
    rows = [(await store.waits(saga_id(number)))[0] for number in (2, 1)]
    await store.confirm([Published(row.saga_id, row.opened_by, "1-1", 100.0) for row in rows])
    now = await store.now()
    assert await store.memory_lost("one") == 2
    for place, row in enumerate(rows, 1):
        (wait,) = await store.waits(row.saga_id)
        assert 1 + place / 500 - 0.0001 < wait.due_at - now < 3


async def test_a_command_that_was_sent_though_it_was_marked_is_not_sent_again_but_checked(store: Store) -> None:
    """rule_C9: the check of L5 leaves what is marked alone, so that nobody would ever look for it."""
    await store.start([started(1)])
    (row,) = await store.waits(saga_id(1))
    await store.mark_unsent([(saga_id(1), row.opened_by)])
    await store.confirm([Published(saga_id(1), row.opened_by, "1-1", 0.0)])
    assert await store.take_unsent(10) == []
    assert [(one.opened_by, one.unsent) for one in await store.due(10)] == [(row.opened_by, False)]
    assert [one.unsent for one in await store.withdraw([(saga_id(1), row.opened_by)])] == [False]


async def test_nothing_is_postponed_by_an_empty_list(store: Store) -> None:
    await store.postpone([])


async def test_what_has_no_date_is_never_due(store: Store) -> None:
    begun = started(1)
    (row,) = begun.waits_new
    dateless = replace(row, kind="signal", queue=None, priority=None, due_at=inf)
    await store.start([replace(begun, waits_new=(dateless,))])
    assert (await store.due(10), (await store.peek()).due_at) == ([], None)


async def test_a_command_that_was_sent_into_another_memory_is_looked_for_at_once(store: Store) -> None:
    """rule_L7: it is confirmed only after the loss was written down."""
    await store.memory_lost("two")
    await store.start([started(1)])
    (row,) = await store.waits(saga_id(1))
    await store.confirm([Published(saga_id(1), row.opened_by, "1-1", 100.0, "one")])
    (wait,) = await store.waits(saga_id(1))
    assert wait.due_at - await store.now() < 2


async def test_sagas_are_listed_newest_first_in_pages(store: Store) -> None:
    await store.start([started(number) for number in range(1, 6)])
    page = await store.sagas(SagaFilter(limit=2))
    assert [row.state.saga_id for row in page] == [saga_id(5), saga_id(4)]
    page = await store.sagas(SagaFilter(limit=2, after=page[-1].cursor))
    assert [row.state.saga_id for row in page] == [saga_id(3), saga_id(2)]
    assert await store.sagas(SagaFilter(status="failed")) == []
    assert len(await store.sagas(SagaFilter(waiting="step", definition="pair"))) == 5


async def test_open_sagas_are_found_by_how_their_key_begins_and_whether_they_are_held(store: Store) -> None:
    async def found(**wanted: Any) -> list[str]:
        return [row.state.saga_id for row in await store.sagas(SagaFilter(**wanted))]

    await store.start([started(number, key=key) for number, key in ((1, "a_1"), (2, "a_2"), (3, "ab3"), (4, None))])
    heads = await store.heads([saga_id(number) for number in range(1, 5)])
    turned_back = move(heads[saga_id(4)], Cancel(saga_id(4), "so", "c1"))
    ended = move(turned_back.state, failed(turned_back.state, "first"))
    assert ended.state.terminal
    await store.append([move(heads[saga_id(1)], Hold(saga_id(1), "so", "h1")), turned_back])
    await store.append([ended])
    assert await found(key_prefix="a_") == [saga_id(2), saga_id(1)]
    assert await found(key_prefix="a_", held=True) == [saga_id(1)]
    assert await found(held=False) == [saga_id(3), saga_id(2)], "what has ended is neither"


async def test_what_may_still_run_has_not_ended_or_somebody_is_asked_about_it(store: Store) -> None:
    begun = [started(number) for number in range(1, 4)]
    await store.start(begun)
    ended = [move(one.state, failed(one.state, "first")) for one in begun[1:]]
    assert all(one.state.terminal for one in ended)
    await store.append(ended)
    late = move(ended[1].state, succeeded(begun[2].state))
    assert [wait.cause for wait in late.state.waits.values()] == ["late_effect"]
    await store.append([late])
    found = await store.sagas(SagaFilter(may_run=True))
    assert [row.state.saga_id for row in found] == [saga_id(3), saga_id(1)]


async def test_manifests_are_kept_by_fingerprint(store: Store) -> None:
    newer = replace(MANIFEST, input="Other")
    await store.put_manifest(newer)
    assert await store.manifests([MANIFEST.fingerprint]) == {MANIFEST.fingerprint: MANIFEST}
    assert await store.manifests() == {newer.fingerprint: newer}


def owing(number: int, *places: tuple[int, str | None]) -> Move:
    """A start that owes messages: each by its place, to the child of a step, or to the parent."""
    begun = started(number)
    due = time.time() - 1
    rows = [
        WaitRow(saga_id(number), place, "notify", step, None, 1, None, None, due_at=due, since=due)
        for place, step in places
    ]
    return replace(begun, waits_new=(*begun.waits_new, *rows))


async def test_of_what_a_saga_owes_each_receiver_only_the_first_is_due_until_it_is_delivered(store: Store) -> None:
    """rule_B5: in order, also when the first is put off."""
    await store.start([owing(1, (5, "child"), (6, "child"), (7, None)), owing(2, (5, "child"))])

    async def owed() -> list[tuple[str, int]]:
        return sorted((row.saga_id, row.opened_by) for row in await store.due(10))

    assert await owed() == [(saga_id(1), 5), (saga_id(1), 7), (saga_id(2), 5)]
    assert ((await store.peek()).due_at or 0) < time.time()
    await store.postpone([(saga_id(1), 5, 60.0)])
    assert await owed() == [(saga_id(1), 7), (saga_id(2), 5)]
    await store.postpone([(saga_id(1), 7, 30.0), (saga_id(2), 5, 40.0)])
    assert ((await store.peek()).due_at or 0) > time.time() + 10, "what stands behind another is not due"
    await store.postpone([(saga_id(1), 7, -1.0), (saga_id(2), 5, -1.0)])
    await store.delivered([(saga_id(1), 5), (saga_id(1), 7), (saga_id(2), 2)])
    assert await owed() == [(saga_id(1), 6), (saga_id(2), 5)]
    assert len(await store.waits(saga_id(2))) == 2, "only messages are delivered"


async def test_what_a_held_saga_waits_for_owes_and_was_not_sent_is_left_alone(store: Store) -> None:
    """rule_B7."""
    begun = owing(1, (5, None))
    await store.start([begun])
    (command, _) = await store.waits(saga_id(1))
    await store.mark_unsent([(saga_id(1), command.opened_by)])
    held = move(begun.state, Hold(saga_id(1), "look", "h"))
    await store.append([held])
    assert await store.due(10) == []
    assert replace(await store.peek(), now=0.0) == Peek(0.0, unsent=False, unconfirmed_since=None, due_at=None)
    assert await store.take_unsent(10) == []
    await store.append([move(held.state, Release(saga_id(1), "go", "r"))])
    assert (await store.peek()).unsent
    assert [row.opened_by for row in await store.due(10)] == [5]
    assert await store.due(10, commands=False) == await store.due(10)
    assert len(await store.take_unsent(10)) == 1


async def test_single_events_are_read_by_their_places(store: Store) -> None:
    await store.start([started(1), started(2)])
    found = await store.events_at([(saga_id(1), 2), (saga_id(2), 1)])
    assert {place: entry.sequence for place, entry in found.items()} == {(saga_id(1), 2): 2, (saga_id(2), 1): 1}


async def test_what_a_release_has_moved_is_due_then_and_checks_that_have_passed_are_made_now(store: Store) -> None:
    """rule_B7: a check is early for no command, and late for one that was lost during the hold."""
    await store.start([owing(number, (5, "child")) for number in (1, 2, 3)])
    rows = [(await store.waits(saga_id(number)))[0] for number in (1, 2, 3)]
    keys = [(row.saga_id, row.opened_by) for row in rows]
    await store.confirm([Published(*keys[0], "1-1", -9.0), Published(*keys[1], "1-2", 60.0)])
    await store.mark_unsent([keys[2]])
    now = await store.now()
    await store.set_due([*((*key, None) for key in keys), (saga_id(2), 5, now + 30.0), (saga_id(3), 99, now)])
    found = [await store.waits(saga_id(number)) for number in (1, 2, 3)]
    assert [waits[0].due_at - now for waits in found] == pytest.approx([0.0, 60.0, rows[2].due_at - now], abs=2)
    assert found[1][1].due_at == pytest.approx(now + 30.0)
    assert found[0][1].due_at < now, "nobody has named it"
