"""The sagas that are measured: four steps that do nothing, one that is undone after two of them, parallel branches."""

from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from amends import Permanent, Saga

FORWARD, COMPENSATING = "forward", "compensating"
BRANCHES = (1, 10, 100)


class Payload(BaseModel):
    """What a saga is given, and every step gives back."""

    text: str


forward = Saga(FORWARD, input=Payload)


@forward.step("first")
async def first(request: Payload) -> Payload:
    """Do nothing."""
    return request


@forward.step("second")
async def second(first: Payload) -> Payload:
    """Do nothing."""
    return first


@forward.step("third")
async def third(second: Payload) -> Payload:
    """Do nothing."""
    return second


@forward.step("fourth")
async def fourth(third: Payload) -> Payload:
    """Do nothing."""
    return third


compensating = Saga(COMPENSATING, input=Payload)


@compensating.step("first")
async def take_first(request: Payload) -> Payload:
    """Do nothing."""
    return request


@take_first.undo
async def give_first_back(request: Payload) -> None:
    """Do nothing."""


@compensating.step("second")
async def take_second(first: Payload) -> Payload:
    """Do nothing."""
    return first


@take_second.undo
async def give_second_back(request: Payload) -> None:
    """Do nothing."""


@compensating.step("third")
async def fail(second: Payload) -> Payload:
    """Fail for good."""
    raise Permanent("there is none left")


@compensating.step("fourth")
async def never(third: Payload) -> Payload:
    """Do nothing; never reached."""
    return third


class Items(BaseModel):
    """One for each branch."""

    items: list[Payload]


branches = Saga("branches", input=Items)


@branches.step("branch", each="input.items")
async def branch(item: Payload) -> Payload:
    """Do nothing, beside all others."""
    return item


@branches.step("joined")
async def join(branch: list[Payload]) -> Payload:
    """Take what all branches gave."""
    return branch[0]


@dataclass(frozen=True)
class Workload:
    """A saga, what it is given for a text, by which event it ends, and how many handlers run for it, with undos."""

    saga: Saga[Any, Any]
    ending: str
    steps: int
    branches: int = 0

    def input(self, text: str) -> dict[str, Any]:
        """What it is given, as JSON."""
        return {"items": [{"text": text}] * self.branches} if self.branches else {"text": text}


EVERYWHERE = {
    FORWARD: Workload(forward, "SagaCompleted", 4),
    COMPENSATING: Workload(compensating, "SagaCompensated", 5),
}
"""Those that each system has."""
OURS = {f"branches-{count}": Workload(branches, "SagaCompleted", count + 1, count) for count in BRANCHES}
"""Those of Amends alone."""
WORKLOADS = EVERYWHERE | OURS
