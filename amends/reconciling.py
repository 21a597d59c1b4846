"""The reconciler as a service, and as one look."""

from amends.clock import LoopClock
from amends.settings import Settings
from amends.wiring import Core, core, on_stop, ready
from reconciler.cycle import Reconciler, Report
from reconciler.evidence import PostgresEvidence


async def run_reconciler(settings: Settings) -> None:
    """Run a reconciler until SIGTERM; of several one is at work."""
    async with core(settings, "reconciler") as made, made.publisher.running():
        reconciler = _reconciler(made)
        on_stop(reconciler.stop)
        ready(settings)
        await reconciler.run()


async def reconcile(settings: Settings, *, report_only: bool) -> Report:
    """Let a reconciler look once, and put right what it can.

    Raises:
        StoreUnavailable: the database is away.
    """
    async with core(settings, "reconcile") as made:
        if report_only:
            return await _reconciler(made).run_once(report_only=True)
        async with made.publisher.running():
            return await _reconciler(made).run_once()


def _reconciler(made: Core) -> Reconciler:
    return Reconciler(made.store, PostgresEvidence(made.store.pool), made.engine, LoopClock(), made.streams)
