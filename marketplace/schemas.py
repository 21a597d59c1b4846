"""What the application's routes take and answer, as JSON schemas for the description of the API."""

from typing import Any

from marketplace.plans import CHANNEL_CHARACTERS_MAX, CHANNELS_MAX, NAME_CHARACTERS_MAX, Plan

Schema = dict[str, Any]

TEXT: Schema = {"type": "string"}
NUMBER: Schema = {"type": "integer"}
UUID: Schema = {"type": "string", "format": "uuid"}
INSTANT: Schema = {"type": "string", "format": "date-time"}
PERHAPS_TEXT: Schema = {"type": ["string", "null"]}
PERHAPS_INSTANT: Schema = {"type": ["string", "null"], "format": "date-time"}


def _thing(**properties: Schema) -> Schema:
    return {"type": "object", "required": list(properties), "properties": properties}


def _plan() -> Schema:
    """`plan_data`, whole within this document."""
    schema = Plan.model_json_schema(ref_template="#/$defs/{model}")
    definitions = schema.pop("$defs")
    for name in ("opportunities", "phases"):
        schema["properties"][name]["items"] = definitions[schema["properties"][name]["items"]["$ref"].split("/")[-1]]
    return schema


CHANNELS: Schema = {
    "type": "array",
    "minItems": 1,
    "maxItems": CHANNELS_MAX,
    "items": {**TEXT, "minLength": 1, "maxLength": CHANNEL_CHARACTERS_MAX},
}
FORM = _thing(file={**TEXT, "format": "binary"}, channels=CHANNELS)
UPLOADED = _thing(planId=UUID, sagaId=UUID, jobId=UUID, status=TEXT)
TASK = _thing(
    id=UUID, phase=NUMBER, position=NUMBER, title=TEXT, status=TEXT, assignee=PERHAPS_TEXT,
    generated={"type": "boolean"},
)  # fmt: skip
PLAN = _thing(
    planId=UUID, status=TEXT, channels={"type": "array", "items": TEXT}, plan=_plan(), error=PERHAPS_TEXT,
    approvedBy=PERHAPS_TEXT, createdAt=INSTANT, tasks={"type": "array", "items": TASK},
)  # fmt: skip
ACTION: Schema = {
    "type": "object",
    "required": ["action"],
    "properties": {
        "action": {"const": "approve"},
        "approvedBy": {**TEXT, "minLength": 1, "maxLength": NAME_CHARACTERS_MAX},
    },
}
APPROVED = _thing(jobId=UUID, sagaId=UUID, status={"const": "approved"}, message=TEXT)
JOB = _thing(
    jobId=UUID, sagaId=UUID, planId=PERHAPS_TEXT, status={"enum": ["pending", "active", "completed", "failed"]},
    progress=NUMBER, result={}, error={"type": ["object", "null"]}, attempts=NUMBER, fallback={"type": "boolean"},
    createdAt=INSTANT, startedAt=PERHAPS_INSTANT, completedAt=PERHAPS_INSTANT,
)  # fmt: skip
