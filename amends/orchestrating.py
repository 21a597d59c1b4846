"""The orchestrator as a service."""

from amends.clock import LoopClock
from amends.settings import Settings
from amends.wiring import core, on_stop, ready
from orchestrator.service import Orchestrator


async def run_orchestrator(settings: Settings) -> None:
    """Run an orchestrator until SIGTERM."""
    async with core(settings, "orchestrator") as made:
        orchestrator = Orchestrator(made.store, made.streams, LoopClock(), made.engine, made.publisher)
        on_stop(orchestrator.stop)
        ready(settings)
        await orchestrator.run()
