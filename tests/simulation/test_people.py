"""People at rest: each looks at what is on a desk a few times, and what then becomes of a saga is looked at too."""

# pyright: reportPrivateUsage=false, reportUnknownLambdaType=false, reportUnknownArgumentType=false
# What is broken here is private.
from dataclasses import replace
from typing import Any

import pytest

import sagas.requests
from amends.testing.simulator import batch
from amends.testing.simulator.hosts import at_once
from amends.testing.simulator.people import ROUNDS, People
from amends.testing.simulator.script import draw
from amends.testing.simulator.system import System, simulate
from sagas import events as e
from sagas.inputs import Answer, Hold, Input
from sagas.state import State, Wait

SAGAS = batch.sagas_of([])
DESK = State("s", definition="random_0", waits={1: Wait(1, "operator", step="s0")})


async def nothing(people: People, word: Input) -> Answer:
    return Answer("accepted", word.saga_id)


def test_who_has_a_desk_only_later_is_looked_at_as_often_as_anybody(monkeypatch: pytest.MonkeyPatch) -> None:
    system = System(draw(7, len(SAGAS)), SAGAS)
    heads = [State("s")] * ROUNDS + [DESK] * (ROUNDS + 1)
    monkeypatch.setattr(system.database.store, "known", lambda: ["s"])
    monkeypatch.setattr(system.database.store, "head", lambda saga_id: heads.pop(0))
    monkeypatch.setattr(People, "_ask", nothing)
    decided = [at_once(system.people.decide()) for _ in list(heads)]
    system.loop.close()
    assert decided == [False] * ROUNDS + [True] * ROUNDS + [False]


def test_what_is_held_after_all_was_released_is_released_again(monkeypatch: pytest.MonkeyPatch) -> None:
    answers: list[str] = []
    release = People.release

    async def then_hold(people: People) -> bool:
        taken = await release(people)
        if not answers:
            for saga_id in people._system.database.store.known():
                answers.append((await people._ask(Hold(saga_id, "it came late", f"late/{saga_id}"))).code)
        return taken

    monkeypatch.setattr(People, "release", then_hold)
    assert not simulate(draw(7, len(SAGAS)), SAGAS).violations
    assert "accepted" in answers


def test_a_saga_that_hangs_after_what_somebody_decided_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def for_ever(draft: Any, node: Any, item: Any, role: Any, cause: str) -> None:
        draft.emit(e.WaitOpened(step=node.name, item=item, kind="retry", cause=cause, role=role))

    monkeypatch.setattr(sagas.requests, "owe", for_ever)
    runs = (simulate(replace(draw(seed, len(SAGAS)), requests=()), SAGAS) for seed in range(60))
    failed = next(run for run in runs if run.failed)
    assert {one.rule for one in failed.violations} == {"1: every saga comes to rest"}
    assert failed.markers["at rest: try again accepted"]
