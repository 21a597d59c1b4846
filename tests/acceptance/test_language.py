"""The whole language on `amends up`, with a saga from a file outside this repository (def_R7, rules B5 to B7, O3)."""

import importlib
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from amends import Client, ClientError, MovedError
from sagas.nodes import Signal
from tests.acceptance.moving import MODULE
from tests.acceptance.running import until
from tests.acceptance.stage import Stage

pytestmark = pytest.mark.asyncio(loop_scope="package")


async def test_a_signal_a_pause_and_a_child_lead_to_the_end(stage: Stage) -> None:
    saga_id = await stage.start("ada")
    found = await stage.waiting(saga_id, "signal")
    assert found["waits"][0]["what"] == "somebody to send agreed"
    assert (await stage.made.saga(saga_id))["currentStep"] == 1
    status, _ = await stage.made.call("POST", f"/api/sagas/{saga_id}/signals/agreed", json={"value": {"by": "Bo"}})
    assert status == 200
    found = await stage.ended(saga_id)
    assert (found["status"], found["currentStep"]) == ("completed", 7)
    assert stage.notes("ada") == ["pack", "rent", "told 3"]


async def test_what_is_sent_is_checked(stage: Stage) -> None:
    saga_id = await stage.start("bea")
    path = f"/api/sagas/{saga_id}/signals"
    status, problem = await stage.made.call("POST", f"{path}/agreed", json={"value": {"von": "Bo"}})
    assert (status, problem["errors"][0]["field"]) == (422, "value.by")
    assert (await stage.made.call("POST", f"{path}/load", json={"value": 1}))[0] == 404
    stage.saga("cancel", saga_id, "--reason", "no more")
    await stage.ended(saga_id)
    assert (await stage.made.call("POST", f"{path}/agreed", json={"value": {"by": "Bo"}}))[0] == 409


async def test_a_held_saga_begins_nothing_until_it_is_released(stage: Stage) -> None:
    saga_id = await stage.start("cyd")
    await stage.waiting(saga_id, "signal")
    held = stage.saga("hold", saga_id, "--reason", "look first")
    assert held["held"]
    refused = stage.made.amends("saga", "release", saga_id, "--reason", "go", "--expect-version", "1")
    assert refused.returncode == 1
    assert "no longer at 1" in refused.stderr
    stage.saga("signal", saga_id, "agreed", '{"by": "Bo"}')
    assert (await stage.made.saga(saga_id))["status"] == "active"
    stage.saga("release", saga_id, "--reason", "go", "--expect-version", str(held["version"] + 1))
    assert (await stage.ended(saga_id))["status"] == "completed"


async def test_all_that_a_filter_finds_are_held_and_released_each_with_its_event(stage: Stage) -> None:
    started = [await stage.start(name, key=f"north-{name}") for name in ("ugo", "una")]
    other = await stage.start("uma", key="south-uma")
    for saga_id in (*started, other):
        await stage.waiting(saga_id, "signal")
    some = ("--definition", "move", "--key-prefix", "north-", "--reason", "snow")
    assert stage.made.amends("saga", "hold", *some).stdout == "would be held: 2; --yes does it\n"
    assert not (await stage.made.saga(started[0]))["held"]
    assert stage.saga("hold", *some, "--yes") == {
        "matched": 2, "changed": 2, "refused": [], "dryRun": False,
    }  # fmt: skip
    assert [(await stage.made.saga(one))["held"] for one in (*started, other)] == [True, True, False]
    _, page = await stage.made.call("GET", f"/api/sagas/{started[1]}/events")
    assert (page["items"][-1]["type"], page["items"][-1]["actor"]) == ("SagaHeld", "root")
    assert page["items"][-1]["data"]["reason"] == "snow"
    async with Client(stage.made.runtime["url"], key=stage.made.runtime["api_key"]) as client:
        assert (await client.hold_all(reason="snow", key_prefix="north-")).count == 0
        assert (await client.release_all(reason="thaw", key_prefix="north-", dry_run=True)).count == 2
        assert (await client.release_all(reason="thaw", key_prefix="north-")).count == 2
        with pytest.raises(ClientError, match="no filter is named"):
            await client.hold_all(reason="all")
    for saga_id in (*started, other):
        stage.saga("cancel", saga_id, "--reason", "no more")
        await stage.ended(saga_id)


async def test_a_child_that_fails_turns_its_parent_back(stage: Stage) -> None:
    with stage.wrong("no-van"):
        saga_id = await stage.start("dan")
        stage.saga("signal", saga_id, "agreed", '{"by": "Bo"}')
        assert (await stage.ended(saga_id))["status"] == "compensated"
    assert stage.notes("dan") == ["pack", "unpack"]


