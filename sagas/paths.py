"""Paths: `input.field` or `step.field` (def_R15, def_R16, def_R27), followed through types when they are declared."""

import dataclasses
import typing

from pydantic import BaseModel

from sagas.annotations import Form, element_of, members, type_name, without_none
from sagas.errors import DefinitionError


def fields_of(form: Form) -> dict[str, Form]:
    """The fields of a model or dataclass by name; of anything else, none."""
    bare = without_none(form)
    kind: type[object] = bare if isinstance(bare, type) else object
    if issubclass(kind, BaseModel):
        return {name: field.annotation for name, field in kind.model_fields.items()}
    if dataclasses.is_dataclass(kind):
        hints = typing.get_type_hints(kind)
        return {field.name: hints[field.name] for field in dataclasses.fields(kind)}
    return {}


def follow(form: Form, fields: list[str], what: str) -> Form:
    """The type behind a path; `None` joins it when something on the way may be missing.

    Raises:
        DefinitionError: there is no such field. `what` begins the message.
    """
    missing = False
    for name in fields:
        found = fields_of(form)
        if name not in found:
            has = f"; it has {', '.join(found)}" if found else ", it has no fields"
            raise DefinitionError(f"{what}: {type_name(without_none(form))} has no field '{name}'{has}")
        missing = missing or type(None) in members(form)
        form = found[name]
    return form | None if missing and type(None) not in members(form) else form


def check_condition(form: Form, what: str) -> None:
    """A `when` or `unless` reads a bool, or something that may be None.

    Raises:
        DefinitionError: it does not.
    """
    if form is not bool and type(None) not in members(form):
        raise DefinitionError(f"{what}: is {type_name(form)}; a bool or a `T | None` is needed")


def check_list(form: Form, what: str) -> Form:
    """The element type of what an `each` reads.

    Raises:
        DefinitionError: it is no list.
    """
    element = element_of(form)
    if element is None:
        raise DefinitionError(f"{what}: is {type_name(form)}; a list is needed")
    return element
