"""`amends prove` names the hole of each broken saga, and finds none in what is shipped."""

import json
from typing import Any

import pytest
import typer

from amends.cli.proving import prove as command

HOLES = {
    "shipped_for_ever": ("shipped fails, and is tried again", "paid succeeds"),
    "undone_for_ever": ("the undo of reserved fails, and is tried again", "nobody knows whether reserved happened"),
    "tried_without_deadline": ("quote fails, and is tried again", None),
    "doubted_for_ever": ("nobody knows whether charged happened, and it is tried again", "the deadline passes"),
    "pause_outlasts_deadline": ("its pauses take 3 days, and after 2 days its deadline turns it back", None),
    "pauses_of_a_child_outlast_deadline": ("its pauses take 3 days, and after 2 days its deadline turns it back", None),
    "waits_for_a_broken_child": ("its child 'tried_without_deadline', which has a hole of its own", None),
}


def proved(capsys: pytest.CaptureFixture[str], *modules: str, code: int) -> list[dict[str, Any]]:
    with pytest.raises(typer.Exit) as ended:
        command(list(modules), as_json=True)
    assert ended.value.exit_code == code
    found: list[dict[str, Any]] = json.loads(capsys.readouterr().out)
    return found


@pytest.mark.parametrize(("saga", "what", "by"), [(name, *hole) for name, hole in HOLES.items()])
def test_the_hole_of_a_broken_saga_is_named_with_its_way(
    saga: str, what: str, by: str | None, capsys: pytest.CaptureFixture[str]
) -> None:
    proofs = {proof["saga"]: proof for proof in proved(capsys, f"tests.unit.broken_sagas:{saga}", code=1)}
    assert not proofs[saga]["good"]
    holes = [hole for hole in proofs[saga]["holes"] if what in hole["what"]]
    assert holes, proofs[saga]["holes"]
    assert by is None or by in holes[0]["way"]


def test_a_person_reads_the_hole_and_how_it_is_reached(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(typer.Exit) as ended:
        command(["tests.unit.broken_sagas:shipped_for_ever"])
    assert ended.value.exit_code == 1
    said = capsys.readouterr().out
    assert "shipped_for_ever: HOLES" in said
    assert "  HOLE: it can go on for ever, and nobody is told: shipped fails, and is tried again\n" in said
    assert "    1. paid succeeds\n    2. shipped fails, and is tried again\n" in said
    assert "    … and so on\n    remedy: let it give up, by a Retry without forever" in said


def test_a_deadline_ends_what_a_child_tries_for_ever_and_the_report_says_so(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(typer.Exit) as ended:
        command(["tests.unit.broken_sagas:quoted_in_time"])
    assert ended.value.exit_code == 0
    said = capsys.readouterr().out
    assert "tried_without_deadline: every way ends, if the saga that starts it has a deadline (" in said
    assert "  only that deadline ends this: it can go on for ever, and nobody is told: quote fails, and is" in said
    assert "quoted_in_time: every way ends (" in said


def test_what_is_shipped_and_what_the_documents_show_has_no_hole(capsys: pytest.CaptureFixture[str]) -> None:
    shown = [f"docs.examples.{name}" for name in ("checkout", "trip", "onboarding")]
    for modules in (["marketplace"], shown, ["docs.examples.analysis"], ["docs.examples.approval"]):
        for proof in proved(capsys, *modules, code=0):
            assert (proof["good"], proof["holes"]) == (True, [])
            assert {"completed", "compensated"} <= set(proof["ends"])
