"""The manifest: a saga definition as data, which `decide` and `evolve` run and Postgres keeps.

The orchestrator holds no user code. What it needs of a definition is here: the graph, the policies, the classes, the
schemas. `fingerprint` is the SHA-256 of the canonical JSON, so two processes agree on a definition by comparing it.
"""

import dataclasses
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

import orjson

from sagas.records import record

NodeKind = Literal["step", "signal", "sleep", "sleep_until", "child"]
StepClass = Literal["compensatable", "no_undo", "pivot", "retriable", "signal", "sleep", "child"]
Source = Literal["item", "result", "node", "input", "context", "transaction", "resource"]
Priority = Literal["high", "normal", "low"]
Role = Literal["step", "undo", "probe", "fallback"]

PathKind = Literal["when", "each", "moment"]

STEP_TIMEOUT_SECONDS = 10.0
STEP_DELAYS_SECONDS = (1.0, 5.0, 30.0)
UNDO_DELAYS_SECONDS = (1.0, 5.0, 30.0, 60.0, 300.0)
ITEMS_MAX = 10_000
ITEMS_OPEN_MAX = 100


@record
class RetryPolicy:
    """When a failed execution is tried again: one delay in seconds for each retry [req. X1, X2, O6].

    `jitter` is the greatest part of a delay that may be taken off (0 to 1); with `forever` the last delay repeats.
    """

    delays: tuple[float, ...] = STEP_DELAYS_SECONDS
    jitter: float = 0.0
    forever: bool = False


@record
class Parameter:
    """One parameter of a handler and where its argument comes from (def_R2).

    `of` names the node (source `node`) or the resource type (source `resource`); `given` wraps the value in `Given`.
    """

    name: str
    source: Source
    of: str | None = None
    given: bool = False


@record
class Handler:
    """One function of a node: what it takes, how long it may run, when it is tried again."""

    function: str
    parameters: tuple[Parameter, ...] = ()
    transactional: bool = False
    timeout: float = STEP_TIMEOUT_SECONDS
    retry: RetryPolicy = RetryPolicy()

    @property
    def resources(self) -> tuple[str, ...]:
        """Names of the resource types that a worker must be able to make."""
        return tuple(p.of for p in self.parameters if p.source == "resource" and p.of is not None)


@record
class BreakerPolicy:
    """A breaker that several steps may share by name (def_R19). `per` is a path that gives each value its own."""

    name: str
    per: str | None = None
    failures: int = 5
    open_for: float = 60.0


@record
class Node:
    """One step, wait or child of a saga.

    `after` holds the names of all nodes that must have ended before, from parameters, paths and `after=` together.
    `when`, `unless` and `each` are paths (def_R15, def_R16, def_R27). `timeout` is in seconds and, for a signal, the
    time it is waited for; `length` (sleep) is in seconds, `moment` (sleep_until) and `child_input` (child) are paths.
    """

    name: str
    kind: NodeKind
    step_class: StepClass
    after: tuple[str, ...] = ()
    handler: Handler | None = None
    undo: Handler | None = None
    probe: Handler | None = None
    probe_decides: bool = False
    fallback: Handler | None = None
    when: str | None = None
    unless: str | None = None
    each: str | None = None
    concurrency: int | None = None
    item_failure: Literal["fail", "leave_out"] = "fail"
    schedule_timeout: float | None = None
    heartbeat_timeout: float | None = None
    breaker: BreakerPolicy | None = None
    queue: str = "default"
    priority: Priority = "normal"
    gives: str = "None"
    result_schema: Mapping[str, Any] = field(default_factory=dict[str, Any])
    timeout: float | None = None
    on_timeout: Literal["compensate", "continue"] | None = None
    length: float | None = None
    moment: str | None = None
    child: str | None = None
    child_input: str | None = None

    @property
    def pivot(self) -> bool:
        """Whether there is no way back after this node."""
        return self.step_class == "pivot"

    @property
    def transactional(self) -> bool:
        """Whether the step's own effect commits in Amends' database (rules T1 and T2)."""
        return self.handler is not None and self.handler.transactional


