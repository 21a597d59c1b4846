"""Paths: `input.field` or `step.field` (def_R15, def_R16, def_R27), followed through types when they are declared."""

from sagas.errors import DefinitionError
from sagas.fields import stored_fields
from sagas.forms import NOTHING, Form, element_of, members, plain, type_name, without_none


def follow(form: Form, fields: list[str], what: str) -> Form:
    """The type behind a path; `None` joins it when something on the way may be missing.

    Raises:
        DefinitionError: there is no such field. `what` begins the message.
    """
    missing = False
    for name in fields:
        found = stored_fields(form)
        if name not in found:
            has = f"; it has {', '.join(found)}" if found else ", it has no fields"
            raise DefinitionError(f"{what}: {type_name(without_none(form))} has no field '{name}'{has}")
        missing = missing or NOTHING in members(form)
        form = found[name]
    return form | None if missing and NOTHING not in members(form) else form


def check_condition(form: Form, what: str) -> None:
    """A `when` or `unless` reads a bool, or something that may be None.

    Raises:
        DefinitionError: it does not.
    """
    if plain(form) is not bool and NOTHING not in members(form):
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
