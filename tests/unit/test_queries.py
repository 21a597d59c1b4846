"""An append and a start are two statements; what they write beside the heads is one text (rule_A3, rule_A4)."""

import re

from eventstore.queries import query


def beside_heads(name: str) -> str:
    return query(name).partition("), recorded AS (")[2]


def test_an_append_and_a_start_write_events_waits_and_messages_alike() -> None:
    assert beside_heads("append").count("\n") > 25
    assert beside_heads("append") == re.sub(r"\bcreated\b", "moved", beside_heads("start"))
