"""One run: the production services on simulated hosts, driven through a script, then healed and checked."""

import asyncio
import gc
import logging
import random
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from random import Random
from typing import Any

from amends.clock import LoopClock
from amends.testing.simulator.checks import Checks, Violation
from amends.testing.simulator.database import EPOCH, Database, SimulatedEvidence, store_of
from amends.testing.simulator.faults import Faults
from amends.testing.simulator.hosts import Host, SimulatedLoop, StalledError, at_once, close_all
from amends.testing.simulator.network import Link, StreamsServer
from amends.testing.simulator.outside import Outside
from amends.testing.simulator.people import People
from amends.testing.simulator.reader import Reader
from amends.testing.simulator.script import CHAOS_SECONDS, Script
from amends.testing.simulator.threads import Threads
from amends.testing.simulator.trace import Trace, logged
from amends.testing.simulator.transactions import SimulatedTransactions
from amends.testing.simulator.versions import lacking, next_version, shortened
from amends.testing.simulator.watched import WatchedServer
from consumers.execution import RunInThread, Surroundings
from consumers.stream import RedisStreams
from consumers.worker import Worker, WorkerNumbers
from orchestrator.engine import Engine
from orchestrator.payloads import Limits
from orchestrator.publisher import Publisher
from orchestrator.service import Orchestrator
from reconciler.cycle import Reconciler
from sagas import points
from sagas.definition import Saga
from sagas.manifest import Manifest
from sagas.numbers import Numbers
from sagas.ports import Store, StoreUnavailable, TransportRefused, TransportUnavailable
from sagas.seal import Sealed

HEAL_SECONDS_MAX = 150.0
TIMEOUTS_MAX = 5
"""How often a handler may hang for as long as it may, before everything must have come to rest."""
LANDS = 0.85
"""A request that is out lands within one lease (rule B1 rests on it): within this part of it."""
LOOK_SECONDS = 0.25
PEACE_SECONDS = 1.0
FIRE_SECONDS_MAX = 6.0
OLDER = 0.3
"""How often a worker lacks steps."""
AWAY = (StoreUnavailable, TransportUnavailable, TransportRefused)


@dataclass(frozen=True)
class Process:
    """A host and what runs on it: how it is stopped, and its ways to the servers."""

    host: Host
    engine: Engine
    store: Store
    streams: RedisStreams
    to_streams: Link
    to_database: Link
    stop: Callable[[], None]


@dataclass(frozen=True)
class Result:
    """How a run went. `digest` is the hash of everything that happened, in order.

    `fired` counts the faults of each kind that had an effect, `idle` those that were chosen and had none.
    """

    script: Script
    violations: tuple[Violation, ...]
    digest: str
    fired: dict[str, int]
    idle: dict[str, int]
    markers: dict[str, int]
    endings: dict[str, int]
    steps: int
    seconds: float
    trace: Trace

    @property
    def failed(self) -> bool:
        """Whether something does not hold."""
        return bool(self.violations)


