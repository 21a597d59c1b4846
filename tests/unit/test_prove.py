"""The prover: it finds every end of a definition, and names the way where a rule is broken."""

import json
from typing import Any

import pytest

from sagas import compensation, decide, failure, prove
from sagas.draft import Draft
from sagas.manifest import Handler, Manifest, Node
from tests.unit.test_decisions import node
from tests.unit.test_family import child
from tests.unit.test_waiting import sleep, wait


def of(*nodes: Node, paths: Any = (), deadline: float | None = None) -> Manifest:
    return Manifest(name="m", nodes=nodes, input="x", input_schema={}, paths=paths, deadline=deadline)


def test_a_saga_without_trouble_left_out_ends_in_three_ways() -> None:
    proof = prove.prove(of(node("a"), node("b", after=("a",))))
    assert proof.good
    assert {"completed", "compensated"} <= proof.ends.keys()
    assert any("undo_failed a" in ending for ending in proof.ends)
    assert any("late_effect a" in ending for ending in proof.ends)


def test_behind_the_pivot_an_operator_decides_and_the_windows_are_named() -> None:
    proof = prove.prove(of(node("a"), node("n", "no_undo", after=("a",)), node("p", "pivot", after=("n",)),
                           node("r", "retriable", after=("p",))))  # fmt: skip
    assert proof.good
    assert any("step_failed r" in ending for ending in proof.ends)
    assert any("pivot_unknown p" in ending for ending in proof.ends)
    assert proof.windows == (
        "behind the pivot 'p': r",
        "without an undo, and left as they are when the saga turns back: n",
    )


@pytest.mark.parametrize(
    "manifest",
    [
        of(node("a"), wait(after=("a",)), sleep(after=("ok",)), node("b", after=("pause",)), deadline=100.0),
        of(node("a"), child("c", after=("a",)), node("b", after=("c",))),
        of(node("a", each="input.items"), node("b", after=("a",), when="input.flag"),
           paths=(("input.items", "each"), ("input.flag", "when"))),
        of(node("a", probe=Handler("ask")), node("t", transactional=True, after=("a",)), node("b", after=("t",))),
        of(node("a", fallback=Handler("other")), node("p", "pivot", after=("a",), probe=Handler("ask"))),
        of(node("a", schedule_timeout=5.0), node("p", "pivot", after=("a",), schedule_timeout=5.0),
           node("b", "retriable", after=("p",), schedule_timeout=5.0)),
    ],
    ids=["waits", "child", "items", "probes", "fallback", "limits"],
)  # fmt: skip
def test_every_way_ends_whatever_the_saga_uses(manifest: Manifest) -> None:
    proof = prove.prove(manifest)
    assert proof.good, proof.holes
    assert {"completed", "compensated"} <= proof.ends.keys()


def test_an_effect_that_is_never_undone_is_named_with_its_way(monkeypatch: pytest.MonkeyPatch) -> None:
    def forgets(node: Node, step: Any) -> bool:
        return node.name != "a" and node.undo is not None and step.status in ("succeeded", "unknown")

    monkeypatch.setattr(compensation, "needs_undo", forgets)
    proof = prove.prove(of(node("a"), node("b", after=("a",))))
    assert not proof.good
    assert any(hole.what == "compensated, and a is still done" and hole.way for hole in proof.holes)


def test_a_way_that_never_ends_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def goes_nowhere(draft: Draft, *rest: Any) -> None:
        """A failure that nothing follows."""

    monkeypatch.setattr(failure, "after_failure", goes_nowhere)
    monkeypatch.setattr(decide, "after_failure", goes_nowhere)
    proof = prove.prove(of(node("a"), node("b", after=("a",))))
    (hole,) = [hole for hole in proof.holes if hole.what == "it never ends"]
    assert hole.way[-1] in ("a fails for good", "nobody knows whether a happened")


def test_what_is_too_large_is_not_called_proved() -> None:
    proof = prove.prove(of(*(node(f"s{number}") for number in range(6))), limit=50)
    assert (proof.complete, proof.good) == (False, False)


def test_steps_that_run_at_once_are_proved_in_all_their_orders_forward_and_in_one_backward() -> None:
    first, second = ("a", "b", "c"), ("d", "e")
    proof = prove.prove(of(*map(node, first), *(node(name, after=first) for name in second)))
    assert proof.good, (proof.states, proof.holes[:1])
    assert proof.states < 10_000


def test_the_command_says_it_to_people_and_to_machines(capsys: pytest.CaptureFixture[str]) -> None:
    import typer

    from amends.cli.proving import prove as command

    for as_json in (False, True):
        with pytest.raises(typer.Exit) as ended:
            command(["marketplace"], as_json=as_json)
        assert ended.value.exit_code == 0
        said = capsys.readouterr().out
        if as_json:
            assert all(entry["good"] for entry in json.loads(said))
        else:
            assert "approval: every way ends" in said
            assert "nothing is undone behind the pivot 'published': notified" in said
