"""Examples of values, made from their JSON Schema: the inputs and results of simulated sagas."""

from collections.abc import Mapping
from random import Random
from typing import Any

from sagas.events import Json

ITEMS_MAX = 3
DEPTH_MAX = 6
FORMATS = {
    "date-time": "2026-01-01T00:00:05Z",
    "date": "2026-01-02",
    "time": "03:04:05Z",
    "duration": "PT1H",
    "uuid": "01900000-0000-7000-8000-00000000000a",
    "email": "ada@example.org",
    "uri": "https://example.org/",
    "decimal": "10",
}


def example(schema: Mapping[str, Any], rng: Random) -> Json:
    """A value that fits, as far as the schema says. `examples`, `default` and `enum` are used first."""
    return _example(schema, schema.get("$defs", {}), rng, 0)


def _example(schema: Mapping[str, Any], named: Mapping[str, Any], rng: Random, depth: int) -> Json:
    if "$ref" in schema:
        return _example(named[str(schema["$ref"]).rpartition("/")[2]], named, rng, depth)
    for word in ("examples", "enum"):
        if schema.get(word):
            return rng.choice(list(schema[word]))
    if "const" in schema:
        return schema["const"]
    for word in ("anyOf", "oneOf"):
        if word in schema:
            options: list[Mapping[str, Any]] = list(schema[word])
            if any(one.get("type") == "number" for one in options):  # a number that may come as text
                options = [one for one in options if one.get("type") != "string"]
            if depth > DEPTH_MAX:
                options = [one for one in options if one.get("type") == "null"] or options
            return _example(rng.choice(options), named, rng, depth)
    if "allOf" in schema:
        return _example(schema["allOf"][0], named, rng, depth)
    return _of_type(schema, named, rng, depth)


def _of_type(schema: Mapping[str, Any], named: Mapping[str, Any], rng: Random, depth: int) -> Json:
    match schema.get("type"):
        case "object":
            fields: Mapping[str, Any] = schema.get("properties", {})
            required = set(schema.get("required", fields))
            wanted = [name for name in fields if name in required or (depth < DEPTH_MAX and rng.random() < 0.5)]
            return {name: _example(fields[name], named, rng, depth + 1) for name in wanted}
        case "array":
            return _list(schema, named, rng, depth)
        case "string":
            return _text(schema)
        case "integer" | "number":
            low = schema.get("minimum", schema.get("exclusiveMinimum", 0) + (1 if "exclusiveMinimum" in schema else 0))
            high = schema.get("maximum", low + 5)
            return rng.randint(int(low), max(int(low), int(high)))
        case "boolean":
            return rng.random() < 0.5
        case _:
            return schema.get("default")


def _list(schema: Mapping[str, Any], named: Mapping[str, Any], rng: Random, depth: int) -> Json:
    if "prefixItems" in schema:
        return [_example(one, named, rng, depth + 1) for one in schema["prefixItems"]]
    least = int(schema.get("minItems", 0))
    most = int(schema.get("maxItems", max(least, ITEMS_MAX if depth < DEPTH_MAX else 0)))
    count = rng.randint(least, max(least, min(most, least + ITEMS_MAX)))
    return [_example(schema.get("items", {}), named, rng, depth + 1) for _ in range(count)]


def _text(schema: Mapping[str, Any]) -> str:
    if (form := schema.get("format")) in FORMATS:
        return FORMATS[str(form)]
    least = int(schema.get("minLength", 1))
    most = int(schema.get("maxLength", max(least, 8)))
    return ("example" * (least // 7 + 1))[: max(least, min(most, 8))]
