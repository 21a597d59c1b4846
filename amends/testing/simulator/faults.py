"""Faults of a script, made to happen: to hosts, to the ways between them and the servers, and to the servers."""

from typing import TYPE_CHECKING, Any

from amends.testing.simulator.database import STATEMENT_SECONDS
from amends.testing.simulator.effects import Count, Effects
from amends.testing.simulator.hosts import Host
from amends.testing.simulator.network import Link
from amends.testing.simulator.script import Fault
from consumers.keys import ORCHESTRATORS, OUTCOMES, WORKERS, command_key
from consumers.memory_streams import Memory
from consumers.priorities import PRIORITIES
from consumers.wire import SOCKET_SECONDS, Command, ResponseError

if TYPE_CHECKING:
    from amends.testing.simulator.system import Process, System

STARTS_AGAIN_SECONDS = 0.5
LOOK_SECONDS = 0.2
SLOW_SECONDS = 3.0
SLOW_COMMITS_SECONDS = 2.0
TROUBLE_SECONDS = 25.0
"""How long after a fault a worker may still be given up for what happened then: a timeout, leases, its check."""
HARMLESS = ("kill", "pause", "drain", "clash", "slow commits", "foreign entry", "outcome twice", "database refuses")
"""What takes nobody's lease but that of a host that is hit."""
OF_DATABASE = ("cut database", "partition database", "slow database", "lose answers of database",
               "lose requests to database")  # fmt: skip


