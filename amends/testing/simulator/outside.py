"""The world outside: what steps do there, whatever the engine believes of it; and handlers that do it.

Everything that may go wrong is drawn from the seed, the saga, the step and the attempt: the same attempt does the same
in every run, whatever else happens.
"""

import asyncio
import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from random import Random
from typing import Any, Literal, TypeVarTuple, Unpack

from amends.testing.simulator.examples import example
from amends.testing.simulator.hosts import HOST, Host, SimulatedLoop
from amends.testing.simulator.said import Arguments, Said
from orchestrator.commands import timeout_of
from orchestrator.engine import CLOCK_SECONDS
from sagas.answers import CannotTell, DidNotHappen, Happened
from sagas.binding import BoundHandler
from sagas.context import Context
from sagas.errors import Permanent, Recoverable
from sagas.events import Json
from sagas.manifest import Manifest, Node, Parameter, Role
from sagas.seal import Sealed

CALL, TAKES = " call", " takes"
"""Names, no handler's, under which a stand-in gets the context of its call, and its arguments as they came."""
BEATS = 0.6
"""How many handlers that are to give signs of life do so."""
POISON = 0.05
LENGTH_SECONDS_MAX = 10.0
Key = tuple[str, str, int | None]
Ts = TypeVarTuple("Ts")
Conduct = Literal["ok", "slow", "permanent", "recoverable", "reset", "reset_undone", "hang", "hang_undone", "late",
                  "dies", "cannot_tell"]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Execution:
    """One entry into a handler."""

    key: Key
    role: Role
    attempt: int
    at: float
    host: Host


@dataclass(frozen=True, slots=True)
class Landed:
    """An effect that is there: whose it is, and since when."""

    by: Execution
    at: float


@dataclass(frozen=True, slots=True)
class Work:
    """What a handler is to do: a result of this schema, within so many seconds, silent for as long at most."""

    schema: Any
    timeout: float
    silent_seconds: float | None
    context: Context


