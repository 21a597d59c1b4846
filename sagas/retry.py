"""When a failed execution is tried again: `Retry` as users write it, and the delays that come of it (rule O6)."""

from collections.abc import Sequence
from typing import Any, overload

from sagas.durations import Seconds
from sagas.manifest import STEP_DELAYS_SECONDS, RetryPolicy
from sagas.options import Said
from sagas.places import place_of_caller

MULTIPLIER = 2.0
CAP_SECONDS = 300.0
ATTEMPTS = 4
GROWING_JITTER = 0.5
RETRIES_MAX = 1_000
MULTIPLIER_MAX = 1_000.0


class Retry:
    """A retry policy: either a list of delays, or base, multiplier (2), cap (300 s) and max_attempts (4).

    One delay for each retry, so `delays=[1, 5, 30]` is at most four executions; `max_attempts` counts executions.
    `jitter` is the greatest part of a delay that may be taken off (0 to 1): with `base` it is 0.5, with `delays` none,
    unless said. With `forever` the last delay repeats until the step succeeds or somebody decides.

    Raises:
        DefinitionError: a length is negative, jitter is not within 0 to 1, there are more than 1,000 retries, or
            something is said that belongs to the other form.
    """

    @overload
    def __init__(self, *, delays: Sequence[Seconds] = ..., jitter: float = ..., forever: bool = ...) -> None: ...
    @overload
    def __init__(
        self,
        *,
        base: Seconds,
        multiplier: float = ...,
        cap: Seconds = ...,
        jitter: float = ...,
        max_attempts: int = ...,
        forever: bool = ...,
    ) -> None: ...
    def __init__(
        self,
        *,
        delays: Sequence[Seconds] | None = None,
        base: Seconds | None = None,
        multiplier: float | None = None,
        cap: Seconds | None = None,
        jitter: float | None = None,
        max_attempts: int | None = None,
        forever: bool = False,
    ) -> None:
        said = Said(place_of_caller(), "Retry")
        if base is None:
            for field, value in (("multiplier", multiplier), ("cap", cap), ("max_attempts", max_attempts)):
                if value is not None:
                    remedy = "say base=1 too, or only delays=[1, 5, 30], one for each retry"
                    raise said.refuse(field, value, "it belongs to base", remedy)
            chosen = _listed(said, STEP_DELAYS_SECONDS if delays is None else delays)
        elif delays is None:
            chosen = _growing(
                said, base,
                MULTIPLIER if multiplier is None else multiplier,
                CAP_SECONDS if cap is None else cap,
                ATTEMPTS if max_attempts is None else max_attempts,
            )  # fmt: skip
        else:
            raise said.refuse("base", base, "delays are said already", "leave one of them out")
        if jitter is None:
            jitter = 0.0 if base is None else GROWING_JITTER
        if len(chosen) > RETRIES_MAX:
            many = f"there are {len(chosen)}, at most {RETRIES_MAX} are allowed"
            raise said.refuse("delays", chosen, many, "say forever=True: the last delay is repeated")
        if forever and not chosen:
            raise said.refuse("forever", forever, "it repeats the last delay, and there is none", "name a delay")
        part = said.number("jitter", jitter, 0, 1)
        self.policy = RetryPolicy(delays=chosen, jitter=part, forever=said.yes_or_no("forever", forever))

    def __repr__(self) -> str:
        """The policy by its delays in seconds."""
        return f"Retry(delays={list(self.policy.delays)}, jitter={self.policy.jitter}, forever={self.policy.forever})"


def _listed(said: Said, delays: Sequence[Seconds]) -> tuple[float, ...]:
    given: Any = delays
    if not isinstance(given, list | tuple):
        raise said.refuse("delays", given, "a list is needed", "say delays=[1, 5, 30]")
    return tuple(said.seconds("delays", delay, zero=True) for delay in delays)


def _growing(said: Said, base: Seconds, multiplier: float, cap: Seconds, max_attempts: int) -> tuple[float, ...]:
    growth = said.number("multiplier", multiplier, 1, MULTIPLIER_MAX)
    if said.whole("max_attempts", max_attempts) > RETRIES_MAX + 1:
        many = f"at most {RETRIES_MAX + 1} executions are allowed"
        raise said.refuse("max_attempts", max_attempts, many, "say forever=True: the last delay is repeated")
    longest = said.seconds("cap", cap)
    delays: list[float] = []
    delay = min(said.seconds("base", base, zero=True), longest)
    for _ in range(max_attempts - 1):
        delays.append(delay)
        delay = min(delay * growth, longest)
    return tuple(delays)
