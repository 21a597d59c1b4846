"""Rows, their spread, and the tables made of them."""

import json
import math
from dataclasses import replace
from typing import Any

import pytest

from bench.measure import OF_POSTGRES, OF_VALKEY, used_only
from bench.rows import Row, Spread, percentile, quiet, spread
from bench.systems import SYSTEMS
from bench.table import BEGIN, END, conditions, kept, put_into, tables


def row(system: str = "amends", number: int = 1, **changes: Any) -> Row:
    made = Row(
        system=system, workload="forward", window=200, payload=180, orchestrators=1, workers=1, round=number,
        seconds=10.0, sagas=1000, wrong=0, sagas_per_second=100.0, steps_per_second=400.0, events_per_second=1000.0,
        p50_ms=5.0, p95_ms=7.0, p99_ms=9.0, accepted_p50_ms=None, accepted_p95_ms=None, accepted_p99_ms=None,
        cpu_ms_per_saga=0.8, cpu_ms_by_role={"worker-1": 0.5, "client": 0.3}, foreign_cpu=0.02, noisy=False,
        yardstick_ms=10.0, fsync_ms=0.5, commits=0.1, statements=None, rows_written=23.0, wal_syncs=0.1,
        wal_bytes=9000.0, stored_bytes=8000.0, redis_commands=17.0, redis_bytes=100.0,
    )  # fmt: skip
    return replace(made, **changes)


@pytest.mark.parametrize(("share", "value"), [(0.0, 1.0), (0.5, 2.0), (0.75, 3.0), (0.76, 4.0), (1.0, 4.0)])
def test_a_percentile_is_a_value_that_was_measured(share: float, value: float) -> None:
    assert percentile([4.0, 1.0, 3.0, 2.0], share) == value


def test_nothing_has_no_percentile() -> None:
    assert math.isnan(percentile([], 0.5))


def test_a_spread_is_the_median_with_both_ends() -> None:
    assert spread([3.0, 1.0, 8.0]) == Spread(3.0, 1.0, 8.0)


def test_noisy_rounds_count_only_where_all_are_noisy() -> None:
    calm, loud = row(), row(number=2, noisy=True)
    assert quiet([calm, loud]) == [calm]
    assert quiet([loud]) == [loud]


def test_a_row_is_json_with_the_promised_names_and_no_nan() -> None:
    told = json.loads(json.dumps(row(p99_ms=math.nan).document()))
    promised = {"system", "workload", "window", "round", "sagas_per_second", "p50_ms", "p99_ms", "cpu_ms_per_saga"}
    assert promised | {"foreign_cpu"} <= told.keys()
    assert told["p99_ms"] is None


def test_a_table_tells_medians_of_quiet_rounds_their_ends_and_the_ratio() -> None:
    rows = [row(), row(number=2, sagas_per_second=120.0), row(number=3, sagas_per_second=5.0, noisy=True)]
    text = tables([*rows, row("dbos", sagas_per_second=11.0)])
    assert "110 (100–120)" in text  # noqa: RUF001 - a range is written so
    assert "10.00x" in text
    assert "(1 of 3 noisy)" in text
    assert text.count("### forward, 200 in flight\n") == 1
    assert "### forward, 200 in flight, texts of 1,024 bytes" in tables([*rows, row(payload=1024)])


def test_what_ended_otherwise_and_who_were_several_is_told() -> None:
    text = tables([row(wrong=3), row(number=2, wrong=1), row("dbos"), row(orchestrators=2, workers=3)])
    assert "| amends (4 ENDED OTHERWISE) |" in text
    assert "| dbos |" in text
    assert "### forward, 200 in flight, 2 orchestrators, 3 workers\n" in text


def test_nothing_is_told_of_a_server_that_a_system_does_not_use() -> None:
    counted: dict[str, float | None] = dict.fromkeys((*OF_POSTGRES, *OF_VALKEY), 1.0)
    assert None not in used_only(counted, SYSTEMS["amends"].about).values()
    assert used_only(counted, SYSTEMS["dbos"].about) == counted | dict.fromkeys(OF_VALKEY)
    assert used_only(counted, SYSTEMS["celery"].about) == counted | dict.fromkeys(OF_POSTGRES)
    assert set(used_only(counted, SYSTEMS["restate"].about).values()) == {None}


def test_each_system_says_what_it_keeps_and_what_it_lacks() -> None:
    told = kept(SYSTEMS).splitlines()
    assert len(told) == len(SYSTEMS) + 2
    assert all(len(line.split(" | ")) == 6 for line in told)


def test_conditions_tell_machine_versions_and_rounds() -> None:
    text = conditions({"processor": "one of two"}, {"amends": "0.1.0"}, [row(), row(number=2)], warm=3)
    assert "one of two" in text
    assert "amends 0.1.0" in text
    assert "2 of 10 s each" in text


def test_figures_replace_what_stood_between_the_marks() -> None:
    begin, end = BEGIN.format("payloads"), END.format("payloads")
    document = f"before\n{begin}\nold\n{end}\nafter\n"
    assert put_into(document, "new", "payloads") == f"before\n{begin}\n\nnew\n\n{end}\nafter\n"
    with pytest.raises(ValueError, match="add them where the figures belong"):
        put_into("no marks", "new")
