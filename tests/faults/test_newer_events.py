"""Sagas that a newer program wrote to: they stand still, nothing that comes for them is lost, and others go on."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from orchestrator.service import Orchestrator
from sagas.inputs import Cancel, ChildEnds, Input, Outcome, Start
from sagas.state import State
from sagas.versions import FORMAT
from tests.faults.test_engine_on_virtual_time import MANIFEST, TWIN, Stage, play
from tests.unit.test_decisions import SAGA


def another(stage: Stage) -> Stage:
    """The stage with another orchestrator."""
    stage.orchestrator = Orchestrator(stage.store, stage.sender, stage.clock, stage.engine, stage.publisher)
    return stage


def write_newer(stage: Stage, saga_id: str = SAGA) -> None:
    """What a newer program leaves of a head."""
    heads: dict[str, State] = vars(stage.store)["_heads"]
    document = replace(heads[saga_id], format=1).to_json().decode()
    heads[saga_id] = State.from_json(f'{document[:-1]},"format":{FORMAT + 1},"release":"9.9"}}')
    assert heads[saga_id].newer


def read_it_now(stage: Stage, before: State) -> None:
    """The program is replaced by one that can read it."""
    vars(stage.store)["_heads"][SAGA] = before


async def begin(stage: Stage) -> State:
    await stage.engine.apply([Start(SAGA, MANIFEST, None), Start(TWIN, MANIFEST, None)])
    head = (await stage.store.heads([SAGA]))[SAGA]
    write_newer(stage)
    return head


def word(saga_id: str) -> Outcome:
    return Outcome(saga_id, 2, 1, "a", None, "step", "succeeded")


def test_what_is_asked_of_a_newer_saga_is_answered_so_and_the_others_of_the_batch_go_on() -> None:
    """rule_A9."""

    async def scene(stage: Stage) -> None:
        await begin(stage)
        asked: list[Input] = [
            word(SAGA),
            word(TWIN),
            Cancel(SAGA, "stop", "c1"),
            ChildEnds(SAGA, "m", "c", "a", 1, "completed"),
        ]
        answers = await stage.engine.apply(asked)
        assert [answer.code for answer in answers] == ["newer", "accepted", "newer", "newer"]
        assert answers[0].detail is not None
        assert answers[0].detail.startswith("newer_event: needs amends >= 9.9")
        assert len(await stage.store.history(SAGA)) == 2

    play(scene)


def test_an_outcome_for_a_newer_saga_comes_again_until_a_newer_program_takes_it() -> None:
    async def scene(stage: Stage) -> None:
        before = await begin(stage)
        await stage.sender.send([word(SAGA), word(TWIN)])
        await stage.run(60)
        heads = await stage.store.heads([SAGA, TWIN])
        assert (heads[SAGA].newer, heads[TWIN].steps["a", None].status) == (True, "succeeded")
        unread = await stage.sender.unread()
        assert unread is not None
        assert unread.seconds < 15, "what is lost of others can still be judged (rule A11)"
        assert stage.store.looks < 200, "nothing spins"
        read_it_now(stage, before)
        await another(stage).run(15)
        assert (await stage.store.heads([SAGA]))[SAGA].steps["a", None].status == "succeeded"
        assert await stage.sender.unread() is None

    play(scene)


def test_a_lost_command_of_another_saga_is_judged_all_the_same() -> None:
    async def scene(stage: Stage) -> None:
        await begin(stage)
        await stage.sender.send([word(SAGA)])
        await stage.publisher.confirm(0)
        await stage.broker.flush()
        await stage.sender.send([word(SAGA)])
        await stage.run(60)
        assert await stage.unknowns(TWIN) == ["lost"]
        assert await stage.unknowns(SAGA) == []

    play(scene)


@pytest.mark.parametrize("gaps", [(2.0,), (1.3, 1.3)])
def test_a_lost_command_is_judged_though_some_word_for_a_newer_program_always_stands(gaps: tuple[float, ...]) -> None:
    """rule_L5, inv 1: each is left for a lease and put back, and another is old meanwhile."""

    async def scene(stage: Stage) -> None:
        await begin(stage)
        await stage.publisher.confirm(0)
        await stage.broker.flush()
        running = asyncio.create_task(stage.run(60))
        await stage.sender.send([word(SAGA)])
        for gap in gaps:
            await stage.clock.sleep(gap)
            await stage.sender.send([word(SAGA)])
        await running
        assert await stage.unknowns(TWIN) == ["lost"]
        assert stage.store.looks < 300, "nothing spins"

    play(scene)


def test_a_saga_whose_manifest_only_a_newer_program_can_read_is_left_as_it_is() -> None:
    async def scene(stage: Stage) -> None:
        await stage.engine.apply([Start(SAGA, MANIFEST, None)])
        manifests: dict[str, Any] = vars(stage.store)["_manifests"]
        manifests.clear()
        vars(stage.engine)["_manifests"].clear()
        (answer,) = await stage.engine.apply([word(SAGA)])
        assert answer.code == "newer"
        await stage.sender.send([word(SAGA)])
        await stage.run(30)
        await stage.store.put_manifest(MANIFEST)
        await another(stage).run(15)
        assert (await stage.store.heads([SAGA]))[SAGA].steps["a", None].status == "succeeded"

    play(scene)
