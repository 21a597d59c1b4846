"""Large arguments are loaded together, and what happens to one load is no matter of the others."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from math import inf

import pytest

from amends.clock import LoopClock
from amends.testing.virtual import run_virtual
from consumers.loading import Loading
from eventstore.memory import MemoryStore
from sagas.events import Json
from sagas.ports import Command, StoreUnavailable
from sagas.records import replace
from sagas.state import Value
from tests.conformance.transports import COMMAND

EPOCH = 1_700_000_000.0
CLOCK = LoopClock()


class Store(MemoryStore):
    """Gives of each payload its name in capitals; counts how many are asked for at once. `torn` cannot be read."""

    def __init__(self) -> None:
        super().__init__(lambda: EPOCH)
        self.asked: list[int] = []
        self.away = self.running = self.most = 0
        self.hangs = self.ends_late = False

    async def values(self, wanted: Sequence[tuple[str, Value]]) -> list[Json]:
        """The payloads."""
        self.asked.append(len(wanted))
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            await CLOCK.sleep(0.01 if not self.hangs else inf)
        except asyncio.CancelledError:
            await CLOCK.sleep(30.0 if self.ends_late else 0.0)
            raise
        finally:
            self.running -= 1
        if self.away:
            self.away -= 1
            raise StoreUnavailable("away")
        names = [value.payload or "" for _, value in wanted]
        if "torn" in names:
            raise ValueError("torn")
        return [name.upper() for name in names]


def needing(*payloads: str) -> Command:
    return replace(COMMAND, payloads={f"p{place}": name for place, name in enumerate(payloads)})


def run(scene: Callable[[Store, Loading], Awaitable[None]]) -> None:
    async def go() -> None:
        store = Store()
        await scene(store, Loading(store, 0.25))

    run_virtual(go)


def test_commands_that_begin_together_have_their_arguments_by_one_query() -> None:
    async def scene(store: Store, loading: Loading) -> None:
        some = [needing("a", "b"), needing("c"), needing("d")]
        loaded = await asyncio.gather(*map(loading.with_arguments, some))
        request = COMMAND.arguments
        assert [one.arguments for one in loaded] == [
            {**request, "p0": "A", "p1": "B"}, {**request, "p0": "C"}, {**request, "p0": "D"}
        ]  # fmt: skip
        assert (store.asked, [dict(one.payloads) for one in loaded]) == ([4], [{}, {}, {}])

    run(scene)


def test_no_more_come_at_once_than_memory_is_meant_for() -> None:
    """Each may have a mebibyte."""

    async def scene(store: Store, loading: Loading) -> None:
        await asyncio.gather(*(loading.with_arguments(needing(f"a{number}")) for number in range(40)))
        assert (store.asked, store.most) == ([16, 16, 8], 2)

    run(scene)


def test_what_cannot_be_read_fails_the_command_that_needs_it_and_no_other() -> None:
    async def scene(store: Store, loading: Loading) -> None:
        some = [needing("a"), needing("torn"), needing("c")]
        found = await asyncio.gather(*map(loading.with_arguments, some), return_exceptions=True)
        assert [type(one) for one in found] == [Command, ValueError, Command]

    run(scene)


def test_while_the_store_is_away_it_is_asked_again() -> None:
    async def scene(store: Store, loading: Loading) -> None:
        store.away = 3
        loaded = await loading.with_arguments(needing("a"))
        assert (loaded.arguments["p0"], len(store.asked)) == ("A", 4)

    run(scene)


def test_a_command_that_is_cancelled_leaves_the_others_theirs() -> None:
    async def scene(store: Store, loading: Loading) -> None:
        first, second = (asyncio.create_task(loading.with_arguments(needing(name))) for name in "ab")
        await CLOCK.sleep(0.005)
        first.cancel()
        assert (await second).arguments["p0"] == "B"

    run(scene)


def test_a_query_that_nobody_waits_for_any_more_is_given_up() -> None:
    """A network that swallows everything: they piled up, one for each time that a command came again."""

    async def scene(store: Store, loading: Loading) -> None:
        store.hangs = True
        for _ in range(3):
            tasks = [asyncio.create_task(loading.with_arguments(needing(f"a{number}"))) for number in range(40)]
            await CLOCK.sleep(10)
            assert store.running == 3
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
            await CLOCK.sleep(0.1)
            assert store.running == 0
        store.hangs = False
        assert (await loading.with_arguments(needing("a"))).arguments["p0"] == "A"

    run(scene)


def test_a_query_that_hangs_and_does_not_even_end_when_it_is_given_up_holds_nobody_up() -> None:
    """A dead connection takes half a minute to be cancelled; others are fine."""

    async def scene(store: Store, loading: Loading) -> None:
        store.hangs, store.ends_late = True, True
        slow = [asyncio.create_task(loading.with_arguments(needing(f"a{number}"))) for number in range(40)]
        await CLOCK.sleep(1)
        store.hangs = False
        for _ in range(20):
            async with asyncio.timeout(1):
                assert (await loading.with_arguments(needing("b"))).arguments["p0"] == "B"
        for task in slow:
            task.cancel()
        await asyncio.wait([*slow, *loading.close()])

    run(scene)


def test_what_is_closed_begins_nothing_more_and_leaves_nobody_waiting() -> None:
    async def scene(store: Store, loading: Loading) -> None:
        store.hangs = True
        tasks = [asyncio.create_task(loading.with_arguments(needing(f"a{number}"))) for number in range(60)]
        await CLOCK.sleep(0.1)
        queries = loading.close()
        for query in queries:
            query.cancel()
        await asyncio.wait([*queries, *tasks])
        assert (len(queries), store.running, len(store.asked)) == (2, 0, 2)
        assert all(task.cancelled() for task in tasks)
        with pytest.raises(asyncio.CancelledError):
            await loading.with_arguments(needing("late"))
        assert len(store.asked) == 2

    run(scene)
