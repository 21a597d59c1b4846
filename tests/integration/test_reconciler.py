"""The reconciler ends what no orchestrator ended, leaves alone what is healthy, and asks people when it goes on."""

import asyncio
from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Literal

import pytest

from amends.clock import LoopClock
from eventstore.invariants import check
from eventstore.postgres import PostgresStore
from orchestrator.engine import Engine
from reconciler import cycle
from reconciler.cycle import Reconciler, Report
from reconciler.evidence import PostgresEvidence
from sagas import events as e
from sagas.inputs import Hold, Release, Start
from sagas.ports import Published, StoreUnavailable, TransportUnavailable
from sagas.state import State, Waiting
from sagas.unread import FEW, Unread
from sagas.whereabouts import GONE, EntryState, Posted
from tests.acceptance.running import until
from tests.conformance.test_store import MANIFEST, failed, saga_id, succeeded

ONE = saga_id(1)


@pytest.fixture(autouse=True)
def _soon_sure(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tests on virtual time have the rest of it."""
    monkeypatch.setattr(cycle, "SURE_SECONDS", 0.1)
    monkeypatch.setattr(cycle, "PROVE_SECONDS", 0.1)


@pytest.fixture
def reconciler(store: PostgresStore, engine: Engine) -> Reconciler:
    return Reconciler(store, PostgresEvidence(store.pool), engine, LoopClock(), Redis(None))


class Redis:
    """What stands unread: the first of `stand`, then the next; or the transport is away.

    An outcome of each of the `told` commands, and where all commands are.
    """

    def __init__(self, *stand: Unread | None, told: Collection[Waiting] = ()) -> None:
        self.stand = list(stand)
        self.told = set(told)
        self.state = GONE

    async def unread(self) -> Unread | None:
        """What stands."""
        if not self.stand:
            raise TransportUnavailable("away")
        return self.stand.pop(0) if len(self.stand) > 1 else self.stand[0]

    async def inspect(self, waits: Sequence[Posted]) -> list[EntryState]:
        """The same of all."""
        assert {(wait.queue, wait.priority, wait.entry_id) for wait in waits} == {("one", "normal", "1-1")}
        return [self.state for _ in waits]

    async def told_of(self, waits: Collection[Waiting]) -> set[Waiting]:
        """Those that are told."""
        return self.told.intersection(waits)


async def head(store: PostgresStore) -> State:
    return (await store.heads([ONE]))[ONE]


async def waiting_for_a_retry(store: PostgresStore, engine: Engine) -> None:
    await engine.apply([Start(ONE, MANIFEST, None)])
    word = failed(await head(store), "first")
    await engine.apply([replace(word, error={**(word.error or {}), "retryable": True})])


async def let_pass(store: PostgresStore, seconds: float) -> None:
    """Move everything that is written into the past, as time would."""
    await store.pool.execute(
        "UPDATE amends.waits SET due_at = due_at - make_interval(secs => $1), "
        "since = since - make_interval(secs => $1), published_at = published_at - make_interval(secs => $1)",
        seconds,
    )


async def test_a_healthy_saga_has_no_finding(store: PostgresStore, engine: Engine, reconciler: Reconciler) -> None:
    await waiting_for_a_retry(store, engine)
    assert (await reconciler.run_once()).findings == ()


async def test_while_nothing_can_be_overdue_a_glance_is_all(
    store: PostgresStore, engine: Engine, reconciler: Reconciler, monkeypatch: pytest.MonkeyPatch
) -> None:
    """rule_K1."""
    await waiting_for_a_retry(store, engine)
    looks: list[Report] = []
    run_once = reconciler.run_once

    async def counted() -> Report:
        looks.append(await run_once())
        return looks[-1]

    monkeypatch.setattr(reconciler, "run_once", counted)
    assert 5 < await reconciler.turn() < 8, "the audit that begins it; then the retry could be overdue"
    assert await reconciler.turn() > 5
    assert len(looks) == 1
    await let_pass(store, 7)
    assert await reconciler.turn() == 2.5, "nothing could be put right"
    assert len(looks) == 2
    assert [finding.check for finding in looks[1].findings] == ["wait overdue"]


async def test_an_overdue_retry_is_reported_and_ended(
    store: PostgresStore, engine: Engine, reconciler: Reconciler
) -> None:
    """rule_K1, rule_K2."""
    await waiting_for_a_retry(store, engine)
    await let_pass(store, 7)
    report = await reconciler.run_once(report_only=True)
    (finding,) = report.findings
    assert (finding.check, finding.severity, report.repaired) == ("wait overdue", "critical", 0)
    assert "retry first of pair is overdue by" in finding.what
    assert (await head(store)).step("first").status == "retrying"

    async def repaired_one() -> bool:
        return (await reconciler.run_once()).repaired == 1

    await until(repaired_one, 5)  # it has to be due by its events too
    (repaired,) = [entry.event for entry in await store.history(ONE) if isinstance(entry.event, e.RepairApplied)]
    assert (repaired.finding, repaired.step) == ("wait overdue", "first")
    assert (await check(store.pool)).violations == ()


async def test_a_command_that_nobody_sent_gets_its_next_attempt(
    store: PostgresStore, engine: Engine, reconciler: Reconciler
) -> None:
    """rule_C1: never again under the same attempt."""
    await engine.apply([Start(ONE, MANIFEST, None)])
    await let_pass(store, 11)
    report = await reconciler.run_once()
    assert ([finding.check for finding in report.findings], report.repaired) == (["wait never published"], 1)
    state = await head(store)
    assert (state.step("first").attempt, state.step("first").maybe) == (2, True)
    assert (await reconciler.run_once()).findings == ()


async def test_a_sent_command_is_reported_at_once_and_repaired_after_a_minute(
    store: PostgresStore, engine: Engine, reconciler: Reconciler
) -> None:
    """rule_A11: its outcome may lie unread."""
    await engine.apply([Start(ONE, MANIFEST, None)])
    await store.confirm([Published(ONE, 2, "1-1", 18.0)])
    await let_pass(store, 30)
    report = await reconciler.run_once()
    assert (len(report.findings), report.repaired, report.findings[0].repair) == (1, 0, None)
    await let_pass(store, 60)
    assert (await reconciler.run_once()).repaired == 1
    assert (await head(store)).step("first").attempt == 2


async def test_no_command_is_judged_while_an_outcome_lies_unread_or_redis_is_away(
    store: PostgresStore, engine: Engine
) -> None:
    """rule_A11: after a long stop the steps that ended before it must not run again."""
    await engine.apply([Start(ONE, MANIFEST, None)])
    await store.confirm([Published(ONE, 2, "1-1", 18.0)])
    await let_pass(store, 300)
    redis = Redis(Unread((1, 0), (2, 0), 1000.0, FEW + 1))
    reconciler = Reconciler(store, PostgresEvidence(store.pool), engine, LoopClock(), redis)
    assert (await reconciler.run_once()).repaired == 0
    redis.stand.clear()
    assert (await reconciler.run_once()).repaired == 0
    redis.stand.append(None)
    redis.told = {(ONE, 2)}
    assert (await reconciler.run_once()).repaired == 0, "it was put to the end, or has come just now"
    assert (await head(store)).step("first").attempt == 1
    redis.told.clear()
    assert (await reconciler.run_once()).repaired == 1


@pytest.mark.parametrize("place", ["queued", "pending"])
async def test_a_command_that_somebody_has_or_will_have_is_reported_and_not_repaired(
    store: PostgresStore, engine: Engine, place: Literal["queued", "pending"]
) -> None:
    """rule_K2: its next attempt would run beside it."""
    await engine.apply([Start(ONE, MANIFEST, None)])
    await store.confirm([Published(ONE, 2, "1-1", 18.0)])
    await let_pass(store, 300)
    redis = Redis(None)
    redis.state = EntryState(place)
    reconciler = Reconciler(store, PostgresEvidence(store.pool), engine, LoopClock(), redis)
    report = await reconciler.run_once()
    assert (len(report.findings), report.repaired) == (1, 0)
    redis.state = GONE
    assert (await reconciler.run_once()).repaired == 1


async def test_while_many_outcomes_are_being_applied_commands_that_are_looked_at_late_are_nothing_to_report(
    store: PostgresStore, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """rule_K1: behind a backlog they are looked at less often (0014). If nobody applies them, that is a finding."""
    await engine.apply([Start(ONE, MANIFEST, None)])
    await store.confirm([Published(ONE, 2, "1-1", 18.0)])
    await let_pass(store, 40)
    monkeypatch.setattr(cycle, "APPLIED_SECONDS", 0.3)
    before, later = Unread((1, 0), (900, 0), 20.0, 899), Unread((99, 0), (999, 0), 20.0, 900)
    redis = Redis(before, before, later)
    reconciler = Reconciler(store, PostgresEvidence(store.pool), engine, LoopClock(), redis)
    assert (await reconciler.run_once()).findings == ()
    assert len((await reconciler.run_once()).findings) == 1, "the first stays the same"
    redis.stand = [before, None]
    await let_pass(store, 60)
    assert len((await reconciler.run_once()).findings) == 1, "so late it ought to be known, whatever the reason"


async def test_commands_that_nobody_may_repair_do_not_hide_what_has_a_date(
    store: PostgresStore, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """rule_K2: without an orchestrator all that are queued stay overdue, and they are the oldest."""
    await waiting_for_a_retry(store, engine)
    await let_pass(store, 60)
    await engine.apply([Start(saga_id(2), MANIFEST, None)])
    await store.confirm([Published(saga_id(2), 2, "1-1", 18.0)])
    await let_pass(store, 300)
    await store.pool.execute("UPDATE amends.waits SET due_at = '2000-01-01' WHERE saga_id = $1", saga_id(2))
    monkeypatch.setattr(cycle, "FOUND_MAX", 1)
    redis = Redis(None)
    redis.state = EntryState("queued")
    report = await Reconciler(store, PostgresEvidence(store.pool), engine, LoopClock(), redis).run_once()
    assert [finding.evidence["kind"] for finding in report.findings] == ["retry", "step"]


async def test_after_three_repairs_of_a_kind_an_operator_is_asked(
    store: PostgresStore, engine: Engine, reconciler: Reconciler
) -> None:
    """rule_K2."""
    await engine.apply([Start(ONE, MANIFEST, None)])
    for _ in range(3):
        await let_pass(store, 11)
        assert (await reconciler.run_once()).repaired == 1
    await let_pass(store, 11)
    await reconciler.run_once()
    await reconciler.run_once()
    (desk,) = [wait for wait in (await head(store)).waits.values() if wait.kind == "operator"]
    assert desk.cause == "repairs_used_up"
    assert (await check(store.pool)).violations == ()


async def test_two_reconcilers_at_once_repair_once(store: PostgresStore, engine: Engine) -> None:
    await engine.apply([Start(ONE, MANIFEST, None)])
    await let_pass(store, 11)
    several = [
        Reconciler(store, PostgresEvidence(store.pool), Engine(store, LoopClock()), LoopClock(), Redis(None))
        for _ in range(3)
    ]
    await asyncio.gather(*(one.run_once() for one in several))
    repairs = [entry for entry in await store.history(ONE) if isinstance(entry.event, e.RepairApplied)]
    assert len(repairs) == 1


async def test_a_repair_of_what_went_on_meanwhile_changes_nothing(
    store: PostgresStore, engine: Engine, reconciler: Reconciler
) -> None:
    await engine.apply([Start(ONE, MANIFEST, None)])
    await let_pass(store, 11)
    (finding,) = (await reconciler.run_once(report_only=True)).findings
    await engine.apply([succeeded(await head(store))])
    assert finding.repair is not None
    (answer,) = await engine.apply([finding.repair])
    assert answer.code == "nothing"


async def release_after(store: PostgresStore, engine: Engine, seconds: float) -> None:
    """Hold the saga, let time pass, release it."""
    await engine.apply([Hold(ONE, "look", "h")])
    await let_pass(store, seconds)
    await store.pool.execute(
        "UPDATE amends.sagas "
        "SET state = jsonb_set(state::jsonb, '{held_at}', to_jsonb(extract(epoch FROM now()) - $1))",
        seconds,
    )
    await engine.apply([Release(ONE, "go", "r")])


async def test_after_a_release_rows_are_due_when_the_fold_says(
    store: PostgresStore, engine: Engine, reconciler: Reconciler
) -> None:
    """rule_B7: nothing is overdue, and nothing differs from the fold."""
    await waiting_for_a_retry(store, engine)
    await release_after(store, engine, 95)
    (row,) = await store.waits(ONE)
    assert row.due_at == pytest.approx((await head(store)).waits[row.opened_by].due_at, abs=0.01)
    assert row.due_at > await store.now() - 5
    assert (await reconciler.run_once()).findings == ()


@pytest.mark.parametrize("sent", [False, True])
async def test_a_command_of_a_saga_that_was_just_released_is_the_orchestrators(
    store: PostgresStore, engine: Engine, reconciler: Reconciler, sent: bool
) -> None:
    await engine.apply([Start(ONE, MANIFEST, None)])
    if sent:
        await store.confirm([Published(ONE, 2, "1-1", 18.0)])
    await release_after(store, engine, 95)
    assert (await reconciler.run_once()).findings == ()
    await let_pass(store, 95)
    assert (await reconciler.run_once()).findings == (), "its release is younger than the grace"
    async with PostgresEvidence(store.pool).look() as sight:
        assert sight is not None
        found = await (sight.overdue(0.0, 9) if sent else sight.never_published(0.0, 9))
        assert len(found) == 1, "the grace is over"


async def test_rows_that_a_release_did_not_reach_are_left_alone_for_the_grace(
    store: PostgresStore, engine: Engine, reconciler: Reconciler, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(moved: object) -> None:
        raise StoreUnavailable("away")

    monkeypatch.setattr(store, "set_due", away)
    await waiting_for_a_retry(store, engine)
    await release_after(store, engine, 95)
    assert not (await head(store)).held
    assert (await reconciler.run_once()).findings == ()
