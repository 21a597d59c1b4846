"""Read a document, ask one agent a channel, put the answers together."""

from pydantic import BaseModel

from amends import Breaker, Given, Retry, Saga, Transaction


class Upload(BaseModel):
    document: str
    channels: list[str]
    translate: bool = False


class Text(BaseModel):
    text: str


class Finding(BaseModel):
    channel: str
    opportunities: list[str]


class Plan(BaseModel):
    id: str
    partial: bool


class Agents:
    async def ask(self, channel: str, text: str) -> list[str]:
        raise NotImplementedError


analysis = Saga("analysis", input=Upload, result=Plan, resources=[Agents])


@analysis.step("text")
async def read_text(upload: Upload, transaction: Transaction) -> Text:  # extracted when it was uploaded
    return Text(
        text=str(await transaction.fetchval("SELECT text FROM marketplace_documents WHERE id = $1", upload.document))
    )


@analysis.step("translation", when="input.translate")
async def translate(text: Text) -> Text:
    return text


@analysis.step(
    "findings",
    each="input.channels",
    concurrency=4,
    timeout=60,
    retry=Retry(delays=[2, 10]),
    breaker=Breaker("agents", per="item"),
)
async def ask_agent(item: str, text: Text, translation: Text | None, agents: Agents) -> Finding:
    return Finding(channel=item, opportunities=await agents.ask(item, (translation or text).text))


@ask_agent.fallback
async def no_finding(item: str) -> Finding:
    return Finding(channel=item, opportunities=[])


@analysis.step("plan")
async def save_plan(upload: Upload, findings: list[Given[Finding]], transaction: Transaction) -> Plan:
    partial = any(f.fallback for f in findings)
    plan_id = await transaction.fetchval("INSERT INTO plans (partial) VALUES ($1) RETURNING id", partial)
    return Plan(id=str(plan_id), partial=partial)
