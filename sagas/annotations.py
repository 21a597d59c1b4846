"""Annotations of handlers: read at declaration, compared by what values can come, shown as people write them."""

import inspect
import types
import typing
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Union, get_args, get_origin

from sagas.answers import Given
from sagas.errors import DefinitionError

NOTHING = type(None)
Form = Any
"""A type, or what `typing` has in its place."""


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


def place_of(function: Callable[..., Any]) -> str:
    """`file.py:12 name`."""
    code = inspect.unwrap(function).__code__
    return f"{Path(code.co_filename).name}:{code.co_firstlineno} {function.__name__}"


def signature_of(function: Callable[..., Any]) -> Signature:
    """Read a handler's signature.

    Raises:
        DefinitionError: it is a method, a parameter has no annotation, a default, or is not named; a type is not there.
    """
    place = place_of(function)
    found = inspect.signature(function)
    names = list(found.parameters)
    if names and names[0] in ("self", "cls"):
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
    hints = _hints(function, place)
    returns = hints.pop("return")
    for name, form in hints.items():
        if form is Any or form is object:
            raise DefinitionError(
                f"{place}: parameter '{name}' is {type_name(form)}\n  remedy: name the type that comes"
            )
        if origin_of(form) is Annotated:
            raise DefinitionError(f"{place}: parameter '{name}' is Annotated\n  remedy: annotate the bare type")
    return Signature(function, hints, returns, inspect.iscoroutinefunction(function))


def _hints(function: Callable[..., Any], place: str) -> dict[str, Form]:
    try:
        return typing.get_type_hints(function, include_extras=True)
    except NameError as missing:
        raise DefinitionError(
            f"{place}: the annotation '{missing.name}' has no value at run time\n"
            "  remedy: import it outside `if TYPE_CHECKING:`, and declare sagas at module level"
        ) from missing


def origin_of(form: Form) -> Any:
    """`typing.get_origin`, which checkers take for less than it is."""
    return get_origin(form)


def list_of(form: Form) -> Form:
    """The type of a list of these."""
    return types.GenericAlias(list, (form,))


def members(form: Form) -> tuple[Form, ...]:
    """The members of a union; of anything else, itself."""
    if origin_of(form) in (Union, types.UnionType):
        return get_args(form)
    return (NOTHING,) if form is None else (form,)


def optional(form: Form) -> Form:
    """The type with `None`."""
    return form if NOTHING in members(form) else form | None


def without_none(form: Form) -> Form:
    """The type without `None`."""
    left = [member for member in members(form) if member is not NOTHING]
    return Union[tuple(left)] if left else NOTHING  # noqa: UP007 - made at run time


def accepts(annotation: Form, given: Form) -> bool:
    """Whether every value of type `given` is one of type `annotation`."""
    return all(any(_accepts_one(wanted, one) for wanted in members(annotation)) for one in members(given))


def _accepts_one(wanted: Form, given: Form) -> bool:
    if wanted == given:
        return True
    if origin_of(wanted) is not None or origin_of(given) is not None:
        mine, its = get_args(wanted), get_args(given)
        same = (origin_of(wanted) or wanted) == (origin_of(given) or given)
        return same and (not mine or (len(mine) == len(its) and all(map(accepts, mine, its))))
    return isinstance(wanted, type) and isinstance(given, type) and issubclass(given, wanted)


def given_of(annotation: Form) -> tuple[Form, bool]:
    """The annotation without `Given`, and whether it had one: `Given[T]`, or `list[Given[T]]` (def_R17)."""
    if origin_of(annotation) is Given:
        return get_args(annotation)[0], True
    if origin_of(annotation) is list and origin_of(get_args(annotation)[0]) is Given:
        return list_of(get_args(get_args(annotation)[0])[0]), True
    return annotation, False


def element_of(form: Form) -> Form | None:
    """The type of a list's elements, or `None` when it is no list."""
    form = without_none(form)
    if origin_of(form) is list:
        return get_args(form)[0]
    return None


def type_name(form: Form) -> str:
    """The type as people write it: `Hotel`, `Car | None`, `list[Label]`."""
    if form is None or form is NOTHING:
        return "None"
    parts = members(form)
    if len(parts) > 1:
        return " | ".join(type_name(part) for part in parts)
    origin = origin_of(form)
    if origin is not None:
        arguments = ", ".join(type_name(part) if part is not ... else "..." for part in get_args(form))
        return f"{getattr(origin, '__name__', str(origin))}[{arguments}]"
    return str(getattr(form, "__qualname__", form)).rpartition("<locals>.")[2]
