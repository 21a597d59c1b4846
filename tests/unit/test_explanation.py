"""`amends explain`: what operators are told to do, and where in a family the wait is."""

import asyncio
from dataclasses import replace
from typing import Any

from amends.explanation import explain
from sagas.inputs import Cancel, Hold, Outcome, Resolve
from sagas.manifest import Node
from tests.shown import explained, view_of
from tests.unit.test_decisions import BOUND_SECONDS, FAILED, SAGA, Play, node
from tests.unit.test_holding import ask
from tests.unit.test_requests import at_rest, behind_the_pivot, unknown_pivot

CHILD = SAGA[:-1] + "8"
GRANDCHILD = SAGA[:-1] + "7"


def said(play: Play) -> dict[str, str]:
    """What follows from each command."""
    desks = asyncio.run(view_of(play.manifest, play.state, play.history, play.now))["waits"]
    prefix, why = f" {SAGA}", " --reason …"
    told = [one for wait in desks for one in wait["remedies"]]
    return {
        one["command"].removeprefix("amends saga ").replace(prefix, "").removesuffix(why): one["says"] for one in told
    }


def test_an_unknown_pivot_is_resolved_and_each_way_says_what_follows() -> None:
    play = unknown_pivot()
    until = "1970-01-01T00:16:54+00:00"
    assert said(play) == {
        "resolve p --happened JSON": "the saga is completed",
        "resolve p --did-not-happen": f"refused now: an attempt of 'p' may still run until {until}",
        "retry p": "tries again, attempt 2",
        "cancel": "is kept until it is known whether the pivot happened",
    }
    play.pass_time(BOUND_SECONDS + 0.1)
    assert said(play)["resolve p --did-not-happen"] == "tries again, attempt 2"
    ask(play, Cancel(SAGA, "stop", "c"))
    assert said(play)["resolve p --did-not-happen"] == "turns back: what was done is undone"


def test_a_pivot_with_more_behind_it_says_that_there_is_no_way_back() -> None:
    play = Play(node("p", "pivot", delays=()), node("r", "retriable", after=("p",)))
    play.tell("p", "unknown", cause="timed_out")
    assert said(play)["resolve p --happened JSON"] == "goes on; there is no way back then"


def test_a_step_behind_the_pivot_is_tried_again_or_skipped_and_a_cancel_is_refused() -> None:
    assert said(behind_the_pivot()) == {
        "retry r": "tries again, attempt 3",
        "resolve r --skip": "goes on without it; the saga is completed",
        "cancel": "refused now: there is no way back: the pivot 'p' has passed",
    }


def test_an_undo_that_gave_up_is_named_with_its_undo() -> None:
    assert said(at_rest()) == {
        "retry a:undo": "undoes it again, attempt 5",
        "resolve a:undo --undone": "takes it for undone; the saga is compensated",
        "resolve --accept": "leaves what is left; the saga is closed, its key is free",
    }


def test_what_is_held_says_so() -> None:
    play = at_rest()
    ask(play, Hold(SAGA, "look", "h"))
    assert said(play)["resolve --accept"] == "refused now: the saga is held: release it first"
    assert "once it is released" in said(play)["retry a:undo"]


def test_every_command_that_is_shown_as_allowed_is_accepted() -> None:
    for play in (unknown_pivot(), behind_the_pivot(), at_rest()):
        word = Resolve(SAGA, "so", "r", outcome="accept")
        shown = said(play).get("resolve --accept", "refused now")
        assert (ask(play, word).code == "refused") == shown.startswith("refused now")


def test_the_lines_are_what_an_operator_copies() -> None:
    play = behind_the_pivot()
    lines = explained(play.manifest, play.state, play.history).splitlines()
    assert lines[0] == f"m {SAGA}, active, 0 s old, at version {play.state.version}"
    assert lines[1].startswith("  waits for an operator since 1970-")
    assert lines[1].endswith(": step r failed, and behind the pivot nothing is undone")
    assert lines[2] == "  what ends it:"
    assert lines[3] == f"    amends saga retry {SAGA} r --reason …            tries again, attempt 3"


def test_of_many_that_wait_the_first_are_told_what_ends_them() -> None:
    each = node("a", each="input.items", delays=())
    play = Play(node("p", "pivot"), replace(each, step_class="retriable", undo=None, after=("p",)),
                value={"items": list(range(30))}, paths=(("input.items", "each"),))  # fmt: skip
    play.tell("p")
    for wait in list(play.state.waits.values()):
        play.give(Outcome(SAGA, wait.opened_by, wait.attempt, "a", wait.item, wait.role, "failed", error=FAILED))
    waits = asyncio.run(view_of(play.manifest, play.state, play.history))["waits"]
    assert [bool(wait["remedies"]) for wait in waits] == [True] * 20 + [False] * 10
    assert waits[3]["remedies"][0]["command"] == f"amends saga retry {SAGA} a/3 --reason …"


def named(view: dict[str, Any], saga_id: str, definition: str, child: str | None = None) -> dict[str, Any]:
    waits = [{**wait, "child": child if wait["kind"] == "child" else None} for wait in view["waits"]]
    return {**view, "sagaId": saga_id, "definition": definition, "waits": waits}


def test_a_parent_shows_where_in_its_family_the_wait_is() -> None:
    def child(name: str) -> Node:
        return Node(name, "child", "child", child="other", child_input="input")

    def view(play: Play) -> dict[str, Any]:
        return asyncio.run(view_of(play.manifest, play.state, play.history))

    parent = named(view(Play(child("laptop"), deadline=90.0)), SAGA, "onboarding", CHILD)
    middle = named(view(Play(child("box"))), CHILD, "provision", GRANDCHILD)
    family = {CHILD: middle, GRANDCHILD: named(view(at_rest()), GRANDCHILD, "packing")}
    lines = explain(parent, 0.0, 0.0, family)
    undo = "operator: the undo of step a gave up: what a did is still there"
    assert lines[1:4] == [
        f"  waits for child laptop → provision {CHILD} → child box",
        f"    waits for child box → packing {GRANDCHILD} → {undo}",
        f"      what ends it: amends explain {GRANDCHILD}",
    ]
    assert lines[4].startswith("  waits for the saga's deadline")
    assert "waits for child laptop, saga" in "\n".join(explain(parent, 0.0, 0.0))


def test_what_ends_the_waits_of_a_held_saga_is_its_release() -> None:
    play = Play(node("a"))
    assert "held since" not in explained(play.manifest, play.state, play.history)
    ask(play, Hold(SAGA, "look first", "h1", "ada"))
    lines = explained(play.manifest, play.state, play.history).splitlines()
    held = "held since 1970-01-01T00:16:40.000Z by ada"
    assert lines[1] == f"  {held}: what ends it: amends saga release {SAGA} --reason …"
