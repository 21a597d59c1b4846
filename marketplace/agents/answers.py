"""Agents answer in JSON, more or less: fenced, cut off, without `number`. What can be read is read (req. A2, J7)."""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, cast

from pydantic import BaseModel, Field, ValidationError

from marketplace.plans import PRIORITIES, Opportunity, Phase

FENCE = re.compile(r"```(?:json)?\s*(.*?)(?:```|\Z)", re.DOTALL)
SYNONYMS = {"high": "alta", "medium": "média", "media": "média", "low": "baixa"}


class Answer(BaseModel):
    """What could be read of an answer; `dropped` counts the parts that could not."""

    opportunities: list[Opportunity] = Field(default=[])
    phases: list[Phase] = Field(default=[])
    dropped: int = 0


class UnreadableError(ValueError):
    """Nothing of the answer could be read."""


def read_answer(text: str, channel: str) -> Answer:
    """Read an agent's answer about a channel.

    Raises:
        UnreadableError: there is no JSON object in it.
    """
    document = _object_in(text)
    raw_opportunities, raw_phases = _list(document.get("opportunities")), _list(document.get("phases"))
    opportunities = [found for entry in raw_opportunities if (found := _opportunity(entry, channel)) is not None]
    phases = [phase for place, entry in enumerate(raw_phases, 1) if (phase := _phase(entry, place)) is not None]
    dropped = len(raw_opportunities) - len(opportunities) + len(raw_phases) - len(phases)
    return Answer(opportunities=opportunities, phases=phases, dropped=dropped)


def _object_in(text: str) -> Mapping[str, Any]:
    fenced = FENCE.search(text)
    candidate = fenced[1] if fenced else text
    start = candidate.find("{")
    if start < 0:
        raise UnreadableError("the answer holds no JSON object")
    decoder = json.JSONDecoder(strict=False)
    try:
        found, _ = decoder.raw_decode(candidate[start:])
    except json.JSONDecodeError:
        found = _repaired(candidate[start:], decoder)
    if not isinstance(found, dict):
        raise UnreadableError("the answer holds no JSON object")
    return cast("Mapping[str, Any]", found)


def _repaired(text: str, decoder: json.JSONDecoder) -> Any:
    """The longest beginning that becomes whole when its brackets are closed: an answer that was cut off."""
    ends = [place for place, letter in enumerate(text) if letter in "}]"]
    for end in reversed(ends[-400:]):
        part = text[: end + 1]
        closing = _closing(part)
        try:
            return decoder.decode(re.sub(r",\s*([}\]])", r"\1", part + closing))
        except json.JSONDecodeError:
            continue
    raise UnreadableError("the answer's JSON is broken from its beginning")


def _closing(text: str) -> str:
    """The brackets that are still open, closed."""
    opened: list[str] = []
    quoted = escaped = False
    for letter in text:
        if quoted:
            quoted = escaped or letter != '"'
            escaped = letter == "\\" and not escaped
        elif letter == '"':
            quoted = True
        elif letter in "{[":
            opened.append("}" if letter == "{" else "]")
        elif letter in "}]" and opened:
            opened.pop()
    return "".join(reversed(opened))


def _list(value: Any) -> list[Any]:
    return list(cast("Sequence[Any]", value)) if isinstance(value, list) else []


def _opportunity(entry: Any, channel: str) -> Opportunity | None:
    if not isinstance(entry, dict):
        return None
    data = cast("dict[str, Any]", entry)
    priority = str(data.get("priority", "média")).strip().lower()
    priority = SYNONYMS.get(priority, priority)
    try:
        return Opportunity.model_validate(
            {
                "channel": channel,
                "reason": "",
                "what": data.get("title"),
                **data,
                "priority": priority if priority in PRIORITIES else "média",
            }
        )
    except ValidationError:
        return None


def _phase(entry: Any, place: int) -> Phase | None:
    """A phase; one without a number has that of its place (req. A3)."""
    if not isinstance(entry, dict):
        return None
    data = cast("dict[str, Any]", entry)
    number = data.get("number")
    tasks = [_title(task) for task in _list(data.get("tasks"))]
    try:
        return Phase.model_validate(
            {
                "name": f"Fase {place}",
                "weeks": "",
                **data,
                "number": number if isinstance(number, int) else place,
                "tasks": [task for task in tasks if task],
                "expected_impact": data.get("expectedImpact", data.get("expected_impact", "")),
            }
        )
    except ValidationError:
        return None


def _title(task: Any) -> str:
    if isinstance(task, dict):
        return str(cast("dict[str, Any]", task).get("title", "")).strip()
    return task.strip() if isinstance(task, str) else ""
