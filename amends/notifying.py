"""The notifier as a service: it fills the projections, and forgets what is over."""

from functools import partial

from amends.clock import LoopClock
from amends.settings import Settings
from amends.wiring import core, every, on_stop, ready
from consumers.projector import Projector
from eventstore.requests import Requests
from eventstore.workers import forget as forget_workers
from orchestrator.publisher import beside

FORGET_SECONDS = 3600.0


async def run_notifier(settings: Settings) -> None:
    """Fill the projections until SIGTERM; forget what keyed requests were answered a day ago, and lost workers."""
    async with core(settings, "notifier") as made:
        projections = [projection for app in made.applications for projection in app.projections]
        projector = Projector(made.store, projections, LoopClock())
        on_stop(projector.stop)
        ready(settings)
        requests = every(FORGET_SECONDS, Requests(made.store.asking).forget)
        workers = every(FORGET_SECONDS, partial(forget_workers, made.store.asking))
        async with beside(requests), beside(workers):
            await projector.run()
