"""What a probe answers, and how a result came about (def_R17, def_R25)."""

from dataclasses import dataclass
from typing import Generic, TypeVar

from sagas.records import record

R_co = TypeVar("R_co", covariant=True)


@record
class Happened(Generic[R_co]):
    """A probe's answer: the step did happen, and this is its result."""

    result: R_co


@record
class DidNotHappen:
    """A probe's answer: the step did not happen, and will not any more."""


@record
class CannotTell:
    """A probe's answer: nobody can say yet. `why` is shown to the operator."""

    why: str = ""


@dataclass(frozen=True)
class Given(Generic[R_co]):
    """A result together with how it came about: `fallback` is true when the fallback gave it, `reason` says why."""

    value: R_co
    fallback: bool = False
    reason: str | None = None
