"""What a batch of runs is promised to try: kinds of fault that have an effect, and markers that are reached.

A marker is promised where the sagas have what leads to it, and no pause stands before; one that little leads to, only
of the sagas that the simulator brings along.
"""

from collections.abc import Callable, Collection, Sequence
from math import inf

from amends.testing.simulator.owed import TOO_LATE
from amends.testing.simulator.people import PATIENCE
from amends.testing.simulator.script import AT_HOSTS, AT_SERVERS, REFUSALS
from sagas.manifest import Manifest, Node

ENOUGH_SEEDS = 200
"""From so many seeds on every marker must be reached, and every kind of fault must have had an effect.

Of all that happens least, a connection to the database that is cut while an answer is on its way, there are some eight.
"""
OF_ANY_SAGAS = (
    "SagaHeld", "SagaReleased", "log: the server has another memory than before",
    "log: the server has lost its memory: groups are made anew", "log: entry %s of %s is set aside: %s",
    "log: the answer of a commit is lost; looking for its %d starts: %s", "a caller rolls back",
    TOO_LATE,
)  # fmt: skip
OF_NODES: Sequence[tuple[Callable[[Node], bool], tuple[str, ...]]] = (
    (lambda node: node.kind == "step", (
        "StepOutcomeUnknown worker_lost", "StepOutcomeUnknown lost", "StepScheduled drained",
        "StepRefused no_handler", "RepairApplied", "log: memory %s: %d outcomes go to the engine once more",
        "log: %d commands are too old to be sent; the sweep schedules them anew",
        "log: nobody knows whether %d commands were sent: %s", "log: the lease of entry %s is lost",
        "log: attempt %d of %s lost its worker", "log: commands wait in the database: the transport has no room",
    )),
    (lambda node: node.kind == "step" and not node.transactional, (
        "StepOutcomeUnknown cancelled", "StepOutcomeUnknown error", "StepScheduled lost", "StepScheduled worker_lost",
    )),
    (lambda node: node.undo is not None, ("UndoScheduled turned_back", "SagaTurnedBack cancel")),
    (lambda node: node.kind == "signal", ("SignalReceived",)),
    (lambda node: node.kind == "sleep", ("TimerFired timer",)),
    (lambda node: node.on_timeout == "continue" and (node.timeout or inf) <= PATIENCE, ("TimerFired signal",)),
    (lambda node: node.kind == "child", ("ChildStarted", "ChildEnded")),
    (lambda node: node.fallback is not None, ("FallbackScheduled failed", "FallbackUsed")),
    (lambda node: node.probe is not None and node.undo is not None, ("ProbeScheduled turned_back",)),
)  # fmt: skip
OF_OUR_SAGAS = (
    "StepOutcomeUnknown timed_out", "StepScheduled retry", "UndoScheduled retry", "UndoFailed failed",
    "UndoFailed worker_lost", "ProbeScheduled retry", "LateOutcomeSeen succeeded", "SagaTurnedBack failure",
    "SagaTurnedBack unknown", "SagaTurnedBack timeout", "SagaTurnedBack deadline", "SagaTurnedBack parent",
    "ValueCorrected", "WaitOpened may_run", "WaitOpened pivot_unknown", "WaitOpened step_failed",
    "WaitOpened outcome_unknown", "WaitOpened held", "StepRefused drained", "a function runs in a thread",
    "a child is the pivot", "a child is behind the pivot", "request: migrate accepted", "request: migrate refused",
    "request: try a delayed step again accepted", "log: the answer of a commit is lost; looking for its %d sagas: %s",
    "a caller's connection breaks", "StepFailed not_started", "StepProgressed", "RetryRequested", "StepSkipped",
    "StepResolved happened", "StepResolved did_not_happen", "StepResolved skip",
    "at rest: resolve accepted", "at rest: try again accepted",
)  # fmt: skip


def promised(manifests: Sequence[Manifest], *, ours: bool) -> list[str]:
    """The markers that many runs of these sagas reach; `ours`: they are those that the simulator brings along."""
    nodes = [node for manifest in manifests for node in manifest.nodes if _is_early(manifest, node)]
    found = [marker for leads, markers in OF_NODES if any(map(leads, nodes)) for marker in markers]
    return [*OF_ANY_SAGAS, *found, *(OF_OUR_SAGAS if ours else ())]


def _is_early(manifest: Manifest, node: Node) -> bool:
    """Whether it is reached while things go wrong: behind no pause."""
    return all(manifest.by_name[name].kind == "step" for name in manifest.ancestors[node.name])


def missed(seeds: int, markers: Sequence[str], reached: Collection[str], had: Collection[str]) -> list[str]:
    """What so many runs never tried: markers that none has reached, kinds of fault that had no effect in any."""
    if seeds < ENOUGH_SEEDS:
        return []
    kinds = [f"fault: {kind}" for kind in (*AT_HOSTS, *AT_SERVERS, *REFUSALS) if kind not in had]
    return [*(marker for marker in markers if marker not in reached), *kinds]
