"""What the application talks about: opportunities, phases, plans, and what sagas are started with (req. J8)."""

from typing import Annotated, Literal
from uuid import UUID

from pydantic import BaseModel, Field, StringConstraints, field_validator

CHANNELS_MAX = 20
CHANNEL_CHARACTERS_MAX = 60
NAME_CHARACTERS_MAX = 200
Name = Annotated[str, StringConstraints(min_length=1, max_length=NAME_CHARACTERS_MAX)]
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
    """A plan as `plan_data` keeps it. `notes` say why a channel has nothing, where something went wrong."""

    opportunities: list[Opportunity] = Field(default=[])
    phases: list[Phase] = Field(default=[])
    channels: list[str] = Field(default=[])
    empty_channels: list[str] = Field(default=[])
    notes: dict[str, str] = Field(default={})


class Analyse(BaseModel):
    """Input of the analysis: ids, not documents (def_R22)."""

    plan_id: UUID
    document_id: UUID
    channels: list[str] = Field(min_length=1, max_length=CHANNELS_MAX)

    @field_validator("channels")
    @classmethod
    def _of_fitting_length(cls, channels: list[str]) -> list[str]:
        if not all(0 < len(name) <= CHANNEL_CHARACTERS_MAX for name in channels):
            raise ValueError(f"each channel has 1 to {CHANNEL_CHARACTERS_MAX} characters")
        return channels


class Approve(BaseModel):
    """Input of the approval."""

    plan_id: UUID
    approved_by: Name


class Task(BaseModel):
    """A task that was created."""

    id: str
    title: str
