"""Whether a value fits a JSON Schema, as far as schemas of pydantic's types go; what is unknown of a schema holds.

It is for values of a version whose types nobody has any more: else the types themselves check (docs/decisions/0013).
"""

import re
from collections.abc import Callable, Iterator, Mapping
from datetime import date, datetime
from typing import Any, cast
from uuid import UUID

import orjson

from sagas.errors import InputError
from sagas.events import Json
from sagas.manifest import Manifest
from sagas.storable import complaint

Schema = Mapping[str, Any]
Complaint = tuple[str, str]
"""A field, as `lines.0.sku`, and what is wrong with it."""

KINDS: Mapping[str, tuple[type, ...]] = {
    "null": (type(None),), "boolean": (bool,), "integer": (int,), "number": (int, float), "string": (str,),
    "array": (list,), "object": (dict,),
}  # fmt: skip
FORMATS: Mapping[str, Callable[[str], object]] = {
    "date-time": datetime.fromisoformat, "date": date.fromisoformat, "uuid": UUID,
}  # fmt: skip
LIMITS: tuple[tuple[str, Callable[[Any, Any], bool], str], ...] = (
    ("minimum", lambda value, limit: value >= limit, "is less than {}"),
    ("maximum", lambda value, limit: value <= limit, "is more than {}"),
    ("exclusiveMinimum", lambda value, limit: value > limit, "is not more than {}"),
    ("exclusiveMaximum", lambda value, limit: value < limit, "is not less than {}"),
    ("multipleOf", lambda value, unit: value % unit == 0, "is no multiple of {}"),
)
SIZES = {"string": ("minLength", "maxLength"), "array": ("minItems", "maxItems"),
         "object": ("minProperties", "maxProperties")}  # fmt: skip


def fit(manifest: Manifest, name: str | None, value: object) -> Json:
    """What a node gives, or what somebody sends to it, as it is stored; without a name the input.

    It is stored as it came: who has no types cannot fill in defaults.

    Raises:
        InputError: it does not fit, or there is no such node; each field is named.
    """
    node = manifest.by_name.get(name) if name is not None else None
    if name is not None and node is None:
        raise InputError(manifest.name, [("", f"'{name}' is none of {', '.join(manifest.by_name)}")], "step")
    what = f"what '{name}' gives, in a saga" if name is not None else "input"
    if (unfit := complaint(value)) is not None:
        raise InputError(manifest.name, [unfit], what)
    document: Json = orjson.loads(orjson.dumps(value))
    if found := complaints(node.result_schema if node is not None else manifest.input_schema, document):
        raise InputError(manifest.name, found, what)
    return document


def widens(old: Schema, new: Schema) -> bool:
    """Whether what fits the old schema of an object fits the new one too, as far as a look at its fields tells."""
    before, after = _shape(old), _shape(new)
    if before == after:
        return True
    if not old.get("type") == new.get("type") == "object":
        return False
    parts = ("properties", "$defs")
    same = all(new[part][name] == one for part in parts for name, one in old.get(part, {}).items()
               if name in new.get(part, {}))  # fmt: skip
    kept = new.get("additionalProperties") is not False or old["properties"].keys() <= new["properties"].keys()
    return same and kept and set(new.get("required", ())) <= set(old.get("required", ()))


def _shape(schema: Schema) -> Schema:
    return {name: part for name, part in schema.items() if name not in ("title", "description")}


def complaints(schema: Schema, value: Json) -> list[Complaint]:
    """What of a value does not fit a schema; nothing where all does."""
    return list(_look(schema, value, "", schema.get("$defs", {})))


def _look(schema: Schema, value: Any, place: str, named: Mapping[str, Schema]) -> Iterator[Complaint]:
    if (target := schema.get("$ref")) is not None:
        yield from _look(named.get(str(target).rpartition("/")[2], {}), value, place, named)
    for part in schema.get("allOf", ()):
        yield from _look(part, value, place, named)
    if choices := schema.get("anyOf") or schema.get("oneOf"):
        yield from _choose(choices, value, place, named)
    if "const" in schema and value != schema["const"]:
        yield place, f"is not {schema['const']!r}"
    if "enum" in schema and value not in schema["enum"]:
        yield place, f"is none of {', '.join(map(str, schema['enum']))}"
    kind = str(schema.get("type"))
    if kind in KINDS and not _is(kind, value):
        yield place, f"is no {kind}"
        return
    yield from _of_its_size(schema, value, place)
    if isinstance(value, str):
        yield from _text(schema, value, place)
    elif _is("array", value):
        yield from _items(schema, value, place, named)
    elif _is("object", value):
        yield from _fields(schema, value, place, named)


def _is(kind: str, value: object) -> bool:
    """A boolean is no number in JSON."""
    return isinstance(value, KINDS[kind]) and (kind == "boolean" or not isinstance(value, bool))


def _choose(choices: list[Schema], value: Any, place: str, named: Mapping[str, Schema]) -> Iterator[Complaint]:
    """The complaints of the choice that comes nearest: the deepest field of it is the most telling."""
    found = [list(_look(choice, value, place, named)) for choice in choices]
    if all(found):
        yield from max(found, key=lambda one: one[0][0].count("."))


def _of_its_size(schema: Schema, value: Any, place: str) -> Iterator[Complaint]:
    if _is("number", value):
        for name, holds, says in LIMITS:
            if name in schema and not holds(value, schema[name]):
                yield place, says.format(schema[name])
    for kind, (least, most) in SIZES.items():
        if _is(kind, value) and not schema.get(least, 0) <= len(value) <= schema.get(most, len(value)):
            yield place, f"has {len(value)} parts; {schema.get(least, 0)} to {schema.get(most, 'any number')} are right"


def _text(schema: Schema, value: str, place: str) -> Iterator[Complaint]:
    if "pattern" in schema and re.search(schema["pattern"], value) is None:
        yield place, f"does not look like {schema['pattern']}"
    reads = FORMATS.get(schema.get("format", ""))
    try:
        if reads is not None:
            reads(value)
    except ValueError:
        yield place, f"is no {schema['format']}"


def _items(schema: Schema, value: list[Any], place: str, named: Mapping[str, Schema]) -> Iterator[Complaint]:
    first: list[Schema] = schema.get("prefixItems", [])
    for number, item in enumerate(value):
        one = first[number] if number < len(first) else schema.get("items", {})
        if isinstance(one, Mapping):
            yield from _look(cast("Schema", one), item, _under(place, str(number)), named)
    if schema.get("uniqueItems") and any(item in value[:number] for number, item in enumerate(value)):
        yield place, "holds something twice"


def _fields(schema: Schema, value: dict[str, Any], place: str, named: Mapping[str, Schema]) -> Iterator[Complaint]:
    known: Mapping[str, Schema] = schema.get("properties", {})
    others = schema.get("additionalProperties", True)
    for name in schema.get("required", ()):
        if name not in value:
            yield _under(place, name), "is missing"
    for name, part in value.items():
        if name in known:
            yield from _look(known[name], part, _under(place, name), named)
        elif others is False:
            yield _under(place, name), "is no field here"
        elif isinstance(others, Mapping):
            yield from _look(cast("Schema", others), part, _under(place, name), named)


def _under(place: str, name: str) -> str:
    return f"{place}.{name}" if place else name
