"""When a failed execution is tried again: `Retry` as users write it, and the delays that come of it (rule O6)."""

from collections.abc import Sequence
from typing import overload

from sagas.durations import Seconds, in_seconds
from sagas.manifest import STEP_DELAYS_SECONDS, RetryPolicy

RETRIES_MAX = 1_000


class Retry:
    """A retry policy: either a list of delays, or base, multiplier and cap.

    One delay for each retry, so `delays=[1, 5, 30]` is at most four executions; `max_attempts` counts executions.
    `jitter` is the greatest part of a delay that may be taken off (0 to 1). With `forever` the last delay repeats until
    the step succeeds or somebody decides.

    Raises:
        ValueError: a length is negative, jitter is not within 0 to 1, or there are more than 1,000 retries.
    """

    @overload
    def __init__(self, *, delays: Sequence[Seconds] = ..., forever: bool = ...) -> None: ...
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
        multiplier: float = 2.0,
        cap: Seconds = 300.0,
        jitter: float = 0.0,
        max_attempts: int = 4,
        forever: bool = False,
    ) -> None:
        if base is None:
            chosen = tuple(in_seconds(delay) for delay in (STEP_DELAYS_SECONDS if delays is None else delays))
        elif delays is None:
            chosen = _growing(in_seconds(base), multiplier, in_seconds(cap), max_attempts)
        else:
            raise ValueError("Retry takes either delays, or base with multiplier and cap")
        if not 0 <= jitter <= 1:
            raise ValueError(f"jitter={jitter}: a part of the delay, 0 to 1, is needed")
        if len(chosen) > RETRIES_MAX:
            raise ValueError(
                f"{len(chosen)} retries: at most {RETRIES_MAX} are allowed; forever=True goes on after them"
            )
        if forever and not chosen:
            raise ValueError("forever=True repeats the last delay: name at least one")
        self.policy = RetryPolicy(delays=chosen, jitter=jitter, forever=forever)

    def __repr__(self) -> str:
        """The policy by its delays in seconds."""
        return f"Retry(delays={list(self.policy.delays)}, jitter={self.policy.jitter}, forever={self.policy.forever})"


def _growing(base: float, multiplier: float, cap: float, max_attempts: int) -> tuple[float, ...]:
    if multiplier < 1:
        raise ValueError(f"multiplier={multiplier}: at least 1 is needed")
    if not 1 <= max_attempts <= RETRIES_MAX + 1:
        raise ValueError(f"max_attempts={max_attempts}: 1 to {RETRIES_MAX + 1} executions are allowed")
    delays: list[float] = []
    delay = min(base, cap)
    for _ in range(max_attempts - 1):
        delays.append(delay)
        delay = min(delay * multiplier, cap)
    return tuple(delays)
