"""Messages in Redis are input: whatever stands in them, loading says what is wrong and never raises (rule C8)."""

import random
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumers.envelopes import Foreign, dump, load_command, load_word
from sagas.decide import decide
from sagas.inputs import Outcome, Progressed, Start, Started, Word
from sagas.ports import Command
from sagas.state import State
from tests.property.graphs import manifest_of

SAGA = "01900000-0000-7000-8000-000000000001"
ERROR = {"type": "E", "code": "c", "message": "m", "attempt": 1, "retryable": True, "happened": None}
OUTCOME = Outcome(SAGA, 2, 1, "s0", None, "step", "unknown", cause="error", error=ERROR, retry_after=2.0)
STARTED = Started(SAGA, 2, 1, "s0", None, 1.0, "w")
PROGRESSED = Progressed(SAGA, 2, 1, "s0", None, 1, 50, "half", "w")
COMMAND = Command(SAGA, 2, "trip", "f", "s0", None, "step", 1, "default", "normal", 10.0, {"a": 1}, {"b": "hash"})
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**40), 2**40) | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


@pytest.mark.parametrize("message", [OUTCOME, STARTED, PROGRESSED])
def test_a_word_comes_back_as_it_was(message: Word) -> None:
    assert load_word(dump(message)) == message


def test_a_command_comes_back_as_it_was() -> None:
    assert load_command(dump(COMMAND)) == COMMAND


@given(st.sampled_from([OUTCOME, STARTED, PROGRESSED, COMMAND]), st.data())
def test_a_message_with_any_field_replaced_is_loaded_or_set_aside(message: Word | Command, data: st.DataObject) -> None:
    document: dict[str, Any] = orjson.loads(dump(message))
    document[data.draw(st.sampled_from(sorted(document)))] = data.draw(JSON)
    body = orjson.dumps(document)
    found = load_command(body) if isinstance(message, Command) else load_word(body)
    if isinstance(found, Word):
        manifest = manifest_of(random.Random(1))
        state = decide(manifest, State(SAGA), Start(SAGA, manifest, {"items": []}), 0.0).state
        decide(manifest, state, found, 0.0)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("kind", []), ("role", {}), ("error", "text"), ("error", {"type": "E"}), ("retry_after", "soon"),
        ("retry_after", -1), ("attempt", True), ("started_ago", 1e300), ("cause", "whim"), ("payload", "ab12"),
        ("result", "a\x00b"), ("closed", 1), ("fallback", 1), ("surprise", 1),
    ],
)  # fmt: skip
def test_a_field_of_another_kind_is_named(field: str, value: object) -> None:
    document = {**orjson.loads(dump(OUTCOME)), field: value}
    found = load_word(orjson.dumps(document))
    assert isinstance(found, Foreign)
    assert field in found.why
