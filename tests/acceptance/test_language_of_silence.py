"""What `amends up` makes of silence, and of people who race with it: a saga from a file outside this repository."""

from random import Random
from typing import Any

import pytest
from pydantic import BaseModel

from amends import Saga
from amends.clock import LoopClock
from eventstore.postgres import PostgresStore
from orchestrator.engine import Engine
from sagas.inputs import Start
from tests.acceptance.running import until
from tests.acceptance.stage import Stage

pytestmark = pytest.mark.asyncio(loop_scope="package")
STRANGER = "01900000-0000-7000-8000-00000000abcd"


def causes(history: list[dict[str, Any]], kind: str) -> list[str]:
    return [entry["data"]["cause"] for entry in history if entry["type"] == kind]


async def test_a_handler_that_takes_longer_than_it_may_is_undone_as_nobody_knows_what_it_did(stage: Stage) -> None:
    """rule_O1: start to close."""
    with stage.wrong("dead-line"):
        saga_id = await stage.start("yara", "camp", heads=[1])
        assert (await stage.ended(saga_id))["status"] == "compensated"
    assert stage.notes("yara") == ["pitch", "call", "hang up", "strike"]
    assert causes(await stage.history(saga_id), "StepOutcomeUnknown") == ["timed_out"]


async def test_a_wait_that_nobody_answers_turns_the_saga_back(stage: Stage) -> None:
    """def_R7."""
    saga_id = await stage.start("yves", "camp", heads=[1])
    assert (await stage.ended(saga_id))["status"] == "compensated"
    assert stage.notes("yves") == ["pitch", "call", "hang up", "strike"]
    assert causes(await stage.history(saga_id), "SagaTurnedBack") == ["timeout"]


async def test_one_item_that_fails_has_the_others_undone(stage: Stage) -> None:
    """def_R16: what `item_failure` says when nothing is said."""
    saga_id = await stage.start("yoko", "camp", heads=[1, 13, 2])
    await stage.made.call("POST", f"/api/sagas/{saga_id}/signals/answer", json={"value": {"by": "Bo"}})
    assert (await stage.ended(saga_id))["status"] == "compensated"
    done = stage.notes("yoko")
    assert done.count("count") == done.count("forget") <= 2
    assert done[-2:] == ["hang up", "strike"]


async def test_a_step_that_no_worker_can_run_waits_unburnt_and_explain_says_since_when(stage: Stage) -> None:
    """rule_L6: another program started it, and its workers are not there."""

    class Nothing(BaseModel):
        pass

    stranger = Saga("stranger", input=Nothing)

    @stranger.step("odd")
    async def odd(nothing: Nothing) -> None: ...

    manifest = stranger.seal().manifest
    store = await PostgresStore.open(stage.made.runtime["database_url"])
    try:
        await store.put_manifest(manifest)
        await Engine(store, LoopClock()).apply([Start(STRANGER, manifest, {})])
    finally:
        await store.close()

    async def told() -> str | None:
        text = stage.made.amends("explain", STRANGER).stdout
        return text if "waits for a worker that can run odd: no capable worker since 20" in text else None

    await until(told, 30)
    found = await stage.made.saga(STRANGER)
    assert (found["status"], {wait["kind"] for wait in found["waits"]} <= {"step", "retry"}) == ("active", True)
    assert "StepFailed" not in {entry["type"] for entry in await stage.history(STRANGER)}
    stage.saga("cancel", STRANGER, "--reason", "nobody comes")
    assert (await stage.ended(STRANGER))["status"] == "compensated"


async def test_people_who_race_with_outcomes_leave_no_saga_stuck_and_nothing_both_undone_and_counted(
    stage: Stage,
) -> None:
    """All over HTTP, while the services work; whoever is refused has changed nothing."""
    rng = Random(7)
    names = [f"r{number:02d}x" for number in range(16)]
    ids = [await stage.start(name, "camp", heads=rng.choice([[1, 2], [1, 13], []])) for name in names]
    reason = {"reason": "so it is"}
    codes: dict[str, int] = {}
    for _ in range(120):
        saga_id = rng.choice(ids)
        path, body = rng.choice([
            ("cancel", reason), ("hold", reason), ("release", reason), ("release", reason),
            ("retry", {**reason, "step": "called"}), ("resolve", {**reason, "step": "counted/0", "outcome": "skip"}),
            ("correct", {**reason, "value": {"name": names[ids.index(saga_id)], "heads": [3]}}),
            ("signals/answer", {"value": {"by": "Bo"}}), ("signals/answer", {"value": {"by": "Al"}}),
        ])  # fmt: skip
        status, _ = await stage.made.call("POST", f"/api/sagas/{saga_id}/{path}", json=body)
        codes[f"{path} {status}"] = codes.get(f"{path} {status}", 0) + 1
    assert {code.split()[1] for code in codes} <= {"200", "202", "409", "422"}, codes
    assert len(codes) > 8, codes
    for saga_id in ids:
        await stage.made.call("POST", f"/api/sagas/{saga_id}/release", json=reason)
    for saga_id, name in zip(ids, names, strict=True):
        status, done = (await stage.ended(saga_id))["status"], stage.notes(name)
        for do, undo in (("pitch", "strike"), ("call", "hang up"), ("count", "forget")):
            assert done.count(undo) == (done.count(do) if status == "compensated" else 0), (name, status, done)
        assert done.count("light") == (1 if status == "completed" else 0)
