"""What a batch of runs is promised to try: kinds of fault that have an effect, and markers that are reached.

A marker is promised where the sagas have what leads to it; of those that little leads to, only of the sagas that the
simulator brings along.
"""

from collections.abc import Callable, Collection, Mapping, Sequence

from amends.testing.simulator.script import AT_HOSTS, AT_SERVERS
from sagas.manifest import Manifest, Node

ENOUGH_SEEDS = 200
"""From so many seeds on every marker must be reached, and every kind of fault must have had an effect."""
ENOUGH_FAULTS = 20
"""A kind of fault that was chosen so often must have had an effect, however few the seeds."""
OF_ANY_SAGAS = (
    "StepOutcomeUnknown worker_lost", "StepOutcomeUnknown lost", "StepScheduled lost", "StepScheduled worker_lost",
    "StepScheduled drained", "SagaHeld", "SagaReleased", "StepRefused", "RepairApplied",
    "log: memory %s: %d outcomes go to the engine once more", "log: the server has another memory than before",
    "log: the server has lost its memory: groups are made anew", "log: entry %s of %s is set aside: %s",
    "log: %d commands are too old to be sent; the sweep schedules them anew",
    "log: nobody knows whether %d commands were sent: %s", "log: the lease of entry %s is lost",
    "log: attempt %d of %s lost its worker", "log: the transport refuses %d commands",
)  # fmt: skip
OF_NODES: Mapping[str, tuple[Callable[[Node], bool], tuple[str, ...]]] = {
    "an undo": (lambda node: node.undo is not None, ("UndoScheduled turned_back", "SagaTurnedBack cancel")),
    "a child": (lambda node: node.kind == "child", ("ChildStarted", "ChildEnded")),
    "a wait": (lambda node: node.kind == "signal", ("SignalReceived",)),
    "a probe": (lambda node: node.probe is not None, ("ProbeScheduled turned_back",)),
    "a fallback": (lambda node: node.fallback is not None, ("FallbackScheduled failed", "FallbackUsed")),
}
OF_OUR_SAGAS = (
    "StepOutcomeUnknown timed_out", "StepOutcomeUnknown cancelled", "StepOutcomeUnknown error", "StepScheduled retry",
    "UndoScheduled retry", "UndoFailed failed", "UndoFailed worker_lost", "ProbeScheduled retry",
    "LateOutcomeSeen succeeded", "SagaTurnedBack failure", "SagaTurnedBack unknown", "SagaTurnedBack timeout",
    "SagaTurnedBack deadline", "SagaTurnedBack parent", "ValueCorrected", "WaitOpened may_run",
    "WaitOpened pivot_unknown", "WaitOpened step_failed", "WaitOpened outcome_unknown", "WaitOpened held",
    "log: the answer of a commit is lost; looking for its %d sagas: %s",
    "log: the answer of a commit is lost; looking for its %d starts: %s",
)  # fmt: skip


def promised(manifests: Sequence[Manifest], *, ours: bool) -> list[str]:
    """The markers that many runs of these sagas reach; `ours`: they are those that the simulator brings along."""
    nodes = [node for manifest in manifests for node in manifest.nodes]
    found = [marker for leads, markers in OF_NODES.values() if any(map(leads, nodes)) for marker in markers]
    return [*OF_ANY_SAGAS, *found, *(OF_OUR_SAGAS if ours else ())]


def without_effect(seeds: int, had: Mapping[str, int], idle: Mapping[str, int]) -> list[str]:
    """Kinds of fault that never had an effect, though they were chosen often enough, or should have been."""
    return [
        kind
        for kind in (*AT_HOSTS, *AT_SERVERS)
        if not had.get(kind) and (seeds >= ENOUGH_SEEDS or idle.get(kind, 0) >= ENOUGH_FAULTS)
    ]


def never_reached(seeds: int, markers: Sequence[str], reached: Collection[str]) -> list[str]:
    """Markers that were promised and not reached, once there were enough seeds."""
    return [marker for marker in markers if marker not in reached] if seeds >= ENOUGH_SEEDS else []
