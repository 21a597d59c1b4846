"""Values of a type as they are stored: JSON by field names, whatever the aliases and the strictness of a model."""

from typing import Any

import orjson
from pydantic import TypeAdapter, ValidationError

from sagas.events import Json
from sagas.forms import Form
from sagas.storable import complaint


class UnfitError(ValueError):
    """A value does not fit its type, or cannot be stored. `errors` holds (field, message), one at least."""

    def __init__(self, errors: list[tuple[str, str]]) -> None:
        self.errors = errors
        super().__init__(": ".join(part for part in errors[0] if part))


class Values:
    """Reads and writes the values of one type."""

    def __init__(self, form: Form) -> None:
        self._adapter: TypeAdapter[Any] = TypeAdapter(form)

    def load(self, document: Json) -> Any:
        """The value that is stored so. It is read as JSON: what is strict of a model does not hold for its dates.

        Raises:
            UnfitError: it is none of this type.
        """
        try:
            return self._adapter.validate_json(orjson.dumps(document), strict=False, by_alias=True, by_name=True)
        except ValidationError as unfit:
            raise UnfitError(_errors(unfit)) from None

    def store(self, value: object) -> Json:
        """The value as it is stored: validated, with defaults, by field names, without what is computed.

        Raises:
            UnfitError: it is none of this type, or holds what cannot be stored.
        """
        try:
            lenient = False if isinstance(value, dict) else None  # a dictionary may be JSON that came in
            found = self._adapter.validate_python(value, strict=lenient, by_alias=True, by_name=True)
            document: Json = self._adapter.dump_python(found, mode="json", by_alias=False, exclude_computed_fields=True)
        except ValidationError as unfit:
            raise UnfitError(_errors(unfit)) from None
        except UnicodeDecodeError:
            raise UnfitError([("", "holds bytes that are no UTF-8: give them as text, such as base64")]) from None
        except ValueError as unfit:  # pydantic's words for what it cannot write
            raise UnfitError([("", str(unfit))]) from None
        if (wrong := complaint(document)) is not None:
            raise UnfitError([wrong])
        return document


def _errors(unfit: ValidationError) -> list[tuple[str, str]]:
    errors = unfit.errors(include_url=False, include_input=False)
    return [(".".join(map(str, one["loc"])), one["msg"]) for one in errors]
