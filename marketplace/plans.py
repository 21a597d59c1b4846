"""What the application talks about: opportunities, phases, plans, and what sagas are started with (req. J8)."""

from typing import Literal

from pydantic import BaseModel, Field

Priority = Literal["alta", "média", "baixa"]
PRIORITIES: tuple[Priority, ...] = ("alta", "média", "baixa")


class Opportunity(BaseModel):
    """Something worth doing in one channel. `reason` quotes the document."""

    channel: str
    priority: Priority
    title: str
    what: str
    reason: str


class Phase(BaseModel):
    """A part of a plan. `generated` says that nobody analysed it: it was made from the opportunities (req. J4)."""

    number: int
    name: str
    weeks: str
    tasks: list[str]
    investment: str = ""
    expected_impact: str = ""
    generated: bool = False


class Plan(BaseModel):
    """A plan as `plan_data` keeps it."""

    opportunities: list[Opportunity] = Field(default=[])
    phases: list[Phase] = Field(default=[])
    channels: list[str] = Field(default=[])
    empty_channels: list[str] = Field(default=[])


class Analyse(BaseModel):
    """Input of the analysis: ids, not documents (def_R22)."""

    plan_id: str
    document_id: str
    channels: list[str]


class Approve(BaseModel):
    """Input of the approval."""

    plan_id: str
    approved_by: str


class Task(BaseModel):
    """A task that was created."""

    id: str
    title: str
