"""What cannot be taken now is kept and comes again, and stands in nobody's way."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from orchestrator.service import Orchestrator
from sagas import events as e
from sagas.inputs import Start
from sagas.manifest import Manifest, Node
from sagas.ports import Committed, HeadBehind, Move, Unstorable
from sagas.state import State
from tests.faults.test_engine_on_virtual_time import MANIFEST, TWIN, Stage, play
from tests.faults.test_newer_events import read_it_now, write_newer
from tests.unit.test_decisions import SAGA

PARENT = Manifest("p", (Node("c", "child", "compensatable", child="m", child_input="input"),), "x", {})


def refusing(stage: Stage, monkeypatch: pytest.MonkeyPatch, error: type[Exception], *saga_ids: str) -> None:
    """Let the store refuse starts: those of children, or of these sagas."""
    start = stage.store.start

    async def refused(moves: Sequence[Move], connection: object | None = None) -> Committed:
        if any(move.state.parent is not None or move.saga_id in saga_ids for move in moves):
            raise error("no")
        return await start(moves, connection)

    monkeypatch.setattr(stage.store, "start", refused)


def test_that_a_child_cannot_be_started_is_told_until_its_parent_can_be_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """rule_B5."""

    async def scene(stage: Stage) -> None:
        await stage.store.put_manifest(PARENT)
        await stage.engine.apply([Start(SAGA, PARENT, 1)])
        before: State = stage.store.head(SAGA)
        words = stage.store.heads

        async def heads(saga_ids: Sequence[str]) -> dict[str, State]:
            """The sender is read before the newer program writes, its answer after."""
            found = await words(saga_ids)
            write_newer(stage)
            return found

        refusing(stage, monkeypatch, Unstorable)
        monkeypatch.setattr(stage.store, "heads", heads)
        await stage.orchestrator.turn()
        monkeypatch.setattr(stage.store, "heads", words)
        assert [row.kind for row in await stage.store.waits(SAGA)] == ["notify", "child"]
        read_it_now(stage, before)
        await stage.run(15)
        ended = [entry.event for entry in await stage.store.history(SAGA) if isinstance(entry.event, e.ChildEnded)]
        assert [event.status for event in ended] == ["refused"]

    play(scene)


def test_a_start_whose_history_is_ahead_of_its_head_is_answered_so_and_the_others_begin(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """rule_A9."""

    async def scene(stage: Stage) -> None:
        refusing(stage, monkeypatch, HeadBehind, SAGA)
        answers = await stage.engine.apply([Start(SAGA, MANIFEST, None), Start(TWIN, MANIFEST, None)])
        assert [answer.code for answer in answers] == ["newer", "created"]

    play(scene)


def test_marked_commands_that_only_another_program_can_send_hold_up_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """rule_C9."""

    async def scene(stage: Stage) -> None:
        unread = replace(MANIFEST, name="unread")
        await stage.store.put_manifest(unread)
        await stage.engine.start_within(Start(SAGA, unread, None), object())
        known = stage.store.manifests

        async def manifests(fingerprints: Sequence[str] | None = None) -> dict[str, Manifest]:
            return {mark: one for mark, one in (await known(fingerprints)).items() if one.name != "unread"}

        monkeypatch.setattr(stage.store, "manifests", manifests)
        vars(stage.engine)["_manifests"].clear()
        stage.orchestrator = Orchestrator(
            stage.store, stage.sender, stage.clock, stage.engine, stage.publisher, batch=1
        )
        await stage.orchestrator.turn()
        (row,) = await stage.store.waits(SAGA)
        assert row.unsent, "another may send it at once"
        await stage.clock.sleep(1)
        await stage.engine.start_within(Start(TWIN, MANIFEST, None), object())
        await stage.run(5)
        assert stage.sent() == [("a", 1)]
        assert (await stage.store.waits(SAGA))[0].since == row.since, "it is left alone"
        monkeypatch.setattr(stage.store, "manifests", known)
        stage.orchestrator = Orchestrator(stage.store, stage.sender, stage.clock, stage.engine, stage.publisher)
        await stage.run(1)
        assert len(stage.sent()) == 2

    play(scene)
