"""What a definition and a handler may raise, and what Amends raises in a handler's place."""

from collections.abc import Sequence

from sagas.durations import Seconds, in_seconds


class DefinitionError(Exception):
    """A saga is declared wrongly. The text names file, line and function and ends with a remedy."""


class Permanent(Exception):
    """Raised by a handler: it failed, and trying again would not help.

    `happened` is False (the default) when the handler knows that nothing happened, and None when it does not know
    (def_R26): such a step ends unknown and is undone.
    """

    def __init__(self, message: str = "", *, happened: bool | None = False) -> None:
        super().__init__(message)
        self.happened = happened


class Recoverable(Exception):
    """Raised by a handler: it failed, and may succeed when tried again.

    `retry_after` is the least time until then, in seconds or as a timedelta; what is no length of time (one below zero,
    say) counts as none. `happened` as in `Permanent`.
    """

    def __init__(self, message: str = "", *, retry_after: Seconds | None = None, happened: bool | None = False) -> None:
        super().__init__(message)
        self.retry_after_seconds = _usable(retry_after)
        self.happened = happened


class ArgumentError(Permanent):
    """An argument does not fit what the handler declares; nothing ran. `field` is the path within the argument."""

    def __init__(self, step: str, parameter: str, field: str, message: str) -> None:
        place = f", field '{field}'" if field else ""
        super().__init__(f"step '{step}', parameter '{parameter}'{place}: {message}")
        self.step = step
        self.parameter = parameter
        self.field = field


class ResultError(Permanent):
    """A handler returned what it does not declare. It ran, so nobody may say that nothing happened."""

    def __init__(self, step: str, function: str, field: str, message: str) -> None:
        place = f", field '{field}'" if field else ""
        super().__init__(f"step '{step}', result of {function}{place}: {message}", happened=None)
        self.step = step
        self.field = field


class InputError(ValueError):
    """The input of a start, or `what` somebody gives to a saga, does not fit.

    `errors` holds (field, message), the first of them is the text.
    """

    def __init__(self, saga: str, errors: Sequence[tuple[str, str]], what: str = "input") -> None:
        self.saga = saga
        self.errors = tuple(errors)
        field, message = self.errors[0]
        more = f" (and {len(self.errors) - 1} more)" if len(self.errors) > 1 else ""
        super().__init__(f"{what} of '{saga}'" + (f", field '{field}'" if field else "") + f": {message}{more}")


def _usable(length: Seconds | None) -> float | None:
    """A delay in seconds. To raise here would hide what the handler knows: that nothing happened."""
    try:
        return None if length is None else in_seconds(length)
    except (TypeError, ValueError, OverflowError):
        return None
