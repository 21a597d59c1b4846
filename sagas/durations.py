"""Lengths of time: how users write them, how they are kept (seconds), how people read them."""

import math
from datetime import timedelta
from typing import Any

Seconds = float | timedelta

_UNITS = ((86_400.0, "day"), (3_600.0, "hour"), (60.0, "minute"))


def hours(n: float) -> timedelta:
    """A length of `n` hours."""
    return timedelta(hours=n)


def days(n: float) -> timedelta:
    """A length of `n` days."""
    return timedelta(days=n)


def in_seconds(length: Seconds) -> float:
    """The length in seconds.

    Raises:
        TypeError: it is neither a number nor a timedelta.
        ValueError: it is negative or not finite.
    """
    given: Any = length
    if isinstance(given, bool) or not isinstance(given, int | float | timedelta):
        raise TypeError(f"{length!r} is not a length of time: seconds or a timedelta are needed")
    seconds = given.total_seconds() if isinstance(given, timedelta) else float(given)
    if not math.isfinite(seconds) or seconds < 0:
        raise ValueError(f"{length!r} is not a length of time: seconds or a timedelta, not negative, are needed")
    return seconds


def age(seconds: float) -> str:
    """The length in the largest unit that fits, whole ones only: `12 days`, `23 hours`, `59 s`."""
    for size, unit in _UNITS:
        if count := int(seconds // size):
            return f"{count} {unit}" + ("" if count == 1 else "s")
    return f"{int(seconds)} s"


def readable(seconds: float) -> str:
    """The length as people say it: `10 s`, `1 hour`, `3 days`, `1.5 days` from a whole day on."""
    for size, unit in _UNITS:
        count = seconds / size
        if count >= 1 and count == round(count, 1):
            return f"{count:g} {unit}" + ("" if count == 1 else "s")
    return f"{seconds:g} s"