class Faults:
    """What goes wrong in one run, and what came of it."""

    def __init__(self, system: "System") -> None:
        self.effects = Effects(system.loop)
        self._system = system
        self._loop = system.loop
        self._pending: dict[Fault, None] = {}
        self._losing: list[Fault] = []
        self._down: dict[str, float] = {}
        self._memories: dict[Fault, Memory] = {}
        self._streams_away = 0
        self._database_away = 0

    def begin(self) -> None:
        """Have everything of the script happen at its time."""
        for fault in self._system.script.faults:
            self._pending[fault] = None
            self._loop.later(fault.at, self._happen, fault)
            if fault.kind == "failover":  # what the other server has is a little older
                self._loop.later(max(fault.at - fault.seconds, 0.0), self._remember, fault)

    def connect(self, to_streams: Link, to_database: Link) -> None:
        """The ways of a process that starts are as the servers are now."""
        to_streams.refused = self._streams_away > 0
        to_database.refused = self._database_away > 0

    def waiting(self) -> bool:
        """Whether some are still to happen, or to find something that they can take."""
        refuses = self._loop.now < self._system.database.refusing_until
        return bool(self._pending) or refuses or any(map(self.effects.none_yet, self._losing))

    def heal(self) -> None:
        """Everything works again, and every process runs."""
        system = self._system
        self.effects.finish(list(self._pending))
        self._streams_away = self._database_away = 0
        system.server.refusing = False
        system.database.commit_seconds = system.database.commit_quickly
        system.database.clash = 0
        system.database.refusing_until = 0.0
        for process in system.processes.values():
            for link in (process.to_streams, process.to_database):
                link.refused = False
                link.speak()
                link.slow_seconds = 0.0  # a server that stands still goes on by itself
                link.lose_answers = link.lose_requests = 0
            process.host.resume()
        for name, process in list(system.processes.items()):
            if not process.host.alive:
                system.boot(name)

    def connect_host(self, host: Host) -> None:
        """Whatever ends this process, it is started again."""
        host.on_death.append(
            lambda: self._loop.later(self._down.pop(host.name, STARTS_AGAIN_SECONDS), self._start_again, host)
        )

    def _remember(self, fault: Fault) -> None:
        """What the other server has: mostly its last word is that of a command which nobody has read there."""
        self._keep_memory(fault)
        if fault.count > 1:
            self._system.server.when_added.append(lambda: self._keep_memory(fault))

    def _keep_memory(self, fault: Fault) -> None:
        self._memories[fault] = self._system.server.snapshot()

    def _happen(self, fault: Fault) -> None:
        if self._system.healed or fault not in self._pending:
            return
        process = self._system.processes.get(fault.host)
        if fault.host and (process is None or not process.host.alive or process.host.stopped):
            self._loop.later(LOOK_SECONDS, self._happen, fault)
            return
        del self._pending[fault]
        if fault.kind.startswith("clock"):
            self._system.checks.one_clock = False
            if fault.kind == "clock of database" and fault.count > 1:
                self._system.outside.leaps.append(self._loop.now)
        if fault.kind not in HARMLESS:
            over = self._loop.now + fault.seconds + TROUBLE_SECONDS
            self._system.checks.troubled_until = max(self._system.checks.troubled_until, over)
        self._system.trace.tell(f"fault: {fault.kind}", process.host if process else None, fault.seconds, fault.count)
        if process is not None:
            self._at_host(fault, process)
        else:
            self._at_server(fault)

    def _at_host(self, fault: Fault, process: "Process") -> None:
        host, later, effects = process.host, self._loop.later, self.effects
        link = process.to_database if fault.kind in OF_DATABASE else process.to_streams
        match fault.kind:
            case "kill":
                self._down[host.name] = fault.seconds
                host.kill()
                effects.tell(fault, effect=True)
            case "pause":
                effects.watch(fault, lambda: host.missed, fault.seconds)
                host.pause()
                later(fault.seconds, host.resume)
            case "drain":
                process.stop()
                effects.tell(fault, effect=True)
            case "cut streams" | "cut database":
                effects.tell(fault, link.busy)
                link.cut()
            case "partition streams" | "partition database":
                effects.watch(fault, lambda: link.asked, fault.seconds)
                link.be_silent(SOCKET_SECONDS if link is process.to_streams else STATEMENT_SECONDS)
                later(fault.seconds, self._set, link, "silent", False)
            case "slow streams" | "slow database":
                effects.watch(fault, lambda: link.asked, SLOW_SECONDS)
                link.slow_seconds = min(fault.seconds / 2, 1.0)
                later(SLOW_SECONDS, self._set, link, "slow_seconds", 0.0)
            case _:
                effects.watch(fault, lambda: link.lost)
                self._losing.append(fault)
                if fault.kind.startswith("lose answers"):
                    link.lose_answers += fault.count
                else:
                    link.lose_requests += fault.count

    def _at_server(self, fault: Fault) -> None:
        system, later, effects = self._system, self._loop.later, self.effects
        server = system.server
        match fault.kind:
            case "flush":
                effects.tell(fault, server.keys())
                server.flush(silently=fault.count == 1)
            case "failover" | "restart streams":
                server.restart(self._memories.get(fault), other=fault.kind == "failover")
                self._cut("to_streams")
                effects.tell(fault, effect=True)
            case "streams away":
                effects.watch(fault, self._asked("to_streams"), fault.seconds)
                self._away("to_streams", fault.seconds)
            case "streams refuse":
                effects.watch(fault, lambda: server.refused, fault.seconds)
                server.refusing = True
                later(fault.seconds, self._set, server, "refusing", False)
            case "streams freeze":
                effects.watch(fault, self._asked("to_streams"), fault.seconds)
                for process in system.processes.values():
                    process.to_streams.freeze(fault.seconds, SOCKET_SECONDS)
            case "trim":
                effects.tell(fault, sum(self._trim(key, fault.count) for key in self._command_keys()))
            case "destroy group":
                gone = [self._by_hand(("XGROUP", "DESTROY", key, WORKERS)) for key in self._command_keys()]
                if fault.count > 1:
                    gone.append(self._by_hand(("XGROUP", "DESTROY", OUTCOMES, ORCHESTRATORS)))
                effects.tell(fault, any(gone))
            case "delete consumers":
                effects.tell(fault, self._delete_consumers(also_of_outcomes=fault.count > 1))
            case "foreign entry" | "outcome twice" if server.refusing:
                self._pending[fault] = None
                later(LOOK_SECONDS, self._happen, fault)
            case "foreign entry":
                for key in [*self._command_keys(), OUTCOMES]:
                    server.execute(("XADD", key, "*", "b", b'{"kind":"none of ours"}'))
                effects.tell(fault, effect=True)
            case "outcome twice":
                effects.tell(fault, server.said)
                for body in list(server.said):
                    server.execute(("XADD", OUTCOMES, "*", "b", body))
            case "clock of streams" | "clock of database":
                system.clock_jumps[fault.kind.rpartition(" ")[2]] += fault.seconds * (1 if fault.count > 1 else -0.2)
                effects.tell(fault, effect=True)
            case _:
                self._at_database(fault)

    def _at_database(self, fault: Fault) -> None:
        system, later, effects, database = self._system, self._loop.later, self.effects, self._system.database
        match fault.kind:
            case "database away":
                effects.watch(fault, self._asked("to_database"), fault.seconds)
                database.generation += 1
                self._away("to_database", fault.seconds)
            case "database freezes":
                effects.watch(fault, self._asked("to_database"), fault.seconds)
                for process in system.processes.values():
                    process.to_database.freeze(fault.seconds, STATEMENT_SECONDS)
            case "database refuses":
                effects.watch(fault, lambda: database.refused, fault.seconds)
                database.refusing_until = self._loop.now + fault.seconds
            case "slow commits":
                effects.watch(fault, lambda: database.appends, SLOW_COMMITS_SECONDS)
                database.commit_seconds = lambda: fault.seconds / 4
                later(SLOW_COMMITS_SECONDS, self._set, database, "commit_seconds", database.commit_quickly)
            case _:
                effects.watch(fault, lambda: database.clashes)
                database.clash += fault.count

    def _asked(self, way: str) -> Count:
        """How often all processes together have asked a server."""
        return lambda: sum(getattr(process, way).asked for process in self._system.processes.values())

    def _trim(self, key: str, count: int) -> int:
        server = self._system.server
        oldest = [name for name, _ in server.execute(("XRANGE", key, "-", "+", "COUNT", count))]
        return int(server.execute(("XDEL", key, *oldest))) if oldest else 0

    def _delete_consumers(self, *, also_of_outcomes: bool) -> int:
        """Forget who has been handed what: how much that is."""
        forgotten = 0
        outcomes = [(OUTCOMES, ORCHESTRATORS)] * also_of_outcomes
        for key, group in [*((key, WORKERS) for key in self._command_keys()), *outcomes]:
            handed_out = self._by_hand(("XPENDING", key, group, "-", "+", 1000))
            forgotten += len(handed_out)
            for _, consumer, *_ in handed_out:
                self._by_hand(("XGROUP", "DELCONSUMER", key, group, consumer.decode()))
        return forgotten

    def _by_hand(self, command: Command) -> Any:
        """What somebody types at the server; it may be that there is no such thing."""
        try:
            return self._system.server.execute(command)
        except ResponseError:
            return []

    def _command_keys(self) -> list[str]:
        return [command_key("default", priority) for priority in PRIORITIES]

    def _cut(self, way: str) -> None:
        for process in self._system.processes.values():
            getattr(process, way).cut()

    def _away(self, way: str, seconds: float) -> None:
        self._count(way, 1)
        for process in self._system.processes.values():
            getattr(process, way).refused = True
        self._cut(way)
        self._loop.later(seconds, self._back, way)

    def _back(self, way: str) -> None:
        if not self._system.healed:
            self._count(way, -1)
            for process in self._system.processes.values():
                getattr(process, way).refused = bool(self._streams_away if way == "to_streams" else self._database_away)

    def _count(self, way: str, more: int) -> None:
        if way == "to_streams":
            self._streams_away += more
        else:
            self._database_away += more

    def _set(self, what: Any, name: str, value: Any) -> None:
        if not self._system.healed:
            setattr(what, name, value)

    def _start_again(self, host: Host) -> None:
        """Start a process anew, unless healing has done so."""
        if self._system.processes[host.name].host is host:
            self._system.boot(host.name)
