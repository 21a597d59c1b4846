"""Types as values: which accepts what, what they are made of, how people write them."""

import types
from collections.abc import Iterable
from datetime import date, datetime
from typing import Annotated, Any, Literal, NewType, Union, get_args, get_origin

from pydantic import AwareDatetime, EmailStr, FutureDate, FutureDatetime, NaiveDatetime, PastDate, PastDatetime

from sagas.answers import Given

NOTHING = type(None)
Form = Any
"""A type, or what `typing` has in its place."""
Shape = Literal["whole", "each"]
"""`Given[T]` of a whole result, or `list[Given[T]]`: one for each item."""

STAND_INS: dict[Form, Form] = {
    AwareDatetime: datetime,
    NaiveDatetime: datetime,
    PastDatetime: datetime,
    FutureDatetime: datetime,
    PastDate: date,
    FutureDate: date,
    EmailStr: str,
}
"""Types of pydantic that have no base, with the type that their values have."""


def origin_of(form: Form) -> Any:
    """`typing.get_origin`, which checkers take for less than it is."""
    return get_origin(form)


def plain(form: Form) -> Form:
    """The type without `Annotated` and names of aliases around it."""
    while True:
        if origin_of(form) is Annotated:
            form = get_args(form)[0]
        elif hasattr(form, "__value__"):
            form = form.__value__
        else:
            return NOTHING if form is None else form


def list_of(form: Form) -> Form:
    """The type of a list of these."""
    return types.GenericAlias(list, (form,))


def members(form: Form) -> tuple[Form, ...]:
    """The members of a union; of anything else, itself."""
    form = plain(form)
    return get_args(form) if origin_of(form) in (Union, types.UnionType) else (form,)


def optional(form: Form) -> Form:
    """The type with `None`."""
    return form if NOTHING in members(form) else form | None


def without_none(form: Form) -> Form:
    """The type without `None`."""
    left = [member for member in members(form) if member is not NOTHING]
    return Union[tuple(left)] if left else NOTHING  # noqa: UP007 - made at run time


def accepts(annotation: Form, given: Form) -> bool:
    """Whether every value of type `given` is one of type `annotation`."""
    return all(any(_accepts_one(wanted, one) for wanted in _alternatives(annotation)) for one in _alternatives(given))


def _alternatives(form: Form) -> tuple[Form, ...]:
    """The members of a union, and each value of a `Literal` on its own."""
    form = plain(form)
    if origin_of(form) is Literal:
        return tuple(NOTHING if value is None else Literal[value] for value in get_args(form))
    if len(parts := members(form)) > 1:
        return tuple(one for part in parts for one in _alternatives(part))
    return (form,)


def _accepts_one(wanted: Form, given: Form) -> bool:
    if wanted in (given, Any):
        return True
    if isinstance(given, NewType):
        return accepts(wanted, given.__supertype__)
    if given in STAND_INS:
        return accepts(wanted, STAND_INS[given])
    if origin_of(given) is Literal:
        return _takes(wanted, type(get_args(given)[0]))
    if origin_of(wanted) is not None or origin_of(given) is not None:
        return _accepts_generic(wanted, given)
    return _takes(wanted, given)


def _takes(wanted: Form, given: Form) -> bool:
    """Whether a class takes the values of another; a `date` takes no `datetime` that has a time of day."""
    if not isinstance(wanted, type) or not isinstance(given, type):
        return False
    if wanted is date and issubclass(given, datetime):
        return False
    if issubclass(given, wanted) and _forbids_more(wanted, given):
        return False
    return issubclass(given, wanted) or (wanted is float and issubclass(given, int))


def _forbids_more(wanted: type, given: type) -> bool:
    """Whether a model refuses the fields that another adds to it: their values could not be read back."""
    config: Any = getattr(wanted, "model_config", None) or getattr(wanted, "__pydantic_config__", None) or {}
    return config.get("extra") == "forbid" and not _field_names(given) <= _field_names(wanted)


def _field_names(kind: type) -> set[str]:
    found: Any = getattr(kind, "model_fields", None) or getattr(kind, "__dataclass_fields__", ())
    return set(found)


def _accepts_generic(wanted: Form, given: Form) -> bool:
    mine, its = get_args(wanted), get_args(given)
    if not _takes(origin_of(wanted) or wanted, origin_of(given) or given):
        return False
    if not mine:
        return True
    if origin_of(given) is tuple:
        return _accepts_tuple(wanted, mine, its)
    return len(mine) == len(its) and all(map(accepts, mine, its))


def _accepts_tuple(wanted: Form, mine: tuple[Form, ...], its: tuple[Form, ...]) -> bool:
    elements = [one for one in its if one is not ...]
    if origin_of(wanted) is not tuple or ... in mine:
        return all(accepts(mine[0], one) for one in elements)
    return ... not in its and len(mine) == len(its) and all(map(accepts, mine, its))


def given_of(annotation: Form) -> tuple[Form, Shape | None]:
    """The annotation without `Given`, and how it had one: `Given[T]`, or `list[Given[T]]` (def_R17)."""
    if origin_of(annotation) is Given:
        return get_args(annotation)[0], "whole"
    element = element_of(annotation)
    if origin_of(element) is not Given:
        return annotation, None
    bare = list_of(get_args(element)[0])
    return (optional(bare) if NOTHING in members(annotation) else bare), "each"


def wants_given(annotation: Form) -> bool:
    """Whether a `Given` stands somewhere in the annotation, also where it may not."""
    inner = element_of(annotation)
    return any(
        origin_of(one) is Given for one in (*members(annotation), *(members(inner) if inner is not None else ()))
    )


def with_given(form: Form, shape: Shape) -> Form:
    """The annotation of a value together with how it came about."""
    if shape == "whole":
        return types.GenericAlias(Given, (form,))
    wrapped = list_of(types.GenericAlias(Given, (element_of(form),)))
    return optional(wrapped) if NOTHING in members(form) else wrapped


def element_of(form: Form) -> Form | None:
    """The type of a list's elements, or `None` when it is no list."""
    form = plain(without_none(form))
    return get_args(form)[0] if origin_of(form) is list and get_args(form) else None


def type_name(form: Form) -> str:
    """The type as people write it: `Hotel`, `Car | None`, `list[Label]`."""
    form = plain(form)
    if form is NOTHING:
        return "None"
    if len(parts := members(form)) > 1:
        return " | ".join(type_name(part) for part in parts)
    if (origin := origin_of(form)) is not None:
        return f"{getattr(origin, '__name__', str(origin))}[{', '.join(_arguments(origin, get_args(form)))}]"
    return str(getattr(form, "__qualname__", form)).rpartition("<locals>.")[2]


def _arguments(origin: Form, arguments: Iterable[Form]) -> Iterable[str]:
    for one in arguments:
        yield "..." if one is ... else repr(one) if origin is Literal else type_name(one)
