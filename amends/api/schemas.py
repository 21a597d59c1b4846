"""What the routes of Amends take and answer, as JSON schemas for the description of the API."""

from typing import Any, get_args

from amends.starting import STARTS_MAX
from sagas.events import Resolution
from sagas.statuses import SagaStatus, WaitKind

Schema = dict[str, Any]

TEXT: Schema = {"type": "string"}
NUMBER: Schema = {"type": "integer"}
FLAG: Schema = {"type": "boolean"}
UUID: Schema = {"type": "string", "format": "uuid"}
INSTANT: Schema = {"type": "string", "format": "date-time"}
STATUS: Schema = {"type": "string", "enum": list(get_args(SagaStatus))}
WAITING: Schema = {"type": "string", "enum": list(get_args(WaitKind))}
ANYTHING: Schema = {}


def thing(optional: tuple[str, ...] = (), **properties: Schema) -> Schema:
    """An object with these properties, all but `optional` always there."""
    return {
        "type": "object",
        "required": [name for name in properties if name not in optional],
        "properties": properties,
    }


def or_nothing(schema: Schema) -> Schema:
    """That, or null."""
    return {"anyOf": [schema, {"type": "null"}]}


def list_of(schema: Schema) -> Schema:
    """A list."""
    return {"type": "array", "items": schema}


def page_of(schema: Schema) -> Schema:
    """A page of a list, and where the next one begins."""
    return thing(items=list_of(schema), next=or_nothing(TEXT))


ERROR = or_nothing({"type": "object", "additionalProperties": True})
STEP = thing(
    step=TEXT, item=or_nothing(NUMBER), status=TEXT, attempt=NUMBER, result=ANYTHING, error=ERROR, fallback=FLAG,
    startedAt=or_nothing(INSTANT), endedAt=or_nothing(INSTANT),
)  # fmt: skip
WAIT = thing(
    kind=WAITING, step=or_nothing(TEXT), item=or_nothing(NUMBER), cause=or_nothing(TEXT), what=TEXT, since=INSTANT,
    dueAt=or_nothing(INSTANT), endsWhen=TEXT, child=or_nothing(UUID),
    remedies=list_of(thing(command=TEXT, allowed=FLAG, says=TEXT)),
)  # fmt: skip
SAGA = thing(
    sagaId=UUID, definition=TEXT, status=STATUS, held=FLAG, heldSince=or_nothing(INSTANT), heldBy=or_nothing(TEXT),
    version=NUMBER, key=or_nothing(TEXT), input=ANYTHING, result=ANYTHING, error=ERROR, currentStep=NUMBER,
    steps=list_of(STEP), waits=list_of(WAIT), createdAt=INSTANT, completedAt=or_nothing(INSTANT),
)  # fmt: skip
SUMMARY = thing(
    sagaId=UUID, definition=TEXT, status=STATUS, key=or_nothing(TEXT), version=NUMBER, held=FLAG,
    waitsFor=or_nothing(TEXT), createdAt=INSTANT, updatedAt=INSTANT,
)  # fmt: skip
EVENT = thing(
    sequenceNumber=NUMBER, type=TEXT, data={"type": "object"}, createdAt=INSTANT, causationId=or_nothing(TEXT),
    actor=or_nothing(TEXT), sentence=TEXT,
)  # fmt: skip
STARTED = thing(sagaId=UUID, definition=TEXT, status=STATUS, created=FLAG)
START = thing(("key",), definition=TEXT, input=ANYTHING, key={**TEXT, "minLength": 1, "maxLength": 255})
STARTS = thing(sagas={**list_of(START), "minItems": 1, "maxItems": STARTS_MAX})
STARTED_MANY = thing(items=list_of(thing(
    ("sagaId", "status", "created", "errors"), outcome={**TEXT, "enum": ["created", "known", "conflict", "invalid"]},
    definition=TEXT, sagaId=UUID, status=STATUS, created=FLAG,
    errors=list_of(thing(field=TEXT, message=TEXT, remedy=TEXT)),
)))  # fmt: skip
REASON = {**TEXT, "minLength": 1, "maxLength": 1000}
ASKED = thing(reason=REASON)
RETRY = thing(("item", "undo"), reason=REASON, step=TEXT, item=NUMBER, undo=FLAG)
SOME = thing(
    ("definition", "status", "keyPrefix", "dryRun", "cursor"), reason=REASON, definition=TEXT, status=STATUS,
    keyPrefix=TEXT, dryRun=FLAG, cursor=TEXT,
)  # fmt: skip
SOME_DONE = thing(
    matched=NUMBER, changed=NUMBER, refused=list_of(thing(sagaId=UUID, detail=TEXT)), next=or_nothing(TEXT)
)
CORRECT = thing(("step", "item"), reason=REASON, step=TEXT, item=NUMBER, value=ANYTHING)
OUTCOME = {**TEXT, "enum": list(get_args(Resolution))}
RESOLVE = thing(("step", "item", "result"), reason=REASON, outcome=OUTCOME, step=TEXT, item=NUMBER, result=ANYTHING)
MIGRATE = thing(reason=REASON, fingerprint=TEXT)
SIGNAL = thing(value=ANYTHING)
ALIVE = thing(status=TEXT)
READY = thing(status=TEXT, database=TEXT)
REDIS = thing(status=TEXT, latency=TEXT)


def limit(most: int, default: int) -> Schema:
    """The size of a page."""
    return {**NUMBER, "minimum": 1, "maximum": most, "default": default}
