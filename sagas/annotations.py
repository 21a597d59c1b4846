"""Handlers as they are written: what kind of function one is, and the types of its parameters and its result."""

import inspect
import typing
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any

from sagas.errors import DefinitionError
from sagas.forms import NOTHING, Form, origin_of, type_name
from sagas.places import place_of


@dataclass(frozen=True)
class Signature:
    """A handler as it is written: its parameters with their types in order, and what it returns."""

    function: Callable[..., Any]
    parameters: dict[str, Form]
    returns: Form
    is_async: bool

    @property
    def name(self) -> str:
        """The function's name."""
        return self.function.__name__

    @property
    def place(self) -> str:
        """Where it stands: `file.py:12 name`."""
        return place_of(self.function)


def signature_of(function: Callable[..., Any]) -> Signature:
    """Read a handler's signature.

    Raises:
        DefinitionError: it is no function, a parameter has no annotation, a default, or no name; a type is not there.
    """
    place = place_of(function)
    _check_kind(function, place)
    found, hints = _read(function, place)
    if next(iter(found.parameters), "") in ("self", "cls"):
        raise DefinitionError(f"{place}: a handler is a function, not a method\n  remedy: take a resource instead")
    for parameter in found.parameters.values():
        if parameter.kind not in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
            raise DefinitionError(f"{place}: parameter '{parameter.name}' has no single name\n  remedy: name each one")
        if parameter.default is not parameter.empty:
            raise DefinitionError(
                f"{place}: parameter '{parameter.name}' has a default\n  remedy: drop it: Amends gives every argument"
            )
        if parameter.annotation is parameter.empty:
            raise DefinitionError(f"{place}: parameter '{parameter.name}' has no annotation\n  remedy: annotate it")
    if found.return_annotation is found.empty:
        raise DefinitionError(
            f"{place}: the result has no annotation\n  remedy: annotate it, `-> None` if it gives nothing"
        )
    returns = hints.pop("return")
    for name, form in hints.items():
        if form is Any or form is object:
            raise DefinitionError(
                f"{place}: parameter '{name}' is {type_name(form)}\n  remedy: name the type that comes"
            )
        if origin_of(form) is Annotated:
            raise DefinitionError(f"{place}: parameter '{name}' is Annotated\n  remedy: annotate the bare type")
    # what wraps a coroutine function gives its coroutine, which must be awaited
    is_async = inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(inspect.unwrap(function))
    return Signature(function, hints, NOTHING if returns is None else returns, is_async)


def _check_kind(function: Callable[..., Any], place: str) -> None:
    if inspect.ismethod(function):
        raise DefinitionError(f"{place}: a handler is a function, not a method\n  remedy: take a resource instead")
    if not inspect.isfunction(function):
        raise DefinitionError(
            f"{place}: a handler is a function, not {type_name(type(function))}\n"
            "  remedy: write it with `async def` or `def`, and call the other from there"
        )
    whole = inspect.unwrap(function)
    if inspect.isgeneratorfunction(whole) or inspect.isasyncgenfunction(whole):
        raise DefinitionError(
            f"{place}: it has a `yield`, so a call of it gives a generator and no result\n"
            "  remedy: return the whole result, such as a list"
        )


def _read(function: Callable[..., Any], place: str) -> tuple[inspect.Signature, dict[str, Form]]:
    try:
        return inspect.signature(function), typing.get_type_hints(function, include_extras=True)
    except (NameError, AttributeError) as missing:
        name = missing.name or str(missing)
        raise DefinitionError(
            f"{place}: the annotation '{name}' has no value at run time\n"
            "  remedy: import it outside `if TYPE_CHECKING:`, and declare sagas at module level"
        ) from missing
    except (TypeError, SyntaxError) as unfit:
        raise DefinitionError(
            f"{place}: an annotation is no type: {unfit}\n  remedy: annotate with types that exist at run time"
        ) from unfit
