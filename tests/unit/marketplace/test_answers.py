"""What is read of an agent's answer: whatever can be, in time, and nothing that is not the agent's to say (A2, J7)."""

import json
import time
from typing import Any

import pytest

from amends.api.bodies import check_text
from marketplace.agents.answers import Answer, Said, UnreadableError, merged, read_answer
from marketplace.plans import Opportunity, Phase

FOTOS = {"title": "Fotos", "what": "seis", "reason": "“2 fotos”", "priority": "alta"}


def read(answer: object) -> Answer:
    return read_answer(answer if isinstance(answer, str) else json.dumps(answer), "Amazon")


def phases(*entries: object) -> list[Phase]:
    return read({"opportunities": [], "phases": list(entries)}).phases


def test_an_agent_sets_no_marks_of_the_plan() -> None:
    found = read(
        {
            "opportunities": [{**FOTOS, "channel": "Shopee"}],
            "phases": [{"number": 1, "name": "a", "weeks": "1", "tasks": ["b"], "generated": True}],
            "dropped": 17,
        }
    )
    assert [one.channel for one in found.opportunities] == ["Amazon"]
    assert [phase.generated for phase in found.phases] == [False]
    assert found.dropped == 0
    assert not {"generated", "dropped", "channel"} & set(json.dumps(Said.model_json_schema()).replace('"', " ").split())


def test_a_task_without_a_title_is_no_task() -> None:
    (phase,) = phases({"tasks": [{"title": None}, {"title": " b "}, {}, None, "", "c", 7]})
    assert phase.tasks == ["b", "c", "7"]


@pytest.mark.parametrize(
    ("said", "number"),
    [("1", 1), (1, 1), (1.0, 1), ("x", 2), (None, 2), (True, 2), (-1, 2), (10**26, 2), ("²", 2), ("9" * 5000, 2)],
)
def test_a_number_is_read_however_it_is_said_or_is_that_of_the_place(said: Any, number: int) -> None:
    assert [phase.number for phase in phases({"number": 9}, {"number": said, "tasks": ["b"]})] == [9, number]


def test_what_is_null_drops_no_opportunity() -> None:
    (found,) = read(
        {"opportunities": [{"title": "Fotos", "what": None, "reason": None, "priority": None}]}
    ).opportunities
    assert (found.what, found.reason, found.priority) == ("Fotos", "", "média")
    assert read({"opportunities": [FOTOS, {"title": None}, 3]}).dropped == 2


@pytest.mark.parametrize("said", ["Normal", "MEDIUM", "media", "urgent"])
def test_req_g16_priorities_are_read_in_either_language(said: str) -> None:
    assert read({"opportunities": [{**FOTOS, "priority": said}]}).opportunities[0].priority == "média"


def test_whatever_is_read_can_be_stored() -> None:
    text = (
        '{"opportunities": [{"title": "a\\u0000\\ud800b", "what": "\x01c", "reason": "d"}], "phases": [{"number": %s}]}'
    )
    found = read(text % ("9" * 27))
    check_text(found.model_dump(mode="json"), "answer")
    assert found.opportunities[0].title == "ab"
    assert read('{"opportunities": [{"title": "a\ud800b"}]}').opportunities[0].title == "ab"


def test_a_list_is_that_of_the_opportunities_or_has_the_object_in_it() -> None:
    assert [one.title for one in read([FOTOS, {**FOTOS, "title": "b"}]).opportunities] == ["Fotos", "b"]
    assert [one.title for one in read([{"opportunities": [FOTOS]}]).opportunities] == ["Fotos"]


NOTHING: list[Any] = [
    {"phases": []},
    {"opportunities": None},
    {"opportunities": {"title": "a"}},
    {"opportunities": [1, "a", {}]},
    [{"name": "a"}],
    '{"opportunities": [',
    '{"opportunities": ' + "9" * 5000 + "}",
    '{"opportunities": ' + "[" * 200_000,
    '{"opportunities": ' + '{"a":' * 100_000 + "1" + "}" * 100_001,
    "",
    "{}",
    "{your} thoughts",
]


@pytest.mark.parametrize("answer", NOTHING, ids=[repr(answer)[:40] for answer in NOTHING])
def test_what_holds_no_opportunity_that_can_be_read_is_unreadable(answer: object) -> None:
    with pytest.raises(UnreadableError):
        read(answer)


@pytest.mark.parametrize(
    "text",
    [
        '```json\n{"opportunities": [{"title": "a"}]}\n```',
        '```\n[{"title": "a"}]',
        'In {braces}: ```JSON {"opportunities": [{"title": "a"}]}``` and more',
        'As {"x": said: ```json\n{"opportunities": [{"title": "a"}]}\n```',
        '{"opportunities": [{"title": "a", "what": "write ```sku``` in it"}]}',
        '{"opportunities": [{"title": "a", "what": "write ```json {} in it"}, {"title": "cut',
        '{"opportunities": [{"title": "a", "what": ", ]",},],}',
        '{"opportunities": [{"title": "a"}], "phases": [{"number": 1, "tasks": ["b", "c',
        '{"opportunities": [{"title": "a"}, {"title": "b" "what": 3}, {"title": "c"}]}',
    ],
)
def test_an_answer_is_found_and_read_as_far_as_it_goes(text: str) -> None:
    found = read(text).opportunities
    assert [one.title for one in found] == ["a"]


def test_commas_within_text_stay() -> None:
    assert read('{"opportunities": [{"title": "a", "what": "b, ]",},],}').opportunities[0].what == "b, ]"


def test_a_broken_answer_takes_time_in_proportion_to_its_length() -> None:
    entry = json.dumps({"title": "t", "what": "x, ]}" * 5})
    broken = '{"opportunities": [' + ", ".join([entry] * 20_000) + ', {"title": "cut" "what"' + "}" * 1000
    began = time.monotonic()
    assert len(read(broken).opportunities) == 20_000
    assert time.monotonic() - began < 5


def test_answers_about_parts_are_one_answer() -> None:
    def one(title: str) -> Opportunity:
        return Opportunity(channel="A", priority="alta", title=title, what="w", reason=title)

    def phase(number: int, *tasks: str) -> Phase:
        return Phase(number=number, name=f"n{number}", weeks="w", tasks=list(tasks))

    found = merged(
        [
            Answer(opportunities=[one("a"), one("b")], phases=[phase(2, "x")], dropped=1),
            Answer(opportunities=[one("B"), one("c")], phases=[phase(1, "y"), phase(2, "x", "z")], dropped=2),
        ]
    )
    assert [entry.title for entry in found.opportunities] == ["a", "b", "c"]
    assert [(entry.number, entry.tasks) for entry in found.phases] == [(1, ["y"]), (2, ["x", "z"])]
    assert found.dropped == 3
