"""How the findings of all channels become a plan, and what is said when they do not."""

import json
from typing import Any
from uuid import uuid4

import pytest

from amends import Context, Permanent
from marketplace.plans import Analyse, Opportunity, Phase
from marketplace.sagas.analysis import Finding, no_finding, save_plan

CONTEXT = Context(saga_id="s", step="plan", attempt=1, idempotency_key="k", step_key="k")
REQUEST = Analyse(plan_id=uuid4(), document_id=uuid4(), channels=["A", "B", "C"])
REFUSED = "the agent's endpoint answered 401: check OPENAI_API_KEY"


class Saving:
    """A transaction that keeps what it is told."""

    def __init__(self) -> None:
        self.told: list[Any] = []

    async def execute(self, query: str, *values: object) -> str:
        self.told.append(values)
        return "UPDATE 1"


def finding(channel: str, *tasks: str, note: str = "") -> Finding:
    found = Opportunity(channel=channel, priority="alta", title="t", what="w", reason="r")
    phases = [Phase(number=1, name=f"of {channel}", weeks="1", tasks=list(tasks))] if tasks else []
    return Finding(channel=channel, opportunities=[found] if tasks else [], phases=phases, note=note)


async def test_a_plan_has_the_phases_of_all_channels_and_says_what_went_wrong_with_the_others() -> None:
    saving: Any = Saving()
    found = [finding("A", "a"), finding("B", "b", "a"), finding("C", note=REFUSED)]
    await save_plan(REQUEST, found, CONTEXT, saving)
    plan = json.loads(saving.told[0][2])
    assert [(phase["name"], phase["tasks"]) for phase in plan["phases"]] == [("of A", ["a", "b"])]
    assert (plan["empty_channels"], plan["notes"]) == (["C"], {"C": REFUSED})


async def test_where_every_agent_refused_the_failure_says_so_and_blames_no_document() -> None:
    saving: Any = Saving()
    refused = Context(saga_id="s", step="f", attempt=1, idempotency_key="k", step_key="k", cause=REFUSED)
    found = [await no_finding(channel, refused) for channel in REQUEST.channels]
    with pytest.raises(Permanent) as told:
        await save_plan(REQUEST, found, CONTEXT, saving)
    assert str(told.value) == f"no channel gave an opportunity: {REFUSED}"
    with pytest.raises(Permanent, match="the document says nothing that the agents understand"):
        await save_plan(REQUEST, [finding("A")], CONTEXT, saving)
