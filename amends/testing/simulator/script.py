"""What happens in one run, as data drawn from its seed: sagas, requests and faults. A failure shrinks."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import Any, Literal

import orjson

STARTS_SECONDS = 3.0
CHAOS_SECONDS = 6.5
HASTY = 0.3
"""How many requests come while the saga that they name has hardly begun, within `HASTE_SECONDS`."""
HASTE_SECONDS = 0.1
REFUSING = 0.25
FaultKind = Literal[
    "kill", "pause", "drain",
    "cut streams", "cut database", "partition streams", "partition database", "slow streams", "slow database",
    "lose answers of streams", "lose answers of database", "lose requests to streams", "lose requests to database",
    "flush", "failover", "restart streams", "streams away", "streams refuse", "streams freeze", "trim", "destroy group",
    "delete consumers", "foreign entry", "outcome twice", "clock of streams",
    "database away", "database freezes", "slow commits", "clash", "clock of database",
    "database refuses",
]  # fmt: skip
RequestKind = Literal["cancel", "hold", "release", "send", "try again", "resolve", "correct", "migrate"]
AT_HOSTS: tuple[FaultKind, ...] = (
    "kill", "pause", "drain", "cut streams", "cut database", "partition streams", "partition database",
    "slow streams", "slow database", "lose answers of streams", "lose answers of database", "lose requests to streams",
    "lose requests to database",
)  # fmt: skip
AT_SERVERS: tuple[FaultKind, ...] = (
    "flush", "failover", "restart streams", "streams away", "streams refuse", "streams freeze", "trim",
    "destroy group", "delete consumers", "foreign entry", "outcome twice", "clock of streams", "database away",
    "database freezes", "slow commits", "clash", "clock of database",
)  # fmt: skip
REFUSALS: tuple[FaultKind, ...] = ("database refuses",)
"""Drawn by itself, so that seeds without it keep their scripts."""
REQUESTS: tuple[RequestKind, ...] = (
    "cancel", "hold", "release", "send", "send", "send", "try again", "try again", "resolve", "resolve", "correct",
    "migrate",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Fault:
    """Something goes wrong at the instant `at` (seconds), for so many `seconds`, at a host or at a server."""

    at: float
    kind: FaultKind
    host: str = ""
    seconds: float = 0.0
    count: int = 1


@dataclass(frozen=True, slots=True)
class Saga:
    """A saga that somebody starts; `twice`: two people do so with the same key. `joined`: in a transaction of theirs.

    One that is not `kept` never starts; it keeps its place, since requests name sagas by it. One that is `late` starts
    so long after everything works again.
    """

    at: float
    definition: int
    trouble: float
    kept: bool = True
    keyed: bool = False
    twice: bool = False
    joined: bool = False
    late: bool = False


@dataclass(frozen=True, slots=True)
class Request:
    """Somebody asks something of the saga with this number."""

    at: float
    kind: RequestKind
    saga: int
    draw: int


@dataclass(frozen=True, slots=True)
class Script:
    """One run. The numbers are those of hosts, and of settings that a seed perturbs."""

    seed: int
    orchestrators: int
    workers: int
    reconcilers: int
    batch: int
    concurrency: int
    inline_bytes: int
    idle_seconds: float
    lease_seconds: float
    oldest_server: bool
    same_names: bool
    points: float
    sagas: tuple[Saga, ...]
    requests: tuple[Request, ...]
    faults: tuple[Fault, ...]
    modules: tuple[str, ...] = ()
    """Where its sagas are from; without any they are random ones."""

    @property
    def length(self) -> int:
        """How many things happen: sagas, requests and faults."""
        return sum(saga.kept for saga in self.sagas) + len(self.requests) + len(self.faults)

    def to_json(self) -> bytes:
        """The form in which a script is kept as a regression case."""
        return orjson.dumps(dataclasses.asdict(self), option=orjson.OPT_INDENT_2)

    @classmethod
    def from_json(cls, document: bytes | str) -> "Script":
        """Read what `to_json` wrote."""
        data: dict[str, Any] = orjson.loads(document)
        data["sagas"] = tuple(Saga(**entry) for entry in data["sagas"])
        data["requests"] = tuple(Request(**entry) for entry in data["requests"])
        data["faults"] = tuple(Fault(**entry) for entry in data["faults"])
        data["modules"] = tuple(data["modules"])
        return cls(**data)


def draw(seed: int, definitions: int) -> Script:
    """The script of a seed: at least 20 sagas of some of so many definitions, and at least five kinds of fault."""
    rng = Random(f"script/{seed}")  # noqa: S311 - a draw, no secret
    orchestrators, workers, reconcilers = rng.choice((1, 2, 2)), rng.choice((2, 2, 3)), rng.choice((0, 1, 2))
    hosts = ["api1", "api2"]
    hosts += [f"orchestrator{number}" for number in range(1, orchestrators + 1)]
    hosts += [f"worker{number}" for number in range(1, workers + 1)]
    hosts += [f"reconciler{number}" for number in range(1, reconcilers + 1)]
    chosen = rng.sample(range(definitions), min(definitions, 4))
    sagas = [_saga(rng, chosen) for _ in range(rng.randint(20, 24))]
    return Script(
        seed=seed,
        orchestrators=orchestrators,
        workers=workers,
        reconcilers=reconcilers,
        batch=rng.choice((1, 3, 500, 500)),
        concurrency=rng.choice((1, 4, 10)),
        inline_bytes=rng.choice((8192, 8192, 8)),
        idle_seconds=rng.choice((0.5, 1.0, 2.0)),
        lease_seconds=rng.choice((2.0, 2.0, 4.0)),
        oldest_server=rng.random() < 0.3,
        same_names=rng.random() < 0.3,
        points=rng.choice((0.0, 0.03, 0.15)),
        sagas=tuple(sagas),
        requests=(*_requests(rng, sagas), *_hasty(Random(f"script/{seed}/hasty"), sagas)),  # noqa: S311 - a draw
        faults=(*_faults(rng, hosts), *_refusals(Random(f"script/{seed}/refusals"))),  # noqa: S311 - a draw, no secret
    )


def _saga(rng: Random, chosen: Sequence[int]) -> Saga:
    keyed = rng.random() < 0.3
    return Saga(
        at=rng.random() * STARTS_SECONDS,
        definition=rng.choice(chosen),
        trouble=rng.choice((0.0, 0.05, 0.15, 0.4)),
        keyed=keyed,
        twice=keyed and rng.random() < 0.5,
        joined=rng.random() < 0.2,
        late=rng.random() < 0.1,
    )


def _requests(rng: Random, sagas: Sequence[Saga]) -> list[Request]:
    found: list[Request] = []
    for _ in range(rng.randint(10, 25)):
        saga = rng.randrange(len(sagas))
        at = rng.random() * CHAOS_SECONDS
        if rng.random() < HASTY:
            at = sagas[saga].at + rng.random() * HASTE_SECONDS
        request = Request(at, rng.choice(REQUESTS), saga, rng.getrandbits(30))
        found.append(request)
        if request.kind == "hold":
            found.append(Request(request.at + rng.random() * 8, "release", request.saga, rng.getrandbits(30)))
    return found


def _hasty(rng: Random, sagas: Sequence[Saga]) -> list[Request]:
    """What makes sense for a short while only: a move of what has hardly begun, a step that waits for its delay."""
    found: list[Request] = []
    for kind in ("migrate", "migrate", "migrate", "try again", "try again"):
        saga = rng.randrange(len(sagas))
        found.append(Request(sagas[saga].at + rng.random() * 2, kind, saga, rng.getrandbits(30)))
    return found


def _faults(rng: Random, hosts: Sequence[str]) -> list[Fault]:
    kinds: list[FaultKind] = [*rng.sample(AT_HOSTS, rng.randint(3, 6)), *rng.sample(AT_SERVERS, rng.randint(2, 5))]
    if rng.random() < 0.4 and "pause" not in kinds:
        kinds.append("pause")  # of all faults the one that brings late words
    found: list[Fault] = []
    for kind in kinds:
        for _ in range(rng.randint(1, 2)):
            host = ""
            if kind in AT_HOSTS:
                host = rng.choice(hosts if rng.random() < 0.4 else [one for one in hosts if one[0] in "ow"])
            found.append(
                Fault(
                    at=0.2 + rng.random() * (CHAOS_SECONDS - 1),
                    kind=kind,
                    host=host,
                    seconds=rng.choice((0.05, 0.5, 2.0, 6.0, *(4.0, 6.0) * (kind == "pause"))) * (0.5 + rng.random()),
                    count=rng.randint(1, 3),
                )
            )
    return sorted(found, key=lambda fault: fault.at)


def _refusals(rng: Random) -> list[Fault]:
    """In one of four runs the database is read and cannot be written for a while: a full disk, a standby."""
    if rng.random() >= REFUSING:
        return []
    return [Fault(rng.random() * CHAOS_SECONDS, rng.choice(REFUSALS), seconds=rng.choice((0.5, 4.0, 8.0, 12.0)))]