@dataclass(frozen=True)
class Manifest:
    """A sealed definition. `result_from` names the node whose result is the saga's (def_R14).

    `input_schema` is the JSON Schema of inputs, for clients; starts are checked by the types themselves
    (docs/decisions/0013). `paths` lists every path that a `when`, `unless`, `each` or `moment` reads, with what is
    recorded of it: whether it holds (`when`), how many items it has (`each`), or which instant it is (`moment`).
    """

    name: str
    nodes: tuple[Node, ...]
    input: str
    input_schema: Mapping[str, Any]
    result: str = "None"
    result_from: str | None = None
    deadline: float | None = None
    resources: tuple[str, ...] = ()
    paths: tuple[tuple[str, PathKind], ...] = ()

    @cached_property
    def by_name(self) -> Mapping[str, Node]:
        """The nodes by name, in the order in which they are declared."""
        return {node.name: node for node in self.nodes}

    @cached_property
    def lists(self) -> tuple[Node, ...]:
        """The nodes that run for each item of a list."""
        return tuple(node for node in self.nodes if node.each is not None)

    @cached_property
    def pivot(self) -> Node | None:
        """The node after which nothing is undone, if there is one."""
        return next((node for node in self.nodes if node.pivot), None)

    @cached_property
    def ancestors(self) -> Mapping[str, frozenset[str]]:
        """For each node all nodes that it depends on, directly or through others."""
        found: dict[str, frozenset[str]] = {}
        for node in self.nodes:  # declared before use (def_R3), so one pass is enough
            found[node.name] = frozenset(node.after).union(*(found[name] for name in node.after))
        return found

    @cached_property
    def descendants(self) -> Mapping[str, frozenset[str]]:
        """For each node all nodes that depend on it, directly or through others."""
        return {
            node.name: frozenset(other for other, needs in self.ancestors.items() if node.name in needs)
            for node in self.nodes
        }

    @cached_property
    def behind_pivot(self) -> frozenset[str]:
        """The nodes that can only run once the pivot has passed."""
        return self.descendants[self.pivot.name] if self.pivot else frozenset()

    @cached_property
    def queues(self) -> tuple[str, ...]:
        """The queues that the saga's commands go to, sorted."""
        return tuple(sorted({node.queue for node in self.nodes if node.kind == "step"}))

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of the canonical JSON, in hex."""
        return hashlib.sha256(self.to_json()).hexdigest()

    def to_json(self) -> bytes:
        """The canonical form: sorted keys, no defaults left out."""
        return orjson.dumps(dataclasses.asdict(self), option=orjson.OPT_SORT_KEYS)

    @classmethod
    def from_json(cls, document: bytes | str) -> "Manifest":
        """Read what `to_json` wrote.

        Raises:
            KeyError, TypeError: the document is not a manifest of this version.
        """
        data: dict[str, Any] = orjson.loads(document)
        nodes = tuple(_node(entry) for entry in data.pop("nodes"))
        paths = tuple((path, kind) for path, kind in data.pop("paths"))
        resources = tuple(data.pop("resources"))
        return cls(nodes=nodes, paths=paths, resources=resources, **data)


def _node(data: dict[str, Any]) -> Node:
    for role in ("handler", "undo", "probe", "fallback"):
        if data[role] is not None:
            data[role] = _handler(data[role])
    if data["breaker"] is not None:
        data["breaker"] = BreakerPolicy(**data["breaker"])
    data["after"] = tuple(data["after"])
    return Node(**data)


def _handler(data: dict[str, Any]) -> Handler:
    retry: dict[str, Any] = data["retry"]
    data["parameters"] = tuple(Parameter(**entry) for entry in data["parameters"])
    data["retry"] = RetryPolicy(tuple(retry["delays"]), retry["jitter"], retry["forever"])
    return Handler(**data)
