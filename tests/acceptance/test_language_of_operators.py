"""What people say to a saga from a file outside this repository, on `amends up` (rules B4 to B6, O3, def_R24)."""

from collections.abc import AsyncGenerator
from typing import Any

import pytest
import pytest_asyncio

from amends import Client, ClientError
from tests.acceptance.running import until
from tests.acceptance.stage import Stage

pytestmark = pytest.mark.asyncio(loop_scope="package")


@pytest_asyncio.fixture(loop_scope="package")
async def client(stage: Stage) -> AsyncGenerator[Client]:
    async with Client(stage.made.runtime["url"], key=stage.made.runtime["api_key"]) as made:
        yield made


async def signal(stage: Stage, saga_id: str, name: str) -> None:
    status, _ = await stage.made.call("POST", f"/api/sagas/{saga_id}/signals/{name}", json={"value": {"by": "Bo"}})
    assert status == 200


async def cancel(stage: Stage, saga_id: str) -> None:
    status, _ = await stage.made.call("POST", f"/api/sagas/{saga_id}/cancel", json={"reason": "enough"})
    assert status == 200


async def test_a_signal_that_comes_before_its_wait_is_kept_for_it(stage: Stage) -> None:
    """rule_B6."""
    with stage.wrong("shut"):
        saga_id = await stage.start("uli", "errand")
        await signal(stage, saga_id, "papers")
    assert (await stage.ended(saga_id))["status"] == "completed"
    types = [(entry["type"], entry["data"].get("step")) for entry in await stage.history(saga_id)]
    assert types.index(("SignalReceived", "papers")) < types.index(("StepSucceeded", "ticket"))
    assert types.count(("SignalReceived", "papers")) == 1
    assert stage.notes("uli") == ["draw", "pay for 3", "file as 1"]


async def test_an_input_is_corrected_and_the_original_is_kept(stage: Stage, client: Client) -> None:
    saga_id = await stage.start("val", "errand", boxes=4)
    await stage.waiting(saga_id, "signal")
    with pytest.raises(ClientError, match=r"422.*field 'boxes'"):
        await client.correct(saga_id, {"name": "val", "boxes": "many"}, reason="typo")
    await client.correct(saga_id, {"name": "val", "boxes": 40}, reason="a nought was missing")
    await signal(stage, saga_id, "papers")
    assert (await stage.ended(saga_id))["status"] == "completed"
    assert stage.notes("val") == ["draw", "pay for 40", "file as 1"]
    history = await stage.history(saga_id)
    (corrected,) = (entry for entry in history if entry["type"] == "ValueCorrected")
    assert (corrected["actor"], corrected["data"]["reason"]) == ("root", "a nought was missing")
    assert history[0]["data"]["input"]["boxes"] == 4


async def test_an_operator_says_whether_a_step_that_nobody_knows_of_happened(stage: Stage, client: Client) -> None:
    """rule_O3: that it did not is taken only once no attempt of it may still run."""
    with stage.wrong("dead-line"):
        did, did_not = await stage.start("wim", "errand"), await stage.start("xen", "errand")
        for saga_id in (did, did_not):
            await signal(stage, saga_id, "papers")
            await stage.waiting(saga_id, "operator")
    with pytest.raises(ClientError, match=r"409.*may still run until"):
        await client.resolve(did_not, "did_not_happen", step="paid", reason="no trace of it")
    with pytest.raises(ClientError, match=r"422.*what 'paid' gives.*field 'number'"):
        await client.resolve(did, "happened", step="paid", result={"nummer": 7}, reason="they said so")
    await client.resolve(did, "happened", step="paid", result={"number": 7}, reason="they said so")
    assert (await stage.ended(did))["status"] == "completed"
    assert stage.notes("wim") == ["draw", "file as 7"]

    async def taken() -> bool:
        body = {"outcome": "did_not_happen", "step": "paid", "reason": "no trace of it"}
        status, _ = await stage.made.call("POST", f"/api/sagas/{did_not}/resolve", json=body)
        return status == 200

    await until(taken, 30)
    assert (await stage.ended(did_not))["status"] == "completed"
    assert stage.notes("xen") == ["draw", "pay for 3", "file as 1"]
    assert [resolved(entry) for entry in await stage.history(did_not) if entry["type"] == "StepResolved"] == [
        ("paid", "did_not_happen", "root", "no trace of it")
    ]


def resolved(entry: dict[str, Any]) -> tuple[Any, ...]:
    """Of which step what was said, by whom, and why."""
    data = entry["data"]
    return data.get("step"), data["outcome"], entry["actor"], data["reason"]


async def test_an_undo_that_gave_up_is_done_by_hand_or_left_and_the_key_is_free(stage: Stage, client: Client) -> None:
    """rule_B4, def_R23."""
    with stage.wrong("no-refund"):
        by_hand, left = [await stage.start(name, "errand", key=f"errand-{name}") for name in ("yan", "zoe")]
        for saga_id in (by_hand, left):
            await stage.waiting(saga_id, "signal")
            await cancel(stage, saga_id)
            assert (await stage.waiting(saga_id, "operator"))["status"] in ("compensating", "failed")
        assert await stage.start("zoe", "errand", key="errand-zoe") == left
    stage.saga("resolve", by_hand, "ticket:undo", "--undone", "--reason", "handed back at the desk")
    assert (await stage.ended(by_hand))["status"] == "compensated"
    await client.resolve(left, "accept", reason="not worth it")
    with pytest.raises(ClientError, match=r"409.*closed"):
        await client.retry(left, "ticket", undo=True, reason="after all")
    assert [
        [resolved(entry) for entry in await stage.history(one) if entry["type"] == "StepResolved"]
        for one in (by_hand, left)
    ] == [[("ticket", "undone", "root", "handed back at the desk")], [(None, "accept", "root", "not worth it")]]
    again = await stage.start("zoe", "errand", key="errand-zoe")
    assert again != left
    await signal(stage, again, "papers")
    assert (await stage.ended(again))["status"] == "completed"
    assert "hand back" not in stage.notes("yan") + stage.notes("zoe")


async def test_a_cancel_turns_a_child_under_way_back_before_its_parent(stage: Stage) -> None:
    """rule_B5, def_R24."""
    with stage.wrong("jam"):
        saga_id = await stage.start("abe")
        await signal(stage, saga_id, "agreed")

        async def under_way() -> str | None:
            for entry in await stage.history(saga_id):
                if entry["type"] == "ChildStarted" and "rent" in stage.notes("abe"):
                    return str(entry["data"]["child_id"])
            return None

        child = await until(under_way, 30)
        await cancel(stage, saga_id)

        async def told() -> bool:
            return bool((await stage.made.saga(child))["status"] == "compensating")

        await until(told, 30)
        assert stage.notes("abe") == ["pack", "rent"]
    assert (await stage.ended(saga_id))["status"] == "compensated"
    assert stage.notes("abe") == ["pack", "rent", "give back", "unpack"]
    assert [(await stage.made.saga(one))["status"] for one in (saga_id, child)] == ["compensated", "compensated"]
    turned = [
        entry["data"]["cause"]
        for one in (saga_id, child)
        for entry in await stage.history(one)
        if entry["type"] == "SagaTurnedBack"
    ]
    assert turned == ["cancel", "parent"]