async def test_a_child_that_has_completed_is_turned_back_with_its_parent(stage: Stage) -> None:
    with stage.wrong("no-settling"):
        saga_id = await stage.start("eve")
        stage.saga("signal", saga_id, "agreed", '{"by": "Bo"}')
        assert (await stage.ended(saga_id))["status"] == "compensated"
    assert stage.notes("eve") == ["pack", "rent", "give back", "unpack"]


async def test_an_undo_of_a_child_that_gives_up_is_tried_again_and_the_family_ends(stage: Stage) -> None:
    with stage.wrong("no-settling"), stage.wrong("no-return"):
        saga_id = await stage.start("fay")
        stage.saga("signal", saga_id, "agreed", '{"by": "Bo"}')

        async def child_at_rest() -> str | None:
            listed = stage.saga("list", "--definition", "carrying", "--status", "failed")["items"]
            return str(listed[0]["sagaId"]) if listed else None

        child = await until(child_at_rest, 30)
        assert [wait["kind"] for wait in (await stage.made.saga(saga_id))["waits"]] == ["child"]
    lines = stage.made.amends("explain", saga_id).stdout.splitlines()
    undo = "operator: the undo of step van gave up: what van did is still there"
    assert f"  waits for child carried → carrying {child} → {undo}" in lines
    assert f"    what ends it: amends explain {child}" in lines
    told = stage.made.amends("explain", child).stdout
    assert f"amends saga resolve {child} van:undo --undone --reason …" in told
    refused = stage.made.amends("saga", "resolve", child, "van", "--skip", "--reason", "no")
    assert (refused.returncode, "waits for no operator" in refused.stderr) == (1, True)
    done = stage.made.amends("saga", "retry", child, "van:undo", "--reason", "they take it now")
    assert done.stdout.startswith("RetryRequested by root at version "), done.stderr
    assert (await stage.ended(saga_id))["status"] == "compensated"
    assert stage.notes("fay") == ["pack", "rent", "give back", "unpack"]


async def test_a_pivot_that_nobody_knows_of_is_asked_about(stage: Stage) -> None:
    with stage.wrong("vague"):
        known = await stage.start("gus")
        stage.saga("signal", known, "agreed", '{"by": "Bo"}')
        assert (await stage.ended(known))["status"] == "completed"
    assert stage.notes("gus")[-1] == "told 7"


async def test_a_step_behind_the_pivot_is_tried_again_or_skipped(stage: Stage) -> None:
    with stage.wrong("no-telling"):
        again, skipped = await stage.start("hal"), await stage.start("ida")
        for saga_id in (again, skipped):
            stage.saga("signal", saga_id, "agreed", '{"by": "Bo"}')
            await stage.waiting(saga_id, "operator")
    stage.saga("retry", again, "told", "--reason", "found it")
    stage.saga("resolve", skipped, "told", "--skip", "--reason", "not needed")
    assert [(await stage.ended(saga_id))["status"] for saga_id in (again, skipped)] == ["completed", "completed"]
    assert stage.notes("hal")[-1] == "told 3"
    assert "told 3" not in stage.notes("ida")


async def test_a_result_is_corrected_before_it_is_used(stage: Stage) -> None:
    saga_id = await stage.start("joe")
    await stage.waiting(saga_id, "signal")
    refused = stage.made.amends("saga", "correct", saga_id, "load", '{"name": "joe"}', "--reason", "typo")
    assert refused.returncode == 1
    assert "boxes" in refused.stderr
    stage.saga("correct", saga_id, "load", '{"name": "joe", "boxes": 9}', "--reason", "typo")
    stage.saga("signal", saga_id, "agreed", '{"by": "Bo"}')
    assert (await stage.ended(saga_id))["status"] == "completed"
    assert stage.notes("joe")[-1] == "told 9"


async def test_what_has_moved_since_it_was_seen_is_left_alone(stage: Stage) -> None:
    saga_id = await stage.start("kim")
    await stage.waiting(saga_id, "signal")
    for verb, body in (("hold", {"reason": "x"}), ("signals/agreed", {"value": {"by": "Bo"}})):
        options: dict[str, Any] = {"json": body, "headers": {"If-Match": '"1"'}}
        status, problem = await stage.made.call("POST", f"/api/sagas/{saga_id}/{verb}", **options)
        assert (status, problem["errors"][0]["field"]) == (412, "If-Match")
    status, problem = await stage.made.call("POST", f"/api/sagas/{saga_id}/hold", json={"reason": "x", "stpe": "y"})
    assert (status, problem["errors"][0]["field"]) == (422, "stpe")
    stage.saga("cancel", saga_id, "--reason", "enough")
    await stage.ended(saga_id)


