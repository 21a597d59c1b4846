"""What a handler is told and may say while it runs: that its saga turns back, and how far it is."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from amends import Context, Permanent, Saga, timeline, views
from amends.clock import LoopClock
from amends.testing import run
from consumers import contexts
from consumers.pulse import Pulse
from eventstore.memory import MemoryStore
from sagas import events as e
from sagas.inputs import Progressed
from tests.acceptance.running import until
from tests.conformance.transports import COMMAND
from tests.integration.test_worker import Bench, Job, made

__all__ = ["made"]


def polling(length: float) -> tuple[Saga[Job, None], list[bool]]:
    """A saga that turns back after a while, and what its other step saw of it."""
    saga = Saga("polling", input=Job)
    seen: list[bool] = []

    @saga.step("fail")
    async def fail(request: Job) -> None:
        await LoopClock().sleep(length)
        raise Permanent("no")

    @saga.step("work", timeout=60)
    async def work(request: Job, context: Context) -> None:
        seen.append(context.turning_back)
        while not context.turning_back:
            await LoopClock().sleep(0.1)
        seen.append(context.turning_back)

    @work.undo
    async def take_back(result: None, context: Context) -> None:
        seen.append(context.turning_back)

    return saga, seen


def test_a_handler_is_told_while_it_runs_that_its_saga_turns_back() -> None:
    """def_R12."""
    saga, seen = polling(3.0)
    done = run(saga, Job())
    assert (done.status, seen) == ("compensated", [False, True, True])
    assert done.took.total_seconds() < 5, done


async def test_a_handler_on_real_servers_is_told_that_its_saga_turns_back(made: Bench) -> None:
    """def_R12."""
    saga, seen = polling(0.5)
    sealed = saga.seal()
    async with made.worker(sealed):
        saga_id = await made.start(sealed)

        async def compensated() -> bool:
            return (await made.store.heads([saga_id]))[saga_id].status == "compensated"

        await until(compensated, 10)
    assert seen == [False, True, True]


async def test_one_query_a_look_and_none_while_nothing_runs_that_would_be_told(monkeypatch: Any) -> None:
    monkeypatch.setattr(contexts, "LOOK_SECONDS", 0.01)
    asked: list[int] = []
    enough = asyncio.Event()

    class Counting(MemoryStore):
        async def heads(self, saga_ids: Any) -> Any:
            asked.append(len(saga_ids))
            if len(asked) == 3:
                enough.set()
            return {}

    attempts = contexts.Attempts(Counting(lambda: 0.0), lambda word: None, "w")
    looking = asyncio.create_task(attempts.run())
    saga, _ = polling(0.0)
    bound = saga.seal().handlers
    command, pulse = COMMAND, Pulse(None)
    await LoopClock().sleep(0.05)
    assert asked == []
    with attempts.under_way(command, bound["fail", "step"], pulse) as none:
        assert none is None
        await LoopClock().sleep(0.05)
    assert asked == []
    other = replace(COMMAND, saga_id=COMMAND.saga_id[:-1] + "2")
    both = [attempts.under_way(one, bound["work", "step"], pulse) for one in (command, other)]
    with both[0], both[1]:
        await asyncio.wait_for(enough.wait(), 5)
    assert set(asked) == {2}
    before = len(asked)
    await LoopClock().sleep(0.05)
    assert len(asked) <= before
    looking.cancel()


def reporting(saga: Saga[Job, None], script: Sequence[tuple[float, int, str]]) -> None:
    """A step that says how far it is after so many seconds each."""

    @saga.step("work", timeout=60)
    async def work(request: Job, context: Context) -> None:
        for seconds, percent, message in script:
            await LoopClock().sleep(seconds)
            await context.progress(percent, message)
        await context.heartbeat()
        await LoopClock().sleep(8)
        await context.progress(99)


def test_of_what_is_said_the_newest_is_kept_once_in_five_seconds() -> None:
    saga = Saga("reporting", input=Job)
    reporting(saga, [(1, 10, "begun"), (1, 20, ""), (1, 30, "a\x00b\ud800"), (4, 60, ""), (0.5, 70, "far")])
    done = run(saga, Job())
    said = [entry for entry in done.history if isinstance(entry.event, e.StepProgressed)]
    told = [event for event in done.events if isinstance(event, e.StepProgressed)]
    assert done.status == "completed"
    assert [(event.percent, event.message) for event in told] == [(10, "begun"), (30, "ab?"), (70, "far")]
    began = done.history[0].at
    assert [round(entry.at - began) for entry in said] == [1, 6, 11]
    assert len({entry.causation for entry in said}) == 3
    assert all((event.step, event.attempt) == ("work", 1) for event in told)


async def test_views_show_how_far_a_running_step_is(made: Bench) -> None:
    """req_C6: a job tells it while it runs; its end is an outcome, never a report."""
    saga = Saga("shown", input=Job)
    end = asyncio.Event()

    @saga.step("first")
    async def first(request: Job) -> None: ...

    @saga.step("work", timeout=60, after=[first])
    async def work(request: Job, context: Context) -> None:
        await context.progress(40, "half of it")
        await end.wait()

    sealed = saga.seal()

    async def view() -> dict[str, Any]:
        return await views.detail(made.store, sealed.manifest, (await made.store.heads([saga_id]))[saga_id], 0.0)

    async with made.worker(sealed):
        saga_id = await made.start(sealed)
        (said,) = await until(lambda: made.events(saga_id, e.StepProgressed), 10)
        shown = await view()
        end.set()
        assert (await made.ended(saga_id)).status == "completed"
    assert (said.percent, said.message) == (40, "half of it")
    assert [step["progress"] for step in shown["steps"]] == [None, {"percent": 40, "message": "half of it"}]
    assert views.job(shown)["progress"] == 70
    assert [step["progress"] for step in (await view())["steps"]] == [None, None]
    assert timeline.sentence(said).split() == ["StepProgressed", "work", "40", "%", "half", "of", "it"]


async def test_a_report_that_comes_again_or_too_late_changes_nothing(made: Bench) -> None:
    """rule_A1: nor does it ever become an outcome."""
    saga = Saga("again", input=Job)

    @saga.step("work")
    async def work(request: Job) -> None: ...

    sealed = saga.seal()
    saga_id = await made.start(sealed)
    head = (await made.store.heads([saga_id]))[saga_id]
    (opened_by,) = head.waits
    word = Progressed(saga_id, opened_by, 1, "work", None, 1, 50, "half")
    await made.streams.send([word, word])
    await until(lambda: made.events(saga_id, e.StepProgressed), 10)
    await made.engine.apply([word, replace(word, number=2, attempt=2), replace(word, number=3, opened_by=99)])
    assert len(await made.events(saga_id, e.StepProgressed)) == 1
    async with made.worker(sealed):
        assert (await made.ended(saga_id)).status == "completed"
    await made.engine.apply([replace(word, number=4, percent=100)])
    assert len(await made.events(saga_id, e.StepProgressed)) == 1
