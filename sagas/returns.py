"""What handlers return and sagas take: it must become JSON and be the same each time (def_R14, def_R22, def_R25)."""

import dataclasses
from typing import Any

from pydantic import BaseModel, PydanticSchemaGenerationError, PydanticUserError, TypeAdapter
from pydantic.errors import PydanticInvalidForJsonSchema

from sagas.annotations import NOTHING, Form, Signature, accepts, members, origin_of, type_name
from sagas.answers import CannotTell, DidNotHappen, Happened
from sagas.errors import DefinitionError
from sagas.manifest import Role

NO_SCHEMA = (PydanticSchemaGenerationError, PydanticUserError, PydanticInvalidForJsonSchema)


def schema_of(form: Form, what: str) -> dict[str, Any]:
    """The JSON Schema of a type.

    Raises:
        DefinitionError: its values cannot become JSON.
    """
    try:
        return TypeAdapter[Any](form).json_schema()
    except NO_SCHEMA as unfit:
        raise DefinitionError(
            f"{what} is {type_name(form)}, which cannot become JSON\n"
            "  remedy: use a pydantic model, a dataclass, or plain JSON types"
        ) from unfit


def check_returns(signature: Signature, role: Role, step: str, gives: Form) -> None:
    """Whether the return annotation fits the role.

    Raises:
        DefinitionError: it does not.
    """
    returns = NOTHING if signature.returns is None else signature.returns
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
            if not all(one in (DidNotHappen, CannotTell) or origin_of(one) is Happened for one in members(returns)):
                raise DefinitionError(
                    f"{own} is {type_name(returns)}\n"
                    f"  remedy: annotate `-> Happened[{type_name(gives)}] | DidNotHappen | CannotTell`"
                )


def decides(signature: Signature) -> bool:
    """Whether a probe always knows: it never answers `CannotTell` (def_R25)."""
    return CannotTell not in members(signature.returns)


def check_input(saga: str, form: Form) -> dict[str, Any]:
    """The JSON Schema of a saga's input.

    Raises:
        DefinitionError: it is no model or dataclass, or a field has a `default_factory` (def_R22).
    """
    fields: dict[str, Any] = {}
    if isinstance(form, type) and issubclass(form, BaseModel):
        fields = {name: field.default_factory for name, field in form.model_fields.items()}
    elif isinstance(form, type) and dataclasses.is_dataclass(form):
        factories = {field.name: field.default_factory for field in dataclasses.fields(form)}
        fields = {name: None if factory is dataclasses.MISSING else factory for name, factory in factories.items()}
    else:
        raise DefinitionError(
            f"the input of saga '{saga}' is {type_name(form)}\n  remedy: use a pydantic model or a dataclass"
        )
    for name, factory in fields.items():
        if factory is not None:
            raise DefinitionError(
                f"the input of saga '{saga}': field '{name}' of {type_name(form)} has a default_factory, so each step "
                "would see another value\n  remedy: give it where the saga is started"
            )
    return schema_of(form, f"the input of saga '{saga}'")