async def test_nobody_starves_and_what_is_begun_by_nobody_in_time_fails(stage: Stage) -> None:
    """rule_L5, rule_C4: ten of a higher priority go before one that waits, for each slot of the worker at most."""
    with stage.wrong("no-way"):
        saga_id = await stage.start("mob", "rush", heads=list(range(60)))

        async def failed() -> dict[str, Any] | None:
            found = await stage.made.saga(saga_id)
            return found if found["status"] == "compensating" else None

        error = (await until(failed, 30))["error"]
    assert (error["code"], error["happened"]) == ("not_started", False)
    assert error["message"] == "no worker began 'hurried' within 1 s"
    assert (await stage.ended(saga_id))["status"] == "compensated"
    done = stage.notes("mob")
    assert (done.count("push"), done[-1], "hurry" in done) == (60, "untie", False)
    assert done.index("wait") <= 40


async def test_a_handler_that_falls_silent_is_cancelled(stage: Stage) -> None:
    saga_id = await stage.start("ned", "watch")
    found = await stage.ended(saga_id)
    assert (found["status"], stage.notes("ned")) == ("compensated", ["look"])
    assert found["error"]["message"] == "'watched' gave no heartbeat for 1 s"


async def test_items_run_two_at_a_time_and_what_failed_is_left_out_and_the_rest_says_how_it_came_about(
    stage: Stage,
) -> None:
    """def_R16, def_R17, def_R27; and nothing is served before the hour."""
    begins = datetime.now(UTC) + timedelta(seconds=1.5)
    guests = ["ann", "ben", "far", "nobody", "cat"]
    saga_id = await stage.start("pia", "feast", guests=guests, begins=begins.isoformat())
    assert (await stage.ended(saga_id))["status"] == "completed"
    assert stage.notes("pia") == ["serve ann, ben, far by phone since it is too far, nobody at all, cat"]
    history = await stage.history(saga_id)
    under_way: set[int] = set()
    together: list[int] = []
    for entry in history:
        if entry["data"].get("step") != "invited":
            continue
        if entry["type"] == "StepScheduled":
            under_way.add(entry["data"]["item"])
        elif entry["type"] in ("StepSucceeded", "FallbackUsed", "StepSkipped"):
            under_way.discard(entry["data"]["item"])
        together.append(len(under_way))
    assert (max(together), together[-1]) == (2, 0)
    (served,) = (one for one in history if one["type"] == "StepScheduled" and one["data"]["step"] == "served")
    assert datetime.fromisoformat(served["createdAt"]) >= begins - timedelta(milliseconds=2)


async def test_a_saga_that_is_not_done_by_its_deadline_turns_back(stage: Stage) -> None:
    far = (datetime.now(UTC) + timedelta(days=1)).isoformat()
    saga_id = await stage.start("rob", "vigil", guests=[], begins=far)
    assert (await stage.ended(saga_id))["status"] == "compensated"
    assert stage.notes("rob") in (["light", "put out"], []), "on a slow machine it has not begun"
    turned = [entry for entry in await stage.history(saga_id) if entry["type"] == "SagaTurnedBack"]
    assert [entry["data"]["cause"] for entry in turned] == ["deadline"]


async def test_a_saga_that_a_newer_amends_wrote_to_stands_still_and_goes_on_with_it(stage: Stage) -> None:
    saga_id, other = await stage.start("sue"), await stage.start("tom")
    for one in (saga_id, other):
        await stage.waiting(one, "signal")
    signal = f"/api/sagas/{saga_id}/signals/agreed", {"value": {"by": "Bo"}}
    async with stage.newer(saga_id):
        status, problem = await stage.made.call("POST", signal[0], json=signal[1])
        assert (status, "newer_event: needs amends >= 9.9" in problem["errors"][0]["message"]) == (409, True)
        told = stage.made.amends("explain", saga_id).stdout
        assert "newer_event: needs amends >= 9.9" in told
        assert "(StepPaused, version 1)" in told
        assert (await stage.made.saga(saga_id))["status"] == "active"
        stage.saga("signal", other, "agreed", '{"by": "Bo"}')
        assert (await stage.ended(other))["status"] == "completed"
        assert [entry["type"] for entry in await stage.history(saga_id)][-1] == "StepPaused", "nothing is dropped"
    assert (await stage.made.call("POST", signal[0], json=signal[1]))[0] == 200
    assert (await stage.ended(saga_id))["status"] == "completed"


def module_of(stage: Stage, name: str, old: str, new: str) -> Any:
    """A new version of the module, as it would be deployed."""
    assert MODULE.count(old) == 1
    (stage.folder / f"{name}.py").write_text(MODULE.replace(old, new))
    sys.path.insert(0, str(stage.folder))
    try:
        return importlib.import_module(name)
    finally:
        sys.path.remove(str(stage.folder))


