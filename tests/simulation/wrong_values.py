"""Planted bugs in what is recorded, in what handlers are given, and in when waits end."""

# pyright: reportPrivateUsage=false, reportUnknownLambdaType=false, reportUnknownArgumentType=false
# What is planted replaces what nobody else may touch.
import hashlib
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import orchestrator.arguments
import orchestrator.payloads
import sagas.decide
import sagas.evolve
import sagas.failure
from eventstore.memory import MemoryStore
from orchestrator.arguments import Plan
from sagas import events as e
from sagas.delays import next_delay
from sagas.events import Json
from sagas.forward import item_count
from sagas.inputs import Send
from sagas.ports import WaitRow
from sagas.state import State, StepState
from tests.simulation.bugs import Patch, bug


@bug("A10")
def a_corrected_value_is_not_used(patch: Patch) -> None:
    answered = sagas.evolve._answered

    def unless_corrected(state: Any, event: Any, recorded: Any) -> Any:
        return (state, None) if isinstance(event, e.ValueCorrected) else answered(state, event, recorded)

    patch.setattr(sagas.evolve, "_answered", unless_corrected)


@bug("A10")
def an_undo_is_not_given_the_result(patch: Patch) -> None:
    plan_of = orchestrator.arguments.plan_of

    def without(manifest: Any, state: Any, node: Any, item: Any, parameter: Any) -> Any:
        return Plan((None,)) if parameter.source == "result" else plan_of(manifest, state, node, item, parameter)

    patch.setattr(orchestrator.arguments, "plan_of", without)


@bug("A10")
def the_result_of_a_fallback_is_given_as_any_other(patch: Patch) -> None:
    def as_any_other(steps: Sequence[StepState]) -> list[Json]:
        return [{"fallback": False, "reason": None} for _ in steps]

    patch.setattr(orchestrator.arguments, "_given", as_any_other)


@bug("A10", "O1")
def large_values_of_one_length_are_one(patch: Patch) -> None:
    class Hash:
        @staticmethod
        def sha256(document: bytes) -> Any:
            return hashlib.sha256(b"%d" % len(document))

    patch.setattr(orchestrator.payloads, "hashlib", Hash)


@bug("A10")
def the_last_of_what_items_gave_is_not_given(patch: Patch) -> None:
    patch.setattr(orchestrator.arguments, "item_count", lambda *of: max(item_count(*of) - 1, 0))


@bug("O1")
def what_is_sent_is_recorded_without_its_value(patch: Patch) -> None:
    patch.setattr(Send, "kept", property(lambda word: None))


@bug("23")
def a_release_moves_no_wait(patch: Patch) -> None:
    def released(state: State, recorded: Any) -> State:
        return replace(state, held=False, held_at=0.0)

    patch.setattr(sagas.evolve, "_released", released)


@bug("23")
def a_retry_comes_without_its_delay(patch: Patch) -> None:
    def at_once(*of: Any) -> float | None:
        return None if next_delay(*of) is None else 0.0

    patch.setattr(sagas.failure, "next_delay", at_once)


@bug("23")
def refusals_are_not_counted(patch: Patch) -> None:
    patch.setattr(sagas.failure, "refusal_delay", lambda refusals, longest: 1.0)


@bug("23")
def waits_end_before_their_time(patch: Patch) -> None:
    due, end_wait = MemoryStore.due, sagas.decide._end_wait

    async def soon(self: MemoryStore, limit: int, *, commands: bool = True) -> Sequence[WaitRow]:
        now = self._now
        self._now = lambda: now() + 1.0
        try:
            return await due(self, limit, commands=commands)
        finally:
            self._now = now

    def ended(draft: Any, wait: Any, word: Any) -> None:
        now = draft.now
        draft.now += 1.0
        end_wait(draft, wait, word)
        draft.now = now

    patch.setattr(MemoryStore, "due", soon)
    patch.setattr(sagas.decide, "_end_wait", ended)
