"""A reader of the feed: it meets every event once, in the order of its saga, whatever happens meanwhile (rule A12)."""

import asyncio

from amends.testing.simulator.checks import Checks
from amends.testing.simulator.database import AWAY, STATEMENT_SECONDS, Database
from amends.testing.simulator.hosts import at_once
from amends.testing.simulator.network import Link

PAUSE_SECONDS = 1.0


class Reader:
    """One reader, which begins where its former self has written down that it stood."""

    def __init__(self, database: Database, link: Link, checks: Checks) -> None:
        self._database = database
        self._link = link
        self._checks = checks

    async def run(self) -> None:
        """Read for as long as the process lives."""
        while True:
            try:
                await self._turn()
            except AWAY:
                continue  # whoever reads comes again
            finally:
                await asyncio.sleep(PAUSE_SECONDS)

    async def _turn(self) -> None:
        checks = self._checks
        events = await self._link.ask(lambda: at_once(self._database.store.feed(checks.cursor)), STATEMENT_SECONDS)
        if events:
            await self._link.ask(lambda: checks.reads(events), STATEMENT_SECONDS)
