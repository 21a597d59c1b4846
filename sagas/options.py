"""What a declaration says besides its function: lengths, choices, names; each checked, since not all users run mypy."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from sagas.durations import Seconds, in_seconds
from sagas.errors import DefinitionError

T = TypeVar("T")

QUEUE = re.compile(r"[a-z][a-z0-9_-]{0,99}")
SECONDS_MAX = 10 * 366 * 86_400.0


@dataclass(frozen=True)
class Said:
    """Checks what is said of `owner` (`step 'hotel'`), which is declared at `place`."""

    place: str
    owner: str

    def error(self, text: str, remedy: str) -> DefinitionError:
        """The error that says what is wrong, and where."""
        return DefinitionError(f"{self.place}: {text}\n  remedy: {remedy}")

    def refuse(self, field: str, value: object, needed: str, remedy: str) -> DefinitionError:
        """The error that says what is wrong with a field."""
        shown = repr(value)
        shown = shown if len(shown) <= 80 else f"{shown[:80]}…"
        return self.error(f"{field}={shown} of {self.owner}: {needed}", remedy)

    def seconds(self, field: str, value: Seconds, *, zero: bool = False) -> float:
        """A length of time, positive and of ten years at most.

        Raises:
            DefinitionError: it is none.
        """
        given: Any = value
        remedy = f"give seconds, such as {field}=10, or a timedelta, such as amends.hours(2)"
        try:
            found = in_seconds(given)
        except (TypeError, ValueError, OverflowError):
            raise self.refuse(field, value, "it is no length of time", remedy) from None
        if found > SECONDS_MAX or (found == 0 and not zero):
            raise self.refuse(field, value, "it must be above 0 and at most 10 years", remedy)
        return found

    def seconds_or_none(self, field: str, value: Seconds | None) -> float | None:
        """A length of time, or that nothing is said."""
        return None if value is None else self.seconds(field, value)

    def whole(self, field: str, value: int) -> int:
        """A number from 1 on.

        Raises:
            DefinitionError: it is none.
        """
        given: Any = value
        if not isinstance(given, int) or isinstance(given, bool) or given < 1:
            raise self.refuse(field, value, "at least 1 is needed", f"give a whole number, such as {field}=1")
        return given

    def number(self, field: str, value: float, least: float, most: float) -> float:
        """A number within bounds.

        Raises:
            DefinitionError: it is none.
        """
        given: Any = value
        if isinstance(given, bool) or not isinstance(given, int | float) or not least <= given <= most:
            raise self.refuse(field, value, f"{least:g} to {most:g} is needed", f"say {field}={least:g}")
        return given

    def choice(self, field: str, value: T, allowed: Sequence[str]) -> T:
        """One of these words.

        Raises:
            DefinitionError: it is none of them.
        """
        if value not in allowed:
            words = ", ".join(f'"{word}"' for word in allowed)
            raise self.refuse(field, value, f"it is none of {words}", f'say {field}="{allowed[0]}"')
        return value

    def yes_or_no(self, field: str, value: bool) -> bool:
        """True or False.

        Raises:
            DefinitionError: it is neither.
        """
        given: Any = value
        if not isinstance(given, bool):
            raise self.refuse(field, value, "True or False is needed", f"say {field}=True, or leave it out")
        return given

    def queue(self, value: str) -> str:
        """A queue's name.

        Raises:
            DefinitionError: it is none.
        """
        given: Any = value
        if not isinstance(given, str) or not QUEUE.fullmatch(given):
            needed = "small letters, digits, _ and - are allowed, a letter first, at most 100"
            raise self.refuse("queue", value, needed, 'name it like queue="shipping"')
        return given

    def text(self, field: str, value: str) -> str:
        """A text with something in it.

        Raises:
            DefinitionError: it is none.
        """
        given: Any = value
        if not isinstance(given, str) or not given:
            raise self.refuse(field, value, "a text is needed", f'say {field}="..."')
        return given

    def kind(self, field: str, value: T | None, kind: type[T], remedy: str) -> T | None:
        """An instance of this type, or that nothing is said.

        Raises:
            DefinitionError: it is neither.
        """
        if value is not None and not isinstance(value, kind):
            raise self.refuse(field, value, f"a {kind.__name__} is needed", remedy)
        return value

    def path(self, field: str, value: str | None) -> str | None:
        """A path, or that nothing is said.

        Raises:
            DefinitionError: it is neither.
        """
        return self.kind(field, value, str, f'name a field by its path, such as {field}="input.field"')
