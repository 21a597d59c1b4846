"""What sagas are started with is bounded, and the rules read long documents without holding others up."""

import json
import time
from typing import Any
from uuid import uuid4

import pytest

from amends import InputError
from marketplace.agents.rules import RulesAgent
from marketplace.sagas.analysis import analysis
from marketplace.sagas.approval import approval

PLAN, DOCUMENT = str(uuid4()), str(uuid4())


@pytest.mark.parametrize(
    ("saga", "given", "field"),
    [
        (approval, {"plan_id": "notuuid", "approved_by": "a"}, "plan_id"),
        (approval, {"plan_id": PLAN, "approved_by": ""}, "approved_by"),
        (approval, {"plan_id": PLAN, "approved_by": "a" * 201}, "approved_by"),
        (analysis, {"plan_id": PLAN, "document_id": "x", "channels": ["a"]}, "document_id"),
        (analysis, {"plan_id": PLAN, "document_id": DOCUMENT, "channels": []}, "channels"),
        (analysis, {"plan_id": PLAN, "document_id": DOCUMENT, "channels": ["a"] * 21}, "channels"),
        (analysis, {"plan_id": PLAN, "document_id": DOCUMENT, "channels": ["a" * 61]}, "channels"),
    ],
)
def test_an_input_that_cannot_work_is_refused_by_its_field(saga: Any, given: dict[str, Any], field: str) -> None:
    with pytest.raises(InputError) as refused:
        saga.seal().normalise(given)
    assert [name for name, _ in refused.value.errors] == [field]


async def test_the_rules_take_time_in_proportion_to_the_document() -> None:
    lines = [f"SKU {number} Amazon sem estoque" for number in range(15_000)]
    text = "\n".join(lines + [f"SKU {number} sem estoque" for number in range(15_000)])
    began = time.monotonic()
    found = json.loads(await RulesAgent().ask("Amazon", text))["opportunities"]
    assert time.monotonic() - began < 10, "each line is looked at once, not once for each other line"
    assert found[0]["reason"] == "o documento diz: “SKU 0 Amazon sem estoque”"