class System:
    """Everything of one run."""

    run_in_thread: RunInThread | None = None
    """How plain functions run, if not in the threads of their worker."""

    def __init__(self, script: Script, sagas: Sequence[Saga[Any, Any]], *, verbose: bool = False) -> None:
        self.script = script
        self.loop = SimulatedLoop()
        self.trace = Trace(self.loop, verbose=verbose)
        self.clock_jumps = {"streams": 0.0, "database": 0.0}
        roots = {saga.definition: sagas[saga.definition % len(sagas)] for saga in script.sagas}
        self.sealed: dict[str, Sealed] = {
            one.name: shortened(one.seal()) for root in roots.values() for one in root.family()
        }
        self.roots = {definition: self.sealed[root.name] for definition, root in roots.items()}
        self.versions = {name: next_version(one.manifest) for name, one in self.sealed.items()}
        self.checks = Checks(self.loop, self._manifests(), self.trace, script.lease_seconds)
        commits = Random(f"{script.seed}/database")  # noqa: S311 - a draw, no secret
        self.database = Database(self.loop, self.checks.store(lambda: self._now("database")), commits)
        self.outside = Outside(
            self.loop,
            script.seed,
            self.checks.executes,
            self.trace.tell,
            self.checks.fail,
            script.lease_seconds * LANDS,
            self.checks.said,
            self.checks.lands,
        )
        self.checks.outside = self.outside
        for manifest in self._manifests():
            at_once(self.database.store.put_manifest(manifest))
        self.server = WatchedServer(lambda: self._now("streams"), self.checks, oldest=script.oldest_server)
        self.handlers = {name: self.outside.bind(one) for name, one in self.sealed.items()}
        self.processes: dict[str, Process] = {}
        self.hosts: list[Host] = []
        self.names = 0
        self.boots: dict[str, int] = {}
        self.healed = False
        self.older: dict[str, dict[str, Sealed]] = {}
        """What workers have that lack steps of some sagas."""
        self.faults = Faults(self)
        self.people = People(self)

    def handlers_of(self, worker: str) -> Mapping[str, Sealed]:
        """The sagas as a worker has them: until all is well, one may be of an older version, which lacks some steps."""
        rng = Random(f"{self.script.seed}/{worker}/lacks")  # noqa: S311 - a draw, no secret
        if worker != "worker1" and not self.healed and rng.random() < OLDER:
            self.older[worker] = lacking(self.handlers, rng)
            return self.older[worker]
        return self.handlers

    def _now(self, server: str) -> float:
        return EPOCH + self.loop.now + self.clock_jumps[server]

    def _manifests(self) -> list[Manifest]:
        return [*self.versions.values(), *(one.manifest for one in self.sealed.values())]

    def new_name(self) -> str:
        """A name that was never given before."""
        self.names += 1
        return f"name{self.names}"

    def boot(self, name: str) -> None:
        """Start a process."""
        self.boots[name] = boots = self.boots.get(name, 0) + 1
        rng = Random(f"{self.script.seed}/{name}/{boots}")  # noqa: S311 - a draw, no secret
        host = Host(name, rng, self.loop)
        self.hosts.append(host)
        to_streams, to_database = Link(self.loop, host, rng), Link(self.loop, host, rng)
        self.faults.connect(to_streams, to_database)
        self.faults.connect_host(host)
        consumer = name if self.script.same_names else f"{name}-{boots}"
        store = store_of(self.database, to_database)
        lease = self.script.lease_seconds
        streams = RedisStreams(StreamsServer(self.server, to_streams, self.new_name), consumer, lease_seconds=lease)
        clock = LoopClock()
        publisher = Publisher(store, streams, clock, lease)
        streams.on_memory_lost(store.memory_lost)
        numbers = Numbers(lease_seconds=lease)
        engine = Engine(store, clock, publisher, numbers, Limits(self.script.inline_bytes))
        work, stop = self._role(name, host, store, streams, engine, publisher, to_database, consumer)
        self.processes[name] = Process(host, engine, store, streams, to_streams, to_database, stop)
        self.trace.tell("boots", host)
        host.run(self._main(host, work))

    def _role(
        self, name: str, host: Host, store: Store, streams: RedisStreams, engine: Engine, publisher: Publisher,
        link: Link, consumer: str,
    ) -> tuple[Callable[[], Coroutine[Any, Any, None]], Callable[[], None]]:  # fmt: skip
        clock, script = LoopClock(), self.script
        if name.startswith("orchestrator"):
            orchestrator = Orchestrator(store, streams, clock, engine, publisher, script.batch)
            return orchestrator.run, orchestrator.stop
        if name.startswith("reconciler"):
            evidence = SimulatedEvidence(self.database, link, host)
            reconciler = Reconciler(store, evidence, engine, clock, streams)
            return lambda: _within(publisher, reconciler.run), reconciler.stop
        if name.startswith("worker"):
            transactions = SimulatedTransactions(self.outside, link, host)
            in_thread = self.run_in_thread or Threads(script.concurrency, self.trace.mark).run
            here = Surroundings(transactions=transactions, worker=consumer, run_in_thread=in_thread)
            numbers = WorkerNumbers(
                script.concurrency, script.lease_seconds, look_for_idle_seconds=script.idle_seconds, drain_seconds=5.0
            )
            worker = Worker(streams, store, self.handlers_of(name), here, engine, numbers)
            return lambda: _within(publisher, worker.run), worker.drain
        if name.startswith("reader"):
            return Reader(self.database, link, self.checks).run, lambda: None
        ended = asyncio.Event()
        return lambda: _within(publisher, ended.wait), ended.set

    async def _main(self, host: Host, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        try:
            await work()
            self.trace.tell("ends", host)
            host.kill()
        except AWAY as loss:
            self.checks.fail("a process ends by itself", host.name, str(loss))
        except Exception as error:  # noqa: BLE001 - whatever ends a process is a bug
            if host.stopped:
                return  # it is closed after the run
            self.checks.fail("a process ends by an error", host.name, repr(error))

    async def run(self) -> None:
        """Chaos, healing, and the peace after it."""
        script = self.script
        for role, count in (
            ("api", 2), ("orchestrator", script.orchestrators), ("worker", script.workers),
            ("reconciler", script.reconcilers), ("reader", 1),
        ):  # fmt: skip
            for number in range(1, count + 1):
                self.boot(f"{role}{number}")
        self.people.begin()
        self.faults.begin()
        await asyncio.sleep(CHAOS_SECONDS)
        waited = 0.0
        while waited < FIRE_SECONDS_MAX and (self.faults.waiting()):
            await asyncio.sleep(LOOK_SECONDS)
            waited += LOOK_SECONDS
        self.healed = True
        self.trace.tell("heals", None)
        self.outside.heal()
        for known in self.older.values():
            known.update(self.handlers)
        points.arm(None)
        self.faults.heal()
        self.checks.peace_at = self._peace_at()
        await self.people.finish()
        await self.people.release()
        await self.people.answer()
        while True:
            rests = await self._comes_to_rest()
            if not await self.people.release() and not (rests and await self.people.answer()):
                break
        self.checks.finish()
        while not self.checks.violations and await self.people.decide():
            await self._comes_to_rest()
            self.checks.finish()

    def _peace_at(self) -> float:
        """From when on nothing is left of a fault: a server that stands still does so to its end, and then answers."""
        links = [link for process in self.processes.values() for link in (process.to_streams, process.to_database)]
        return max(self.loop.now, *(link.frozen_until for link in links)) + PEACE_SECONDS

    async def _comes_to_rest(self) -> bool:
        """Let everything come to rest; whether it does in time."""
        began = self.loop.now
        while not (self.checks.at_rest() and self.checks.all_read()):
            await asyncio.sleep(LOOK_SECONDS)
            if self.loop.now - began > HEAL_SECONDS_MAX + TIMEOUTS_MAX * self._longest_timeout():
                return False
        return True

    def _longest_timeout(self) -> float:
        nodes = [node for one in self.sealed.values() for node in one.manifest.nodes]
        handlers = [one for node in nodes for one in (node.handler, node.undo, node.probe, node.fallback)]
        return max((handler.timeout for handler in handlers if handler is not None), default=0.0)


async def _within(publisher: Publisher, run: Callable[[], Awaitable[object]]) -> None:
    async with publisher.running():
        await run()


def simulate(script: Script, sagas: Sequence[Saga[Any, Any]], *, verbose: bool = False) -> Result:
    """Run a script. Whatever goes wrong is among the result's violations."""
    chance = random.getstate()
    collecting = gc.isenabled()
    gc.disable()
    random.seed(script.seed)
    system: System | None = None
    loop: SimulatedLoop | None = None
    try:
        system = System(script, sagas, verbose=verbose)
        loop = system.loop
        if script.points:
            points.arm(Points(script).fires)
        with logged(system.trace, verbose=verbose):
            try:
                loop.run_until_complete(system.run())
            except StalledError as stalled:
                system.checks.fail("time goes on", "", str(stalled))
            for crash in loop.crashes:
                system.checks.fail("no task ends by an error", "", repr(crash))
        return _result(system)
    finally:
        points.arm(None)
        random.setstate(chance)
        if loop is not None:
            for host in system.hosts if system is not None else ():
                host.stopped = True
            logging.disable(logging.CRITICAL)
            close_all(loop)
            logging.disable(logging.NOTSET)
            loop.close()
        if collecting:
            gc.enable()


class Points:
    """Which points of production code fire: some of them in each run, and those now and then."""

    def __init__(self, script: Script) -> None:
        self._chance = script.points
        self._seed = script.seed
        self._armed: dict[str, Random | None] = {}

    def fires(self, point: str) -> bool:
        """Whether it fires now."""
        if point not in self._armed:
            rng = Random(f"{self._seed}/{point}")  # noqa: S311 - a draw, no secret
            self._armed[point] = rng if rng.random() < 0.5 else None
        armed = self._armed[point]
        return armed is not None and armed.random() < self._chance


def _result(system: System) -> Result:
    trace = system.trace
    digest = blake2b(digest_size=16)
    for line in trace.lines:
        digest.update(repr(line).encode())
    return Result(
        script=system.script,
        violations=tuple(system.checks.violations),
        digest=digest.hexdigest(),
        fired=dict(system.faults.effects.had),
        idle=dict(system.faults.effects.idle),
        markers=dict(trace.markers),
        endings=system.checks.endings(),
        steps=system.loop.steps,
        seconds=system.loop.now,
        trace=trace,
    )