async def test_sagas_that_wait_move_to_a_new_version_once_it_is_known_that_they_can(stage: Stage) -> None:
    told = '@move.step("told", retry=Retry(delays=[]))'
    rest = f'rest = move.sleep("rest", 0.1, after=[settle])\n\n\n{told[:-1]}, after=[rest])'
    newer = module_of(stage, "moving_with_a_rest", told, rest)
    module_of(stage, "moving_without_a_word", '"told"', '"cried"')
    saga_id, other = await stage.start("nia"), await stage.start("oda")
    for one in (saga_id, other):
        await stage.waiting(one, "signal")

    def amends(*arguments: str) -> tuple[int, str]:
        command = [sys.executable, "-m", "amends", *arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60, cwd=stage.folder)
        return done.returncode, done.stdout + done.stderr

    code, said = amends("check", "moving_without_a_word", "--against", stage.made.runtime["database_url"])
    assert (code, "the step 'told' is gone, and they still need it (step)" in said) == (1, True), said
    move = (
        "migrate-sagas",
        "move",
        "--to",
        "moving_with_a_rest",
        "--reason",
        "a rest",
        "--data-dir",
        str(stage.folder),
    )
    async with Client(stage.made.runtime["url"], key=stage.made.runtime["api_key"]) as client:
        with pytest.raises(ClientError, match="422"):
            await client.migrate(saga_id, newer.move, reason="nobody has brought it here yet")
        code, said = amends(*move, "--yes", "--data-dir", str(stage.folder))
        assert (code, "2 moved, 0 stay" in said) == (0, True), said
        await client.signal(saga_id, newer.agreed, {"by": "Bo"})
        assert "rest" in [step["step"] for step in (await stage.ended(saga_id))["steps"]]
        _, history = await stage.made.call("GET", f"/api/sagas/{saga_id}/events")
        assert any("because a rest" in entry["sentence"] for entry in history["items"])
        await client.migrate(other, newer.move, reason="it goes by it already")
        await client.cancel(other, reason="enough")
    await stage.ended(other)


async def test_a_service_does_all_of_it_with_the_client(stage: Stage) -> None:
    sys.path.insert(0, str(stage.folder))
    agreed: Signal[Any] = importlib.import_module("moving").agreed
    sys.path.remove(str(stage.folder))
    async with Client(stage.made.runtime["url"], key=stage.made.runtime["api_key"]) as client:
        with stage.wrong("no-telling"):
            saga_id = await stage.start("lea")
            await stage.waiting(saga_id, "signal")
            with pytest.raises(MovedError, match="no longer at 1"):
                await client.hold(saga_id, reason="look", expect_version=1)
            seen = (await stage.made.saga(saga_id))["version"]
            await client.hold(saga_id, reason="look", expect_version=seen)
            await client.correct(saga_id, {"name": "lea", "boxes": 5}, step="load", reason="typo")
            await client.release(saga_id, reason="go")
            await client.signal(saga_id, agreed, {"by": "Bo"})
            await stage.waiting(saga_id, "operator")
            with pytest.raises(ClientError, match="409"):
                await client.resolve(saga_id, "undone", step="told", reason="no")
            await client.retry(saga_id, "told", reason="perhaps")
            await stage.waiting(saga_id, "operator")
        await client.resolve(saga_id, "skip", step="told", reason="not needed")
        assert (await stage.ended(saga_id))["status"] == "completed"
        with pytest.raises(ClientError, match="422"):
            await client.correct(saga_id, None, step="load", reason="no")


async def test_an_archived_family_reads_as_before(stage: Stage) -> None:
    saga_id = await stage.start("old")
    await stage.waiting(saga_id, "signal")
    stage.saga("signal", saga_id, "agreed", '{"by": "Bo"}')
    await stage.ended(saga_id)
    child = await stage.made.database.fetchval(
        "SELECT event_data ->> 'child_id' FROM amends.workflow_events "
        "WHERE workflow_id = $1 AND event_type = 'ChildStarted'",
        saga_id,
    )
    aged = "UPDATE amends.sagas SET updated_at = now() - interval '2 days' WHERE saga_id = ANY($1::uuid[])"
    await stage.made.database.execute(aged, [saga_id, child])
    paths = [f"/api/sagas/{one}{part}" for one in (saga_id, child) for part in ("", "/events")]
    before = [await stage.made.call("GET", path) for path in paths]
    shown = stage.made.amends("saga", "show", saga_id).stdout
    done = stage.made.amends("archive", "--older-than", "1d")
    assert "2 sagas older than 1 day are in 1 files" in done.stdout, done.stderr
    assert [await stage.made.call("GET", path) for path in paths] == before
    assert stage.made.amends("saga", "show", saga_id).stdout == shown
    status, _ = await stage.made.call("POST", f"/api/sagas/{saga_id}/signals/agreed", json={"value": {"by": "Bo"}})
    assert status == 404
