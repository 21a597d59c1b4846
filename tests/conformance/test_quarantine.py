"""One bad input must not stop the engine: it is set apart, and the others go on (rule_A9)."""

from dataclasses import replace

import pytest

from amends.clock import LoopClock
from orchestrator.engine import Engine
from sagas import events as e
from sagas.inputs import Cancel, Outcome, Start
from sagas.ports import Store
from sagas.state import State
from tests.conformance.test_store import MANIFEST, saga_id, succeeded

NUL = {"text": "a\x00b"}
HALF = {"text": "a\ud800b"}


@pytest.fixture
def engine(store: Store) -> Engine:
    return Engine(store, LoopClock())


async def begun(engine: Engine, count: int) -> dict[str, State]:
    ids = [saga_id(number) for number in range(1, count + 1)]
    await engine.apply([Start(one, MANIFEST, None) for one in ids])
    return await engine.store.heads(ids)


@pytest.mark.parametrize("bad", [NUL, HALF], ids=["NUL", "half a surrogate pair"])
async def test_one_bad_outcome_among_500_good_ones_is_quarantined(engine: Engine, bad: object) -> None:
    heads = await begun(engine, 501)
    words = [succeeded(state) for state in heads.values()]
    words[250] = replace(words[250], result=bad)

    answers = await engine.apply(words)

    assert {answer.code for answer in answers} == {"accepted"}
    after = await engine.store.heads(list(heads))
    good = [state for one, state in after.items() if one != words[250].saga_id]
    assert {state.step("first").status for state in good} == {"succeeded"}
    step = after[words[250].saga_id].step("first")
    assert step.status == "unknown", "it has run, so it is undone"
    assert step.error is not None
    assert step.error["code"] == "unstorable"
    (again,) = await engine.apply([words[250]])
    assert again.code in ("nothing", "accepted")


async def test_a_failure_whose_text_cannot_be_stored_is_still_a_failure(engine: Engine) -> None:
    (state,) = (await begun(engine, 1)).values()
    error = {"type": "E", "code": "c", "message": "a\x00b", "attempt": 1, "retryable": False, "happened": False}
    await engine.apply([replace(succeeded(state), kind="failed", error=error)])
    (failed, *_) = [entry.event for entry in await engine.store.history(state.saga_id, 2)]
    assert isinstance(failed, e.StepFailed)
    assert failed.error["code"] == "unstorable"


async def test_of_two_inputs_of_one_saga_only_the_bad_one_is_set_apart(engine: Engine) -> None:
    (state,) = (await begun(engine, 1)).values()
    good: Outcome = succeeded(state)
    refused, accepted = await engine.apply([Cancel(state.saga_id, "a\x00b", "c1"), good])
    assert (refused.code, accepted.code) == ("refused", "accepted")
    assert (await engine.store.heads([state.saga_id]))[state.saga_id].step("first").status == "succeeded"


async def test_a_start_that_cannot_be_stored_is_refused_and_the_others_begin(engine: Engine) -> None:
    words = [Start(saga_id(number), MANIFEST, NUL if number == 2 else None) for number in (1, 2, 3)]
    answers = await engine.apply(words)
    assert [answer.code for answer in answers] == ["created", "refused", "created"]
    assert (await engine.store.heads([saga_id(2)])) == {}