@dataclass
class Outside:
    """What is true. `there` are the steps whose effect is there; `landed` when each last came, and from whom."""

    loop: SimulatedLoop
    seed: int
    watch: Callable[[Execution], None]
    tell: Callable[..., None]
    fail: Callable[[str, str, str], None]
    lands_seconds_max: float
    said: Said
    watch_landing: Callable[[Execution], None] | None = None
    trouble: dict[str, float] = field(default_factory=dict[str, float])
    there: dict[Key, Landed] = field(default_factory=dict[Key, Landed])
    ended: dict[tuple[str, str, int | None, int], str] = field(
        default_factory=dict[tuple[str, str, int | None, int], str]
    )
    """How the handlers of attempts have ended that have."""
    executed: dict[tuple[str, str, int | None, int], Execution] = field(
        default_factory=dict[tuple[str, str, int | None, int], Execution]
    )
    running: dict[tuple[str, str, int | None, int], Execution] = field(
        default_factory=dict[tuple[str, str, int | None, int], Execution]
    )
    hanging: list[asyncio.Future[None]] = field(default_factory=list[asyncio.Future[None]])
    calm: bool = False
    leaps: list[float] = field(default_factory=list[float])
    """When the database's clock leapt forward: what waits by it ends early."""
    kept: dict[str, Json] = field(default_factory=dict[str, Json])
    closed: set[str] = field(default_factory=set[str])
    locked: dict[str, asyncio.Event] = field(default_factory=dict[str, asyncio.Event])

    def bind(self, sealed: Sealed) -> Sealed:
        """The saga with stand-ins for its handlers."""
        return Sealed(
            sealed.manifest,
            {place: self._stand_in(sealed.manifest, bound) for place, bound in sealed.handlers.items()},
            sealed.saga,
        )

    def _stand_in(self, manifest: Manifest, bound: BoundHandler) -> BoundHandler:
        node = manifest.by_name[bound.step]
        schema = node.result_schema
        timeout = timeout_of(node, bound.role)
        other = copy.copy(bound)
        transaction = next((one.name for one in bound.parameters if one.source == "transaction"), None)

        async def act(**arguments: Any) -> Any:
            staged: list[Callable[[], None]] | None = None if transaction is None else arguments[transaction]
            context: Context = arguments[CALL]
            attempt = (context.saga_id, context.step, context.item, context.attempt)
            self._checked(self.said.takes, manifest, node, attempt, arguments[TAKES])
            return await self._act(bound, Work(schema, timeout, node.heartbeat_timeout, context), staged)

        def arguments_of(values: Mapping[str, Json], given: Mapping[str, Json], *, without_result: bool = False) -> Any:
            found = bound.arguments(values, given, without_result=without_result)
            known = {name: value for name, value in values.items() if not (without_result and name == "result")}
            return {**found, TAKES: Arguments(bound.parameters, known, given)}

        act.__name__ = bound.function.__name__
        other.function, other.resources = act, {}
        other.arguments = arguments_of  # type: ignore[method-assign]
        other.parameters = (*bound.parameters, Parameter(CALL, "context"))
        return other

    def _conduct(self, rng: Random, saga_id: str, role: Role) -> Conduct:
        if self.calm or rng.random() >= self.trouble.get(saga_id, 0.0):
            return "ok"
        choices: tuple[Conduct, ...] = (
            "slow", "permanent", "recoverable", "reset", "reset_undone", "hang", "hang_undone", "late", "dies",
        )  # fmt: skip
        if role == "undo":
            choices = ("slow", "recoverable", "reset", "reset_undone", "hang", "late", "dies")
        elif role == "probe":
            choices = ("slow", "cannot_tell", "recoverable", "hang_undone")
        return rng.choice(choices)

    def _beats(self, key: Key, attempt: int) -> bool:
        """Whether a handler gives the signs of life that it is to give."""
        return Random(f"{self.seed}/beats/{key}/{attempt}").random() < BEATS  # noqa: S311 - a draw, no secret

    def _is_poison(self, key: Key, role: Role) -> bool:
        """Whether this step kills whoever runs it, each time: no peace cures that."""
        if role != "step":
            return False
        rng = Random(f"{self.seed}/{key}")  # noqa: S311 - a draw, no secret
        return rng.random() < POISON * self.trouble.get(key[0], 0.0)

    async def _act(self, bound: BoundHandler, work: Work, staged: list[Callable[[], None]] | None) -> Any:
        host, context = HOST.get(), work.context
        assert host is not None
        key: Key = (context.saga_id, context.step, context.item)
        role, attempt = bound.role, context.attempt
        here = Execution(key, role, attempt, self.loop.now, host)
        self._checked(self.watch, here)
        self.executed[*key, attempt] = self.running[*key, attempt] = here
        try:
            result = await self._conducted(bound, work, here, staged)
            self.ended[*key, attempt] = "returned"
            return result
        except (Permanent, Recoverable):
            self.ended[*key, attempt] = "failed"
            raise
        finally:
            self.running.pop((*key, attempt), None)

    async def _conducted(
        self, bound: BoundHandler, work: Work, here: Execution, staged: list[Callable[[], None]] | None
    ) -> Any:
        key, role, attempt, host = here.key, here.role, here.attempt, here.host
        rng = Random(f"{self.seed}/{key}/{role}/{attempt}")  # noqa: S311 - a draw, no secret
        conduct = "dies" if self._is_poison(key, role) else self._conduct(rng, key[0], role)
        result = None if role == "undo" else self._made(bound, here, example(work.schema, rng))
        length = _length(rng, work.timeout, slow=conduct == "slow")
        beats = role == "step" and self._beats(key, attempt)
        await _works(length, work.context, work.silent_seconds if beats else None)
        match conduct:
            case "permanent":
                raise Permanent("drawn")
            case "recoverable":
                raise Recoverable("drawn")
            case "hang_undone":
                await self._never()
            case "reset_undone":
                raise ConnectionResetError("drawn")
            case "dies":
                host.kill()
                await self._never()
            case "cannot_tell":
                return CannotTell("drawn")
            case _:
                pass
        if role == "probe":
            return Happened(result) if key in self.there else DidNotHappen()
        if staged is not None:
            staged.append(lambda: self._land(here))
            return result
        landed = self.loop.create_future()
        delay = rng.random() * (self.lands_seconds_max if conduct == "late" else 0.01)
        self.loop.later(delay, self._arrive, here, landed)
        if conduct == "late":  # it is out, and whoever waits for it goes away
            await self._never()
        await landed
        if conduct == "reset":
            raise ConnectionResetError("drawn")
        if conduct == "hang":
            await self._never()
        await asyncio.sleep(rng.random() * 0.02)
        return result

    def _made(self, bound: BoundHandler, here: Execution, value: Json) -> Any:
        """What a handler will give; it may be read once, so what will be recorded is read off another."""
        self.said.returns((*here.key, here.attempt), bound.dump(bound.load(value)))
        return bound.load(value)

    def _never(self) -> "asyncio.Future[None]":
        """What hangs until everything works again: then, or at once if it does, it is answered by an error."""
        hanging: asyncio.Future[None] = self.loop.create_future()
        self.hanging.append(hanging)
        if self.calm:
            self.heal()
        return hanging

    def heal(self) -> None:
        """Everything works from now on."""
        self.calm = True
        for one in self.hanging:
            if not one.done():
                one.set_exception(ConnectionResetError("the connection is lost at last"))

    def is_unavoidable(self, key: Key, node: Node, lease_seconds: float) -> bool:
        """Whether nobody could have known that this effect would still come (rule B1).

        A worker stood still for longer than anybody waits, had its effect, and died without a word; or what waits for
        attempts that may still run was cut short by a leap of the database's clock, and no word of this one came.
        """
        landed = self.there[key]
        timeout = max(one.timeout for one in (node.handler, node.fallback) if one is not None)
        if not landed.by.host.alive and landed.at > landed.by.at + timeout + lease_seconds:
            return True
        silent = self.ended.get((*key, landed.by.attempt)) != "returned"
        return silent and any(landed.by.at - CLOCK_SECONDS <= leap <= landed.at for leap in self.leaps)

    def leapt_since(self, at: float) -> bool:
        """Whether the database's clock has leapt forward since: what waited for attempts that may run was cut short."""
        return any(leap >= at - CLOCK_SECONDS for leap in self.leaps)

    def _checked(self, check: Callable[[Unpack[Ts]], None], *arguments: *Ts) -> None:
        """Check something. A check that is broken itself must fail the run: a handler's error would be an outcome."""
        try:
            check(*arguments)
        except Exception as error:  # noqa: BLE001 - whatever it is
            self.fail("no check ends by an error", "", repr(error))

    def _arrive(self, here: Execution, landed: "asyncio.Future[None]") -> None:
        self._land(here)
        if not landed.done():
            landed.set_result(None)

    def _land(self, here: Execution) -> None:
        if here.role == "undo":
            self.there.pop(here.key, None)
        else:
            self.there[here.key] = Landed(here, self.loop.now)
            if self.watch_landing is not None:
                self._checked(self.watch_landing, here)
        self.tell("undone outside" if here.role == "undo" else "done outside", here.host, here.key, here.attempt)


async def _works(seconds: float, context: Context, silent_seconds: float | None) -> None:
    """Work for so long, with signs of life that are frequent enough, if any."""
    done = 0.0
    while silent_seconds is not None and seconds - done > silent_seconds / 2:
        await asyncio.sleep(silent_seconds / 2)
        done += silent_seconds / 2
        if done * 4 < seconds:
            await context.heartbeat()
        else:
            await context.progress(int(100 * done / seconds), "it goes on")
    await asyncio.sleep(seconds - done)


def _length(rng: Random, timeout: float, *, slow: bool) -> float:
    """How long a handler takes: mostly very little, sometimes most of what it may."""
    draw, timeout = rng.random(), min(timeout, LENGTH_SECONDS_MAX)
    if slow or draw > 0.85:
        return timeout * (0.2 + 0.7 * draw)
    return 0.3 * draw if draw > 0.5 else 0.02 * draw
