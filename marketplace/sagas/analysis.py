"""Read a document, ask an agent about each channel, put the answers together. An empty plan is never completed."""

import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from pydantic import BaseModel

from amends import Permanent, Retry, Saga, Transaction, resource
from marketplace.agents.answers import UnreadableError, read_answer
from marketplace.agents.rules import Agent, RulesAgent
from marketplace.plans import Analyse, Opportunity, Phase, Plan

AGENT_SECONDS = 60


class Text(BaseModel):
    """The document's text."""

    text: str


class Finding(BaseModel):
    """What an agent found for a channel; `note` says why there is nothing."""

    channel: str
    opportunities: list[Opportunity]
    phases: list[Phase]
    note: str = ""


class Agents:
    """The agents, by channel: today one for all."""

    def __init__(self, agent: Agent | None = None) -> None:
        self._agent = agent or RulesAgent()

    async def ask(self, channel: str, text: str) -> str:
        """The answer of the channel's agent."""
        return await self._agent.ask(channel, text)


@asynccontextmanager
async def agents() -> AsyncGenerator[Agents]:
    """The agents of a worker."""
    yield Agents()


resource(Agents, agents)


class Saved(BaseModel):
    """The plan that was saved."""

    plan_id: str
    opportunities: int


analysis = Saga("analysis", input=Analyse, result=Saved, resources=[Agents])


@analysis.step("text")
async def read_text(request: Analyse, transaction: Transaction) -> Text:
    """Take the text that was extracted when the document was uploaded; from here on the plan is ours."""
    text = await transaction.fetchval(
        "SELECT text FROM marketplace_documents WHERE id = $1::text::uuid", request.document_id
    )
    if text is None:
        raise Permanent(f"document {request.document_id} does not exist")
    return Text(text=text)


@read_text.undo
async def give_up(request: Analyse, transaction: Transaction) -> None:
    """The analysis turned back: the plan says so."""
    await transaction.execute(
        "UPDATE marketplace_plans SET status = 'failed', error = 'the analysis did not succeed', "
        "updated_at = clock_timestamp() WHERE id = $1::text::uuid AND status = 'analysing'",
        request.plan_id,
    )


@analysis.step(
    "findings",
    each="input.channels",
    queue="agents",
    timeout=AGENT_SECONDS,
    retry=Retry(delays=[2, 10]),
    after=[read_text],
)
async def ask_agent(item: str, text: Text, agents: Agents) -> Finding:
    """Ask the channel's agent."""
    try:
        answer = read_answer(await agents.ask(item, text.text), item)
    except UnreadableError as unreadable:
        raise Permanent(f"channel {item}: {unreadable}") from unreadable
    return Finding(channel=item, opportunities=answer.opportunities, phases=answer.phases)


@ask_agent.fallback
async def no_finding(item: str) -> Finding:
    """A channel whose agent cannot be read counts as empty, and is marked (req. X53)."""
    return Finding(channel=item, opportunities=[], phases=[], note="the agent gave no readable answer")


@analysis.step("plan", queue="agents")
async def save_plan(request: Analyse, findings: list[Finding], transaction: Transaction) -> Saved:
    """Put the answers together and save the plan; without any opportunity there is none."""
    opportunities = [found for finding in findings for found in finding.opportunities]
    if not opportunities:
        raise Permanent("no channel gave an opportunity: the document says nothing that the agents understand")
    phases = next((finding.phases for finding in findings if finding.phases), list[Phase]())
    plan = Plan(
        opportunities=opportunities,
        phases=phases,
        channels=request.channels,
        empty_channels=[finding.channel for finding in findings if not finding.opportunities],
    )
    await transaction.execute(
        "UPDATE marketplace_plans SET plan_data = $2::text::jsonb, status = 'pending', updated_at = clock_timestamp() "
        "WHERE id = $1::text::uuid",
        request.plan_id,
        json.dumps(plan.model_dump(mode="json"), ensure_ascii=False),
    )
    return Saved(plan_id=request.plan_id, opportunities=len(opportunities))
