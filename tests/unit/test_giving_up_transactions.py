"""A transaction step is given up with its key, which says what happened; so is its fallback (rule T2)."""

from dataclasses import replace
from typing import Any

import pytest

from amends import Transaction
from amends.testing.answers import Answers
from amends.testing.transactions import MemoryTransactions
from consumers.envelopes import dump, load_word
from consumers.execution import Surroundings, execute, keys_to_close
from orchestrator.commands import Values, commands_for
from sagas.inputs import Resolve, TryAgain
from sagas.manifest import Handler, Role
from tests.conformance.transports import COMMAND
from tests.faults.test_children_on_virtual_time import delivery
from tests.unit.test_decisions import BOUND_SECONDS, FAILED, SAGA, Play, node

VAGUE = {**FAILED, "retryable": True, "happened": None}


def play_of(*, fallback: bool = False) -> Play:
    """A saga at its pivot, a transaction step."""
    pivot = node("p", "pivot", after=("a",), transactional=True, delays=())
    play = Play(node("a"), replace(pivot, fallback=Handler("falls", transactional=True) if fallback else None))
    play.tell("a")
    return play


def test_what_did_not_happen_is_asked_of_its_key_also_when_no_probe_could_ask_it_before() -> None:
    play = play_of()
    play.tell("p", "unknown", cause="error", error=VAGUE)
    while play.find("p", "operator") is None:
        if play.find("p", "probe") is not None:
            play.tell("p", "unknown", cause="error", error=VAGUE)
        play.pass_time(400)
    play.give(Resolve(SAGA, "they say so", "r1", step="p", outcome="did_not_happen"))
    assert (play.state.status, play.command("p").role) == ("active", "probe")
    play.tell("p", happened=True, result=7)
    assert play.state.status == "completed"


async def test_a_fallback_whose_commit_nobody_answered_is_found_by_the_probe() -> None:
    for word in (
        TryAgain(SAGA, "look", "r1", step="p"),
        Resolve(SAGA, "they say so", "r1", step="p", outcome="did_not_happen"),
    ):
        play = play_of(fallback=True)
        play.tell("p", "failed", error=FAILED)
        assert play.command("p").role == "fallback"
        play.tell("p", "unknown", cause="error", error=VAGUE)
        play.now += BOUND_SECONDS
        play.give(word)
        wait = play.command("p")
        (command,) = await commands_for(None, Values(), [(play.manifest, play.state, wait)])  # type: ignore[arg-type]
        assert keys_to_close(command) == (f"{SAGA}/p", f"{SAGA}/p/fallback")
        play.tell("p", happened=True, fallback=True, result=7)
        step = play.state.step("p")
        assert (step.status, step.fallback, step.reason) == ("succeeded", True, "no")
        assert play.state.status == "completed"


@pytest.mark.parametrize(("role", "by_fallback"), [("step", False), ("fallback", True)])
async def test_a_probe_says_which_of_the_two_it_found(role: Role, by_fallback: bool) -> None:
    """def_R17: who asks for a result as Given is told that a fallback gave it."""
    ran = replace(COMMAND, role=role)

    async def call(transaction: object) -> Any:
        return 7

    transactions = MemoryTransactions(Answers(delivery(pivot=True).seal(), {}, {Transaction: object()}))
    await transactions.run(ran, call)
    here = Surroundings(transactions=transactions)
    said = await execute(replace(ran, role="probe", evidence=3), None, here, transactional=True)
    assert (said.kind, said.result, said.happened, said.fallback) == ("succeeded", 7, True, by_fallback)
    assert load_word(dump(said)) == said


async def test_a_fallback_may_commit_though_its_step_was_asked_about_before() -> None:
    play = play_of(fallback=True)
    play.tell("p", "unknown", cause="error", error=VAGUE)
    (command,) = await commands_for(None, Values(), [(play.manifest, play.state, play.command("p"))])  # type: ignore[arg-type]
    assert (command.role, keys_to_close(command)) == ("probe", (f"{SAGA}/p",))
