"""Large arguments are loaded together, and what happens to one load is no matter of the others."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import pytest

from amends.clock import LoopClock
from amends.testing.virtual import run_virtual
from consumers import loading as module
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
    """Gives of each payload its name in capitals; counts how many are asked for at once. `gone` is not there."""

    def __init__(self) -> None:
        super().__init__(lambda: EPOCH)
        self.asked: list[int] = []
        self.away = 0

    async def values(self, wanted: Sequence[tuple[str, Value]]) -> list[Json]:
        """The payloads."""
        self.asked.append(len(wanted))
        await CLOCK.sleep(0.01)
        if self.away:
            self.away -= 1
            raise StoreUnavailable("away")
        names = [value.payload or "" for _, value in wanted]
        if "gone" in names:
            raise KeyError("gone")
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


def test_no_more_come_at_once_than_memory_is_meant_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each may have a mebibyte."""

    async def scene(store: Store, loading: Loading) -> None:
        await asyncio.gather(*(loading.with_arguments(needing(f"a{number}")) for number in range(40)))
        assert max(store.asked) == 8 * 1024 * 1024 // module.ASSUMED_BYTES
        assert sum(store.asked) == 40

    run(scene)


def test_what_is_gone_fails_the_command_that_needs_it_and_no_other() -> None:
    async def scene(store: Store, loading: Loading) -> None:
        some = [needing("a"), needing("gone"), needing("c")]
        found = await asyncio.gather(*map(loading.with_arguments, some), return_exceptions=True)
        assert [type(one) for one in found] == [Command, KeyError, Command]

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
        await loading.finish()

    run(scene)
