"""What was asked for on the command line, as a plan."""

from collections.abc import Iterable
from typing import Any

from bench.command import Plan
from bench.sagas import WORKLOADS
from bench.systems import SYSTEMS

SEVERAL = {
    "bullmq": ("bullmq-always", "bullmq-everysec"),
    "": tuple(name for name, system in SYSTEMS.items() if not system.about.aged),
}
"""One word for several systems; none for all but those whose database takes minutes to make."""


def plan_of(systems: str | None, workload: str, window: str, payload: str, orchestrators: str, **others: Any) -> Plan:
    """The plan; `others` are its other parts as they are.

    Raises:
        ValueError: a part is unknown or no number; the text says which, and what there is.
    """
    words = [word for part in (systems or "").split(",") for word in SEVERAL.get(part.strip(), (part.strip(),))]
    return Plan(
        _known("systems", words, SYSTEMS),
        _known("workload", workload.split(","), WORKLOADS),
        _numbers("window", window, 10_000),
        _numbers("payload", payload, 1_000_000),
        orchestrators=_numbers("orchestrators", orchestrators, 16),
        **others,
    )


def _known(option: str, words: Iterable[str], there: Iterable[str]) -> list[str]:
    """The words, each once.

    Raises:
        ValueError: one is unknown.
    """
    chosen, known = list(dict.fromkeys(word.strip() for word in words)), list(there)
    for word in chosen:
        if word not in known:
            raise ValueError(f"--{option}: {word!r} is unknown; there are: {', '.join(known)}")
    return chosen


def _numbers(option: str, text: str, most: int) -> list[int]:
    parts = [part.strip() for part in text.split(",")]
    for part in parts:
        if not part.isascii() or not part.isdigit() or not 0 < int(part) <= most:
            raise ValueError(f"--{option}: {part!r} is no number from 1 to {most}")
    return [int(part) for part in parts]
