"""What is read from the machine and from servers."""

import pytest

from bench import cpu
from bench.clients import together
from bench.cpu import Process, Reading, process_of, tree_ticks
from bench.servers import Counted, commands, statements


def test_a_process_may_have_any_name() -> None:
    fields = "S 7 1 1 0 -1 0 0 0 0 0 10 20 30 40 20 0 1"
    assert process_of(f"12 (a) b (c)) {fields}") == Process(parent=7, ticks=100)


def test_a_role_is_a_process_with_all_its_descendants() -> None:
    table = {1: Process(0, 1), 2: Process(1, 2), 3: Process(2, 4), 4: Process(0, 8)}
    assert tree_ticks(table, [1]) == 7
    assert tree_ticks(table, [9]) == 0
    assert tree_ticks(table, [1, 2, 3]) == 7, "what stands below another is not counted twice"
    assert tree_ticks(table, [2, 4]) == 14


def test_what_none_of_our_processes_used_is_others() -> None:
    before, after = Reading({"a": 1.0}, 1.0, 10.0, 100.0), Reading({"a": 3.0, "b": 1.0}, 4.0, 15.0, 102.0)
    assert after.since(before) == ({"a": 2.0, "b": 1.0}, 1.0)
    assert Reading({"a": 9.0}, 9.0, 10.0, 101.0).since(before)[1] == 0.0


def test_what_a_process_below_the_harness_uses_hides_nothing_that_others_use(monkeypatch: pytest.MonkeyPatch) -> None:
    """The harness starts all that it measures: each stands in two trees."""

    def machine(server: int, other: int) -> dict[int, Process]:
        return {1: Process(0, 0), 2: Process(1, 0), 3: Process(2, server), 4: Process(1, other)}

    tables = iter([machine(0, 0), machine(100, 80)])
    monkeypatch.setattr(cpu, "_table", lambda: next(tables).items())
    monkeypatch.setattr(cpu, "TICKS_PER_SECOND", 100)
    monkeypatch.setattr("time.monotonic", iter([0.0, 1.0]).__next__)
    roles = {"server": 3, "harness": 2}
    before = cpu.read(roles)
    used, foreign = cpu.read(roles).since(before)
    assert (used["server"], foreign) == (1.0, 0.8)


def test_commands_are_counted_but_those_of_the_harness() -> None:
    told = "# Commandstats\r\ncmdstat_xadd:calls=8,usec=1\r\ncmdstat_config|set:calls=3\r\ncmdstat_get:calls=1"
    assert commands(told) == 9


def test_statements_of_both_kinds_are_counted() -> None:
    log = "2026 LOG:  execute s1: SELECT 1\n2026 LOG:  statement: BEGIN;\n2026 LOG:  checkpoint starting\n"
    assert statements(log) == 2


def test_counts_are_told_for_each_saga() -> None:
    before, after = (Counted(n, n, n, n, n, n, n, n, None) for n in (10.0, 30.0))
    assert after.per_saga(before, 10) == dict.fromkeys(Counted.__dataclass_fields__, 2.0) | {"statements": None}


def test_several_clients_are_told_as_one() -> None:
    one = {"seconds": 4.0, "latencies": [1.0], "accepted": [], "finished": 3, "wrong": 0}
    other = {"seconds": 6.0, "latencies": [2.0], "accepted": [0.5], "finished": 4, "wrong": 1}
    assert together([one, other]) == {
        "seconds": 5.0, "latencies": [1.0, 2.0], "accepted": [0.5], "finished": 7, "wrong": 1,
    }  # fmt: skip


@pytest.mark.parametrize("text", ["", "# Commandstats\r\n"])
def test_no_command_is_no_command(text: str) -> None:
    assert commands(text) == 0
