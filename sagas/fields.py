"""What values are made of: the fields of models, dataclasses and typed dictionaries, and everything within a type."""

import dataclasses
import types
import typing
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar, Union, get_args

from pydantic import BaseModel, PlainSerializer, RootModel, WrapSerializer
from pydantic.fields import FieldInfo

from sagas.forms import Form, origin_of, plain, type_name, without_none


@dataclass(frozen=True)
class Field:
    """One field: its type; whether it is filled in anew for each value without it, never stored, or writes itself."""

    name: str
    form: Form
    owner: str
    has_factory: bool = False
    excluded: bool = False
    rewritten: bool = False


def fields_of(form: Form) -> dict[str, Field]:
    """The fields by name; of anything else, none."""
    bare = plain(without_none(form))
    kind: Any = origin_of(bare) or bare
    if not is_class(kind):
        return {}
    owner = type_name(bare)
    if issubclass(kind, BaseModel):
        return {name: _of_model(name, field, owner) for name, field in kind.model_fields.items()}
    if not dataclasses.is_dataclass(kind) and not hasattr(kind, "__total__"):
        return {}
    hints = _hints(kind, bare)
    if dataclasses.is_dataclass(kind):
        return {field.name: _of_dataclass(field, hints[field.name], owner) for field in dataclasses.fields(kind)}
    return {
        name: Field(name, hint, owner, excluded=_excluded(_written(hint)), rewritten=_rewrites(hint))
        for name, hint in hints.items()
    }


def is_class(kind: object) -> bool:
    """Whether it is a class; checkers make less of `isinstance(kind, type)` than they know."""
    return isinstance(kind, type)


def stored_fields(form: Form) -> dict[str, Form]:
    """The types of the fields that stand in the stored JSON under their names; where a type writes itself, none."""
    bare = plain(without_none(form))
    kind: Any = origin_of(bare) or bare
    own = getattr(kind, "__pydantic_decorators__", None)
    if own is not None and (own.model_serializers or issubclass(kind, RootModel)):
        return {}
    by_method = own.field_serializers.values() if own is not None else ()
    written = {name for decorator in by_method for name in decorator.info.fields}
    return {
        name: field.form for name, field in fields_of(form).items() if not (field.rewritten or written & {name, "*"})
    }


def forms_within(form: Form, seen: set[Any] | None = None) -> Iterator[tuple[Field | None, Form]]:
    """Every type within a type, itself first, each with the field that it stands in."""
    yield from _within(None, form, set() if seen is None else seen)


def _within(field: Field | None, form: Form, seen: set[Any]) -> Iterator[tuple[Field | None, Form]]:
    form = plain(form)
    yield field, form
    if form in seen:
        return
    seen.add(form)
    for part in get_args(form):
        if isinstance(part, type) or origin_of(part) is not None:
            yield from _within(field, part, seen)
    for one in fields_of(form).values():
        yield from _within(one, one.form, seen)


def _hints(kind: Any, form: Form) -> dict[str, Form]:
    """The annotations of a class, with what a generic one is made for put in."""
    given = dict(zip(getattr(kind, "__parameters__", ()), get_args(form), strict=False))
    hints = typing.get_type_hints(kind, include_extras=True)
    return {name: _filled(_bare(hint), given) for name, hint in hints.items()}


def _bare(hint: Form) -> Form:
    """Without `Required`, `NotRequired` and `ReadOnly`, which say nothing of the value."""
    while str(origin_of(hint)).rpartition(".")[2] in ("Required", "NotRequired", "ReadOnly"):
        hint = get_args(hint)[0]
    return hint


def _filled(hint: Form, given: dict[Any, Form]) -> Form:
    if isinstance(hint, TypeVar):
        return given.get(hint, hint)
    open_ones = getattr(hint, "__parameters__", ())
    return hint[tuple(given.get(one, one) for one in open_ones)] if open_ones else hint


def _of_dataclass(field: "dataclasses.Field[Any]", hint: Form, owner: str) -> Field:
    written = _written(hint, field.default)
    factory = field.default_factory is not dataclasses.MISSING or any(
        one.default_factory is not None for one in written
    )
    return Field(field.name, hint, owner, factory, _excluded(written), _rewrites(hint))


def _of_model(name: str, field: FieldInfo, owner: str) -> Field:
    rewritten = _has_serializer(field.metadata) or _rewrites(field.annotation)
    return Field(name, field.annotation, owner, field.default_factory is not None, _excluded([field]), rewritten)


def _written(hint: Form, *default: object) -> list[FieldInfo]:
    """What is said of a field with pydantic's `Field`, as its default or in `Annotated`."""
    said = [*default, *(get_args(hint)[1:] if origin_of(hint) is Annotated else ())]
    return [one for one in said if isinstance(one, FieldInfo)]


def _rewrites(form: Form) -> bool:
    """Whether a type, or a member of a union, is annotated with how it is written."""
    if hasattr(form, "__value__"):
        return _rewrites(form.__value__)
    if origin_of(form) is Annotated:
        bare, *said = get_args(form)
        return _has_serializer(said) or _rewrites(bare)
    return origin_of(form) in (Union, types.UnionType) and any(map(_rewrites, get_args(form)))


def _has_serializer(said: Sequence[object]) -> bool:
    return any(isinstance(one, PlainSerializer | WrapSerializer) for one in said)


def _excluded(written: list[FieldInfo]) -> bool:
    return any(one.exclude is True or one.exclude_if is not None for one in written)
