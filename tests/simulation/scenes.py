"""Scenes: one schedule each, as a test that plays it, and the bugs under which it must fail."""

import gc
import logging
import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

from amends.testing.simulator.hosts import StalledError, close_all
from amends.testing.simulator.trace import logged
from consumers.keys import OUTCOMES
from sagas.definition import Saga
from tests.simulation.ledger import BY_HAND
from tests.simulation.played import LEASE_SECONDS, Played
from tests.simulation.stage import API, COMMANDS, O0, O1, READER, W0, W1, Stage

__all__ = ["API", "BY_HAND", "CASES", "COMMANDS", "LEASE_SECONDS", "O0", "O1", "OUTCOMES", "W0", "W1", "Case", "Stage",
           "schedule"]  # fmt: skip
Scene = Callable[[Stage], Awaitable[None]]


@dataclass(frozen=True)
class Case:
    """A schedule that is played, and the planted bugs that break it."""

    name: str
    play: Callable[[], None]
    breaks_with: tuple[str, ...]


CASES: dict[str, Case] = {}


def schedule(
    *sagas: Saga[Any, Any],
    hosts: Sequence[str] = (API, O0, W0),
    breaks_with: Sequence[str] = (),
    **settings: Any,
) -> Callable[[Scene], Callable[[], None]]:
    """A test from a scene. These hosts run when it begins; `breaks_with` are bugs under which it must fail."""

    def made(scene: Scene) -> Callable[[], None]:
        def played() -> None:
            play(scene, sagas, hosts, settings)

        name = getattr(scene, "__name__", "")
        played.__name__ = played.__qualname__ = name
        played.__doc__ = scene.__doc__
        played.__module__ = scene.__module__
        CASES[name] = Case(name, played, tuple(breaks_with))
        return played

    return made


def play(scene: Scene, sagas: Sequence[Saga[Any, Any]], hosts: Sequence[str], settings: dict[str, Any]) -> None:
    """Play a scene to its end."""
    chance, collecting = random.getstate(), gc.isenabled()
    gc.disable()
    random.seed(1)
    system = Played(sagas, settings)
    stage = Stage(system)
    try:

        async def begin() -> None:
            stage.boot(*hosts, READER)
            await scene(stage)

        with logged(system.trace, verbose=True):
            try:
                system.loop.run_until_complete(begin())
            except StalledError as stalled:
                raise AssertionError(f"{stalled}\n{stage.timeline()}") from stalled
        told = "\n".join(map(str, system.checks.violations))
        assert not told, f"{told}\n{stage.timeline()}"
        assert not system.loop.crashes, system.loop.crashes
        assert not stage.awaited, f"{stage.awaited} of the scene's moments never came\n{stage.timeline()}"
    finally:
        stage.patch.undo()
        random.setstate(chance)
        for host in system.hosts:
            host.stopped = True
        logging.disable(logging.CRITICAL)
        close_all(system.loop)
        logging.disable(logging.NOTSET)
        system.loop.close()
        if collecting:
            gc.enable()
