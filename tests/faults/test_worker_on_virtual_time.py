"""The worker on virtual time: what answers that are lost, or old, must not make it do."""

import asyncio
from collections.abc import Sequence

from amends import Context, Saga
from consumers.inprocess import InProcessTransport
from orchestrator.payloads import Limits
from sagas.inputs import Outcome
from sagas.ports import Claim, TransportUnavailable
from sagas.records import replace
from tests.faults.working import LEASE_SECONDS, Order, Printer, Stage, play


def test_what_is_settled_while_it_is_asked_for_is_not_run_again() -> None:
    """rule_C6, rule_L2: the answer is older than the settling, and the orchestrator has not committed yet."""
    saga = Saga("settled", input=Order)
    attempts: list[int] = []
    end = asyncio.Event()

    @saga.step("charge")
    async def charge(order: Order, context: Context) -> None:
        attempts.append(context.attempt)
        await end.wait()

    async def scene(stage: Stage) -> None:
        async def settled() -> None:
            end.set()
            while stage.broker.entries:
                await stage.clock.sleep(0.01)

        stage.transport.before_pending = settled
        await stage.start()
        await stage.clock.sleep(0.5)
        stage.transport.fail_reads = 1
        await stage.clock.sleep(5)
        assert attempts == [1]

    play(saga, scene)


def test_an_entry_that_came_with_an_old_one_does_not_wait_for_what_the_store_says_of_that() -> None:
    """rule_C3, rule_B1: it began 20 s later, long after somebody else had judged and undone it."""
    saga = Saga("beside", input=Order)
    began: dict[str, float] = {}

    @saga.step("old")
    async def old(order: Order) -> None:
        began["old"] = asyncio.get_running_loop().time()

    @saga.step("young")
    async def young(order: Order) -> None:
        began["young"] = asyncio.get_running_loop().time()

    async def scene(stage: Stage) -> None:
        claims, asked = stage.store.claims, list[float]()

        async def slow(waits: Sequence[tuple[str, int]]) -> object:
            asked.append(asyncio.get_running_loop().time())
            if len(asked) == 1:
                await stage.clock.sleep(20)
            return await claims(waits)

        stage.store.claims = slow  # type: ignore[assignment, method-assign]
        stage.transport.age_by_step = {"old": 3.0}
        await stage.start()
        begun = asyncio.get_running_loop().time()
        await stage.clock.sleep(30)
        assert began["young"] - begun < 1
        assert len(asked) == 2, "an answer that took so long is asked for again"
        assert began["old"] >= asked[1]

    play(saga, scene)


def test_what_was_refused_is_not_looked_up_again() -> None:
    """rule_O1: it ran after the hold, under the attempt of which it had been said that nothing ran."""
    saga = Saga("twice", input=Order)
    ran: list[str] = []

    @saga.step("x")
    async def x(order: Order) -> None:
        ran.append("x")

    @saga.step("y")
    async def y(order: Order) -> None:
        ran.append("y")

    async def scene(stage: Stage) -> None:
        claims, settle = stage.store.claims, stage.transport.settle
        asked: list[int] = []
        settled: list[int] = []

        async def held_first(waits: Sequence[tuple[str, int]]) -> dict[tuple[str, int], Claim]:
            asked.append(1)
            found = list((await claims(waits)).items())
            return dict(found) if len(asked) > 1 else {key: replace(one, held=True) for key, one in found[:1]}

        async def reset_first(entries: Sequence[str]) -> list[bool]:
            settled.append(1)
            if len(settled) == 1:
                raise TransportUnavailable("reset")
            return await settle(entries)

        stage.store.claims = held_first  # type: ignore[method-assign]
        stage.transport.settle = reset_first  # type: ignore[method-assign]
        stage.transport.age_by_step = {"x": 3.0, "y": 3.0}
        await stage.start()
        await stage.clock.sleep(3)
        (refused,) = [word for _, word in stage.transport.sent if isinstance(word, Outcome) and word.kind == "refused"]
        assert refused.step not in ran

    play(saga, scene)


def test_what_was_claimed_within_a_gap_is_judged_one_lease_after_it() -> None:
    """rule_L4: whoever holds it may live, and renews it first."""
    saga = Saga("claimed", input=Order)

    @saga.step("charge")
    async def charge(order: Order) -> None: ...

    async def scene(stage: Stage) -> None:
        other = InProcessTransport(stage.broker, "other")
        await other.open(["default"])
        stage.transport.fail_reads = 10_000
        stage.transport.lose_idle = True
        await stage.start()
        assert len(await other.read(1, 1.0)) == 1
        while stage.transport.lose_idle:
            await stage.clock.sleep(0.1)
        gap_at = asyncio.get_running_loop().time()
        stage.transport.fail_reads = 1
        while not stage.transport.sent:
            await stage.clock.sleep(0.1)
        ((at, word),) = stage.transport.sent
        assert isinstance(word, Outcome)
        assert word.cause == "worker_lost"
        assert at - gap_at >= LEASE_SECONDS - 0.5

    play(saga, scene)


def test_a_step_whose_arguments_do_not_come_within_its_timeout_never_begins() -> None:
    """rule_B1: it would begin after its undo."""
    saga = Saga("laden", input=Order)
    attempts: list[int] = []

    @saga.step("charge", timeout=2)
    async def charge(order: Order, context: Context) -> None:
        attempts.append(context.attempt)

    async def scene(stage: Stage) -> None:
        values = stage.store.values

        async def slow(wanted: Sequence[object]) -> list[object]:
            await stage.clock.sleep(10)
            return await values(wanted)  # type: ignore[arg-type]

        stage.store.values = slow  # type: ignore[method-assign]
        setattr(stage.engine, "_limits", Limits(inline_bytes=1))  # noqa: B010 - so that the input is a payload
        await stage.start()
        await stage.clock.sleep(15)
        words = [word for _, word in stage.transport.sent if isinstance(word, Outcome)]
        assert (attempts, [(word.kind, word.cause) for word in words]) == ([], [("refused", "busy")])

    play(saga, scene)


def test_a_worker_that_cannot_make_a_resource_refuses_the_steps_that_take_it_and_runs_the_others() -> None:
    """def_R5."""
    saga = Saga("printing", input=Order, resources=[Printer])
    ran: list[str] = []

    @saga.step("printed")
    async def print_it(order: Order, printer: Printer) -> None:
        ran.append("printed")

    @saga.step("noted")
    async def note(order: Order) -> None:
        ran.append("noted")

    async def scene(stage: Stage) -> None:
        await stage.start()
        while len(stage.transport.sent) < 2:
            await stage.clock.sleep(0.1)
        words = [word for _, word in stage.transport.sent if isinstance(word, Outcome)]
        said = {word.step: (word.kind, word.cause) for word in words}
        assert said == {"printed": ("refused", "no_resource"), "noted": ("succeeded", None)}
        assert ran == ["noted"]

    play(saga, scene)
