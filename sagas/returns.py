"""What handlers return and sagas take: it must become JSON and be the same each time (def_R14, def_R22, def_R25)."""

import dataclasses
from typing import Any

from pydantic import (
    BaseModel,
    PydanticSchemaGenerationError,
    PydanticUndefinedAnnotation,
    PydanticUserError,
    Secret,
    SecretBytes,
    SecretStr,
    TypeAdapter,
)
from pydantic.errors import PydanticInvalidForJsonSchema

from sagas.annotations import Signature
from sagas.answers import CannotTell, DidNotHappen, Happened
from sagas.errors import DefinitionError
from sagas.fields import forms_within, is_class
from sagas.forms import NOTHING, Form, accepts, members, origin_of, type_name
from sagas.manifest import Role

HIDDEN = (Secret, SecretStr, SecretBytes)


def schema_of(form: Form, what: str) -> dict[str, Any]:
    """The JSON Schema of a type.

    Raises:
        DefinitionError: its values cannot become JSON and come back.
    """
    adapter = check_readable(form, what)
    try:
        schema = adapter.json_schema()
    except (PydanticInvalidForJsonSchema, PydanticUserError) as unfit:
        raise _unfit(form, what, unfit) from unfit
    for field, one in forms_within(form):
        if field is not None and field.excluded:
            raise DefinitionError(
                f"{what} is {type_name(form)}: its field '{field.name}' of {field.owner} is excluded, so its value "
                "would be lost\n  remedy: drop what excludes it, or the field"
            )
        kind = origin_of(one) or one
        if kind is type or (isinstance(kind, type) and issubclass(kind, HIDDEN)):
            where = f"its field '{field.name}' of {field.owner} is " if field is not None else ""
            raise DefinitionError(
                f"{what} is {type_name(form)}: {where}{type_name(one)}, which does not come back from JSON\n"
                "  remedy: give an id or a name, and look the rest up where it is needed"
            )
    return schema


def check_readable(form: Form, what: str) -> TypeAdapter[Any]:
    """What reads values of a type from JSON.

    Raises:
        DefinitionError: nothing can.
    """
    try:
        return TypeAdapter(form)
    except (PydanticSchemaGenerationError, PydanticUserError, PydanticUndefinedAnnotation) as unfit:
        raise _unfit(form, what, unfit) from unfit


def _unfit(form: Form, what: str, unfit: Exception) -> DefinitionError:
    if isinstance(unfit, PydanticSchemaGenerationError | PydanticInvalidForJsonSchema):
        return DefinitionError(
            f"{what} is {type_name(form)}, which cannot become JSON\n"
            "  remedy: use a pydantic model, a dataclass, or plain JSON types"
        )
    return DefinitionError(
        f"{what} is {type_name(form)}, which pydantic does not take: {str(unfit).splitlines()[0]}\n"
        "  remedy: change the type so that `pydantic.TypeAdapter` takes it"
    )


def check_returns(signature: Signature, role: Role, step: str, gives: Form) -> None:
    """Whether the return annotation fits the role.

    Raises:
        DefinitionError: it does not.
    """
    returns = signature.returns
    own = f"{signature.place}: the result of {role} '{step}'"
    match role:
        case "step":
            if returns is Any or returns is object:
                raise DefinitionError(f"{own} is {type_name(returns)}\n  remedy: name the type that it gives")
            schema_of(returns, own)
        case "undo":
            if returns is not NOTHING:
                raise DefinitionError(f"{own} is {type_name(returns)}\n  remedy: an undo gives nothing: `-> None`")
        case "fallback":
            if not accepts(gives, returns):
                raise DefinitionError(
                    f"{own} is {type_name(returns)}, but the step gives {type_name(gives)}\n"
                    f"  remedy: annotate `-> {type_name(gives)}`"
                )
        case "probe":
            if not all(_answers(one, gives) for one in members(returns)):
                raise DefinitionError(
                    f"{own} is {type_name(returns)}, but the step gives {type_name(gives)}\n"
                    f"  remedy: annotate `-> Happened[{type_name(gives)}] | DidNotHappen | CannotTell`"
                )


def _answers(answer: Form, gives: Form) -> bool:
    """Whether it is an answer that a probe of a step that gives this may give."""
    if origin_of(answer) is Happened:
        return accepts(gives, answer.__args__[0])
    return answer in (DidNotHappen, CannotTell)


def decides(signature: Signature) -> bool:
    """Whether a probe always knows: it never answers `CannotTell` (def_R25)."""
    return CannotTell not in members(signature.returns)


def check_input(place: str, saga: str, form: Form) -> dict[str, Any]:
    """The JSON Schema of a saga's input.

    Raises:
        DefinitionError: it is no model or dataclass, or a field has a `default_factory` (def_R22).
    """
    own = f"{place}: the input of saga '{saga}'"
    kind: Any = origin_of(form) or form
    if not is_class(kind) or not (issubclass(kind, BaseModel) or dataclasses.is_dataclass(kind)):
        raise DefinitionError(f"{own} is {type_name(form)}\n  remedy: use a pydantic model or a dataclass")
    schema = schema_of(form, own)
    for field, _ in forms_within(form):
        if field is not None and field.has_factory:
            raise DefinitionError(
                f"{own}: field '{field.name}' of {field.owner} has a default_factory, so each "
                "step would see another value\n  remedy: give it where the saga is started"
            )
    return schema
