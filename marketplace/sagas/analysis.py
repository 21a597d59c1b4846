"""Read a document, ask an agent about each channel, put the answers together. An empty plan is never completed."""

import asyncio
import json
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager

import aiohttp
from pydantic import BaseModel

from amends import Context, Permanent, Retry, Saga, Transaction, read_settings, resource
from marketplace.agents.answers import UnreadableError, read_answer
from marketplace.agents.remote import RemoteAgent
from marketplace.agents.rules import Agent, RulesAgent
from marketplace.agents.settings import AgentSettings
from marketplace.phases import merged_phases
from marketplace.plans import Analyse, Opportunity, Phase, Plan

AGENT_SECONDS = 60
NOTE_CHARACTERS_MAX = 300
TAKE = """
UPDATE marketplace_plans SET analysis_id = $2::text::uuid
WHERE id = $1 AND status = 'analysing' AND coalesce(analysis_id, $2::text::uuid) = $2::text::uuid
"""
GIVE_UP = """
UPDATE marketplace_plans SET
    status = CASE WHEN turned.cause = 'cancel' THEN 'cancelled' ELSE 'failed' END,
    error = coalesce(turned.message, turned.reason, 'the analysis did not succeed'),
    updated_at = clock_timestamp()
FROM (
    SELECT event_data ->> 'cause' AS cause, event_data ->> 'reason' AS reason,
        event_data -> 'error' ->> 'message' AS message
    FROM amends.workflow_events WHERE workflow_id = $2::text::uuid AND event_type = 'SagaTurnedBack'
    ORDER BY sequence_number DESC LIMIT 1
) AS turned
WHERE id = $1 AND status = 'analysing' AND analysis_id = $2::text::uuid
"""
"""The plan says what its analysis turned back for, as the saga's history has it (req. X53, G-19)."""
SAVE = """
UPDATE marketplace_plans SET plan_data = $3::text::jsonb, status = 'pending', updated_at = clock_timestamp()
WHERE id = $1 AND status = 'analysing' AND analysis_id = $2::text::uuid
"""
NOBODY = "UPDATE 0"


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
    """The agents of all channels: one that knows the model of each, or the built-in one."""

    def __init__(self, agent: Agent | None = None) -> None:
        self._agent = agent or RulesAgent()

    async def ask(self, channel: str, text: str) -> str:
        """The answer of the channel's agent."""
        return await self._agent.ask(channel, text)


@asynccontextmanager
async def agents() -> AsyncGenerator[Agents]:
    """The agents of a worker: behind the endpoint that is set, over one session; without one, the built-in."""
    settings = read_settings(AgentSettings)
    if settings.base_url is None or settings.api_key is None:
        yield Agents()
        return
    key = settings.api_key.get_secret_value()
    async with aiohttp.ClientSession() as session:
        yield Agents(RemoteAgent(session, settings.base_url, key, settings.model, settings.models))


resource(Agents, agents)


class Saved(BaseModel):
    """The plan that was saved."""

    plan_id: str
    opportunities: int


analysis = Saga("analysis", input=Analyse, result=Saved, resources=[Agents])


@analysis.step("begin")
async def take_plan(request: Analyse, context: Context, transaction: Transaction) -> None:
    """Take the plan: from here on it is ours, and whatever goes wrong later is said on it."""
    if await transaction.execute(TAKE, request.plan_id, context.saga_id) == NOBODY:
        raise Permanent(f"plan {request.plan_id} does not exist, or another saga has analysed it")


@take_plan.undo
async def give_up(request: Analyse, context: Context, transaction: Transaction) -> None:
    """The analysis turned back: the plan says so, and why."""
    await transaction.execute(GIVE_UP, request.plan_id, context.saga_id)


@analysis.step("text", after=[take_plan])
async def read_text(request: Analyse, transaction: Transaction) -> Text:
    """Take the text that was extracted when the document was uploaded."""
    text = await transaction.fetchval("SELECT text FROM marketplace_documents WHERE id = $1", request.document_id)
    if text is None:
        raise Permanent(f"document {request.document_id} does not exist")
    return Text(text=text)


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
        said = await agents.ask(item, text.text)
        answer = await asyncio.to_thread(read_answer, said, item)
    except UnreadableError as unreadable:
        raise Permanent(f"channel {item}: {unreadable}") from unreadable
    return Finding(channel=item, opportunities=answer.opportunities, phases=answer.phases)


@ask_agent.fallback
async def no_finding(item: str, context: Context) -> Finding:
    """A channel whose agent gives no answer that can be read counts as empty, and is marked with why (req. X53)."""
    why = (context.cause or "the agent gave no readable answer")[:NOTE_CHARACTERS_MAX]
    return Finding(channel=item, opportunities=[], phases=[], note=why)


@analysis.step("plan", queue="agents", pivot=True)
async def save_plan(request: Analyse, findings: list[Finding], context: Context, transaction: Transaction) -> Saved:
    """Put the answers together and save the plan, which may be approved from then on; an empty one is none."""
    opportunities = [found for finding in findings for found in finding.opportunities]
    if not opportunities:
        raise Permanent(f"no channel gave an opportunity: {_why_nothing(findings)}")
    plan = Plan(
        opportunities=opportunities,
        phases=merged_phases(finding.phases for finding in findings),
        channels=request.channels,
        empty_channels=[finding.channel for finding in findings if not finding.opportunities],
        notes={finding.channel: finding.note for finding in findings if finding.note},
    )
    document = json.dumps(plan.model_dump(mode="json"), ensure_ascii=False)
    if await transaction.execute(SAVE, request.plan_id, context.saga_id, document) == NOBODY:
        raise Permanent(f"plan {request.plan_id} is no longer being analysed")
    return Saved(plan_id=str(request.plan_id), opportunities=len(opportunities))


def _why_nothing(findings: Sequence[Finding]) -> str:
    """Why there is nothing: what went wrong with each channel, or else the document."""
    notes = list(dict.fromkeys(finding.note for finding in findings if finding.note))
    return "; ".join(notes) or "the document says nothing that the agents understand"
