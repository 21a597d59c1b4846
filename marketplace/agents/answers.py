"""Agents answer in JSON, more or less: fenced, cut off, without `number`. What can be read is read (req. A2, J7)."""

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, cast

from pydantic import BaseModel, Field

from marketplace.phases import merged_phases
from marketplace.plans import PRIORITIES, Opportunity, Phase, Priority

START = re.compile(r'\{\s*"|\[\s*\{\s*"')
FENCE = re.compile(r"```\w*\s*")
TOKEN = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"?|[{}\[\],]', re.DOTALL)
UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
LEVELS_MAX = 50
NUMBER_MAX = 1000
SPELLINGS: dict[str, Priority] = {
    **{priority: priority for priority in PRIORITIES},
    "high": "alta",
    "low": "baixa",
}
"""How priorities are said (G-16); whatever is said otherwise counts as medium."""


class SaidOpportunity(BaseModel):
    """An opportunity as an agent is asked to write it."""

    priority: Priority
    title: str
    what: str
    reason: str


class SaidPhase(BaseModel):
    """A phase as an agent is asked to write it."""

    number: int
    name: str
    weeks: str
    tasks: list[str]


class Said(BaseModel):
    """All that an agent may say. What else a plan holds, such as its marks, is not the agent's to set."""

    opportunities: list[SaidOpportunity]
    phases: list[SaidPhase]


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
        UnreadableError: there is no JSON in it, it holds no list of opportunities, or none of them can be read.
    """
    document = _document(_json_in(text))
    raw_opportunities, raw_phases = _list(document.get("opportunities")), _list(document.get("phases"))
    opportunities = [found for entry in raw_opportunities if (found := _opportunity(entry, channel)) is not None]
    if raw_opportunities and not opportunities:
        raise UnreadableError("none of its opportunities is an object with a title")
    phases = [phase for place, entry in enumerate(raw_phases, 1) if (phase := _phase(entry, place)) is not None]
    dropped = len(raw_opportunities) - len(opportunities) + len(raw_phases) - len(phases)
    return Answer(opportunities=opportunities, phases=phases, dropped=dropped)


def merged(answers: Sequence[Answer]) -> Answer:
    """What was said of the parts of one document, as one answer. The same thing found twice is one opportunity."""
    found: dict[str, Opportunity] = {}
    for one in (one for answer in answers for one in answer.opportunities):
        found.setdefault(one.title.casefold(), one)
    return Answer(
        opportunities=list(found.values()),
        phases=merged_phases(answer.phases for answer in answers),
        dropped=sum(answer.dropped for answer in answers),
    )


def _document(found: Any) -> Mapping[str, Any]:
    """The object that was asked for. A list is that of the opportunities, or has the object in it."""
    if isinstance(found, list):
        objects = [cast("Mapping[str, Any]", entry) for entry in _list(found) if isinstance(entry, dict)]
        found = next((entry for entry in objects if "opportunities" in entry), {"opportunities": _list(found)})
    document = cast("Mapping[str, Any]", found)
    if not isinstance(document.get("opportunities"), list):
        raise UnreadableError("the answer has no list `opportunities`")
    return document


def _json_in(text: str) -> Any:
    """The JSON in a text: the first that stands there, or the first behind a fence, read as far as it goes."""
    decoder = json.JSONDecoder(strict=False)
    starts = _starts(text)
    if not starts:
        raise UnreadableError("the answer holds no JSON object")
    for start in starts:
        try:
            return decoder.raw_decode(text, start)[0]
        except (ValueError, RecursionError):
            continue
    for start in starts:
        try:
            return _repaired(text, start, decoder)
        except UnreadableError:
            continue
    raise UnreadableError("the answer's JSON is broken from its beginning")


def _starts(text: str) -> list[int]:
    fence = FENCE.search(text)
    found = (START.search(text), START.search(text, fence.end()) if fence else None)
    return sorted({start.start() for start in found if start is not None})


def _repaired(text: str, start: int, decoder: json.JSONDecoder) -> Any:
    """The longest beginning that becomes whole when its brackets are closed: an answer that was cut off."""
    tidy = "".join(_without_trailing_commas(text, start))
    try:
        return decoder.decode(tidy)
    except json.JSONDecodeError as broken:
        good = broken.pos
    except (ValueError, RecursionError) as broken:
        raise UnreadableError("the answer's JSON cannot be read") from broken
    end, closing = _last_whole(tidy, good)
    try:
        return decoder.decode(tidy[:end] + closing)
    except (ValueError, RecursionError) as broken:
        raise UnreadableError("the answer's JSON is broken from its beginning") from broken


def _without_trailing_commas(text: str, start: int) -> Iterator[str]:
    """The pieces of a text up to where its first bracket is closed, but for commas in front of a closing bracket."""
    done, depth, comma = start, 0, -1
    for token in TOKEN.finditer(text, start):
        letter = token[0]
        if comma >= 0 and letter in "}]" and not text[comma + 1 : token.start()].strip():
            yield text[done:comma]
            done = comma + 1
        comma = token.start() if letter == "," else -1
        depth += (letter in "{[") - (letter in "}]")
        if depth > LEVELS_MAX:
            raise UnreadableError(f"the answer is nested in more than {LEVELS_MAX} levels")
        if depth == 0:
            yield text[done : token.end()]
            return
    yield text[done:]


def _last_whole(text: str, good: int) -> tuple[int, str]:
    """Where the last value with brackets ends before the letter that is wrong, and what closes all around it."""
    opened: list[str] = []
    found: tuple[int, str] | None = None
    for token in TOKEN.finditer(text, 0, good):
        letter = token[0]
        if letter in "{[":
            opened.append("}" if letter == "{" else "]")
        elif letter in "}]" and opened:
            opened.pop()
            found = token.end(), "".join(reversed(opened))
    if found is None:
        raise UnreadableError("the answer's JSON is broken from its beginning")
    return found


def _list(value: Any) -> list[Any]:
    return list(cast("Sequence[Any]", value)) if isinstance(value, list) else []


def _opportunity(entry: Any, channel: str) -> Opportunity | None:
    if not isinstance(entry, dict):
        return None
    data = cast("dict[str, Any]", entry)
    title = _text(data.get("title"))
    if not title:
        return None
    return Opportunity(
        channel=channel,
        priority=SPELLINGS.get(_text(data.get("priority")).lower(), "média"),
        title=title,
        what=_text(data.get("what")) or title,
        reason=_text(data.get("reason")),
    )


def _phase(entry: Any, place: int) -> Phase | None:
    """A phase; one without a number has that of its place (req. A3)."""
    if not isinstance(entry, dict):
        return None
    data = cast("dict[str, Any]", entry)
    return Phase(
        number=_number(data.get("number"), place),
        name=_text(data.get("name")) or f"Fase {place}",
        weeks=_text(data.get("weeks")),
        tasks=list(_titles(_list(data.get("tasks")))),
        investment=_text(data.get("investment")),
        expected_impact=_text(data.get("expectedImpact", data.get("expected_impact"))),
    )


def _titles(tasks: Iterable[Any]) -> Iterator[str]:
    for task in tasks:
        title = _text(cast("dict[str, Any]", task).get("title") if isinstance(task, dict) else task)
        if title:
            yield title


def _number(value: Any, place: int) -> int:
    """The number that was said, also as a text; that of the place where it can be none."""
    said = _text(value).removesuffix(".0")
    number = int(said) if said.isascii() and said.isdigit() and len(said) <= len(str(NUMBER_MAX)) else 0
    return number if 0 < number <= NUMBER_MAX else place


def _text(value: Any) -> str:
    """A text or a number as text that can be stored; what is neither is empty."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return ""
    return UNSTORABLE.sub("", str(value)).strip()
