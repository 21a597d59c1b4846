"""How long to wait before the next attempt: pure functions of the policy and of what was used of it [req. H1, H8]."""

from zlib import crc32

from sagas.manifest import RetryPolicy


def next_delay(
    policy: RetryPolicy, used: int, seed: str, retry_after: float | None = None, longest: float = 3600.0
) -> float | None:
    """Seconds until retry number `used + 1`, or `None` when the policy is used up.

    Jitter takes off a part that depends on `seed` alone, so that deciding again gives the same delay. `retry_after`
    replaces a shorter delay, up to `longest` (rule O6).
    """
    if used < len(policy.delays):
        delay = policy.delays[used]
    elif policy.forever and policy.delays:
        delay = policy.delays[-1]
    else:
        return None
    delay *= 1.0 - policy.jitter * (crc32(seed.encode()) / 2**32)
    return max(delay, min(retry_after or 0.0, longest))


def exponential(base: float, multiplier: float, cap: float, retries: int) -> tuple[float, ...]:
    """The schedule `min(base * multiplier ** n, cap)` for `retries` retries, in seconds [req. H8]."""
    return tuple(min(base * multiplier**n, cap) for n in range(retries))


def refusal_delay(refusals: int, longest: float) -> float:
    """Seconds until a refused command is offered again: 1, 2, 4 … up to `longest` (rule C7)."""
    return min(2.0 ** min(refusals, 16), longest)
