"""Many seeds, on as many cores as there are: what fired, what was reached, how sagas ended, and what failed first."""

import os
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from multiprocessing import get_context
from random import Random
from typing import Any

from amends.testing.simulator.examples import example
from amends.testing.simulator.promises import missed, promised
from amends.testing.simulator.script import Script, draw
from amends.testing.simulator.shrink import Shrinking
from amends.testing.simulator.system import Result, simulate
from amends.testing.simulator.workload import random_saga
from sagas.definition import Saga
from sagas.errors import InputError

RANDOM_SAGAS = 60
CHUNK = 10


@dataclass
class Summary:
    """What became of many seeds. `reached` counts the runs in which each marker was reached.

    `promised` are markers that enough runs reach. `fired` counts the faults of each kind that had an effect, `idle`
    those that had none.
    """

    promised: tuple[str, ...] = ()
    seeds: int = 0
    sagas: int = 0
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    virtual_seconds: float = 0.0
    fired: Counter[str] = field(default_factory=Counter[str])
    reached: Counter[str] = field(default_factory=Counter[str])
    endings: Counter[str] = field(default_factory=Counter[str])
    idle: Counter[str] = field(default_factory=Counter[str])
    failed: list[tuple[int, str]] = field(default_factory=list[tuple[int, str]])

    def missed(self) -> list[str]:
        """Markers that were promised and never reached, and kinds of fault that never had an effect."""
        return missed(self.seeds, self.promised, self.reached, self.fired)

    def add(self, other: "Summary") -> None:
        """Count what another part found."""
        self.promised = other.promised
        self.seeds += other.seeds
        self.sagas += other.sagas
        self.cpu_seconds += other.cpu_seconds
        self.virtual_seconds += other.virtual_seconds
        for mine, theirs in (
            (self.fired, other.fired), (self.reached, other.reached), (self.endings, other.endings),
            (self.idle, other.idle),
        ):  # fmt: skip
            mine.update(theirs)
        self.failed += other.failed


def sagas_of(modules: Sequence[str]) -> list[Saga[Any, Any]]:
    """The sagas of modules; without any, random ones."""
    if not modules:
        return [random_saga(number) for number in range(RANDOM_SAGAS)]
    from amends.application import load_applications

    return [saga for application in load_applications(modules) for saga in application.sagas]


class NoExample(ValueError):
    """No input of a saga could be made from its schema; the text says what to do."""


def check_inputs(sagas: Sequence[Saga[Any, Any]]) -> None:
    """Make a few inputs of each saga.

    Raises:
        NoExample: one does not fit.
    """
    for saga in sagas:
        sealed = saga.seal()
        for number in range(5):
            try:
                sealed.normalise(example(sealed.manifest.input_schema, Random(number)))  # noqa: S311 - no secret
            except InputError as unfit:
                raise NoExample(
                    f"{unfit}\n  no input of '{saga.name}' can be made from its schema alone\n"
                    f"  remedy: give the field examples, as in `Field(examples=[...])`: the simulator takes one of them"
                ) from unfit


def run_seed(seed: int, sagas: Sequence[Saga[Any, Any]], *, verbose: bool = False) -> Result:
    """The run of one seed."""
    return simulate(draw(seed, len(sagas)), sagas, verbose=verbose)


def shrunk(found: Result, sagas: Sequence[Saga[Any, Any]]) -> tuple[Result, int]:
    """The smallest script that fails alike, with its timeline, and how many runs it took."""
    shrinking = Shrinking(found, lambda script: simulate(script, sagas))
    best: Script = shrinking.shrink().script
    return simulate(best, sagas, verbose=True), shrinking.runs


def simulate_sagas(*sagas: Saga[Any, Any], seeds: int = 20, first: int = 0) -> None:
    """Run sagas under what seeds draw (`amends simulate` for a test).

    Raises:
        AssertionError: something does not hold; it shows the smallest script that fails, as a timeline.
        NoExample: no input of a saga can be made from its type.
    """
    check_inputs(sagas)
    for seed in range(first, first + seeds):
        found = run_seed(seed, sagas)
        if found.failed:
            small, _ = shrunk(found, sagas)
            raise AssertionError("\n".join([f"seed {seed}: {found.violations[0]}", *small.trace.timeline()]))


def run_part(modules: Sequence[str], seeds: Sequence[int]) -> Summary:
    """Some seeds, in this process."""
    sagas = sagas_of(modules)
    manifests = [one.seal().manifest for saga in sagas for one in saga.family()]
    part = Summary(tuple(promised(manifests, ours=not modules)))
    began = time.process_time()
    for seed in seeds:
        result = run_seed(seed, sagas)
        part.seeds += 1
        part.sagas += sum(result.endings.values())
        part.virtual_seconds += result.seconds
        part.fired.update(result.fired)
        part.reached.update(result.markers.keys())
        part.endings.update(result.endings)
        part.idle.update(result.idle)
        if result.failed:
            part.failed.append((seed, str(result.violations[0])))
    part.cpu_seconds = time.process_time() - began
    return part


def run_seeds(modules: Sequence[str], seeds: Sequence[int], jobs: int) -> Iterator[Summary]:
    """All seeds; the sum so far after each part."""
    total = Summary()
    began = time.monotonic()
    for part in _parts(modules, seeds, jobs):
        total.add(part)
        total.seconds = time.monotonic() - began
        yield total


def _parts(modules: Sequence[str], seeds: Sequence[int], jobs: int) -> Iterable[Summary]:
    chunks = [seeds[place : place + CHUNK] for place in range(0, len(seeds), CHUNK)]
    if jobs == 1:
        yield from (run_part(modules, chunk) for chunk in chunks)
        return
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
        yield from pool.map(run_part, [list(modules)] * len(chunks), chunks)


def cores() -> int:
    """How many processes run at once, unless somebody says otherwise."""
    return os.cpu_count() or 1
