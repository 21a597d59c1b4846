"""Each hot query goes by its index, on empty, small and large tables, by the plan that its pool keeps (rule_A6)."""

import json
import re
from typing import Any

import asyncpg
import pytest

from eventstore.connecting import PLAN_SECONDS, PLAN_SETTINGS
from eventstore.listing import statement_of
from eventstore.postgres import PostgresStore
from eventstore.queries import query
from eventstore.requests import FIND, KEEP
from sagas.listing import SagaFilter

BIG = ("sagas", "waits", "workflow_events", "payloads", "request_keys")
EVENTS, HEADS, WAITS = "workflow_events_workflow_id_sequence_number_key", "sagas_pkey", "waits_pkey"
BUSINESS_KEYS, REQUESTS = "sagas_definition_key_key", "request_keys_pkey"
LEFT_ALONE = {"sagas_held", "sagas_newer"}
"""What every look for work leaves out: a few sagas, by indexes of their own."""
HOT: dict[str, set[str]] = {
    "append": {HEADS, WAITS},
    "start": {WAITS},
    "heads": {HEADS},
    "by_key": {BUSINESS_KEYS},
    "seen": {EVENTS},
    "values": {EVENTS},
    "history": {EVENTS},
    "events_at": {EVENTS},
    "feed": {"workflow_events_pkey"},
    "claims": {HEADS, WAITS},
    "confirm": {WAITS},
    "postpone": {WAITS},
    "set_due": {WAITS},
    "delivered": {WAITS},
    "mark_unsent": {WAITS},
    "give_back": {WAITS},
    "withdraw": {WAITS},
    "waits": {WAITS},
    "due": {"waits_due", WAITS, *LEFT_ALONE},
    "due_dates": {"waits_dated", WAITS, *LEFT_ALONE},
    "unpublished": {"waits_unconfirmed", *LEFT_ALONE},
    "take_unsent": {"waits_unsent", WAITS, HEADS, *LEFT_ALONE},
    "peek": {"waits_unsent", "waits_unconfirmed", "waits_due", WAITS, *LEFT_ALONE},
    "find_requests": {REQUESTS},
    "keep_answers": {REQUESTS},
}
ELSEWHERE = {"find_requests": FIND, "keep_answers": KEEP}
"""Hot queries that have no file of their own."""
IN_ORDER = {"take_unsent": {"waits_unsent"}, "peek": {"waits_unsent", "waits_unconfirmed"}}
"""What they read from its beginning until they have enough; all other indexes are entered by a key."""
LISTS: list[tuple[SagaFilter, set[str]]] = [
    (SagaFilter(after="01900000-0000-7000-8000-000000000007"), {HEADS}),
    (SagaFilter(definition="d1", status="failed"), {f"all of {HEADS}"}),
    (SagaFilter(definition="d1", key="k1"), {BUSINESS_KEYS}),
    (SagaFilter(definition="d1", held=True), {"all of sagas_held"}),
    (SagaFilter(waiting="operator"), {f"all of {HEADS}", f"all of {WAITS}"}),
    (SagaFilter(may_run=True), {f"all of {HEADS}", "all of waits"}),  # a deploy's question, about all that is open
]


def scans(plan: Any) -> set[str]:
    """The indexes that a plan goes by; `all of …` an index or a big table that it reads from end to end."""
    kind = type(plan).__name__
    parts: list[Any] = list(plan.values() if kind == "dict" else plan if kind == "list" else [])
    found = {name for part in parts for name in scans(part)}
    if kind == "dict" and plan.get("Node Type") == "Seq Scan" and plan["Relation Name"] in BIG:
        found.add(f"all of {plan['Relation Name']}")
    if kind == "dict" and "Index Name" in plan:
        found.add(plan["Index Name"] if "Index Cond" in plan else f"all of {plan['Index Name']}")
    return found


async def seed(connection: Any, finished: int, waiting: int) -> None:
    """So many finished sagas of ten events each, and so many that wait for a signal."""
    await connection.execute(
        "CREATE FUNCTION pg_temp.id(n bigint) RETURNS uuid IMMUTABLE LANGUAGE sql AS "
        "$$SELECT ('01900000-0000-7000-8000-' || lpad(n::text, 12, '0'))::uuid$$"
    )
    await connection.execute(
        "INSERT INTO amends.sagas (saga_id, definition, fingerprint, status, version, key, state) "
        "SELECT pg_temp.id(n), 'd' || n % 10, 'f', CASE WHEN n <= $1 THEN 'completed' ELSE 'active' END, 10, "
        "'k' || n, json_build_object('filler', repeat('x', 200)) FROM generate_series(1, $1::int + $2::int) AS n",
        finished, waiting,
    )  # fmt: skip
    await connection.execute(
        "INSERT INTO amends.workflow_events (workflow_id, sequence_number, event_type, event_data, created_at, "
        "causation_id) SELECT pg_temp.id(n), s, 'StepScheduled', '{}', now(), s "
        "FROM generate_series(1, $1::int) AS n, generate_series(1, 10) AS s",
        finished,
    )
    await connection.execute(
        "INSERT INTO amends.waits (saga_id, opened_by, kind, step, due_at, since) "
        "SELECT pg_temp.id($1::int + n), 3, 'signal', 'approved', 'infinity', now() "
        "FROM generate_series(1, $2::int) AS n",
        finished, waiting,
    )  # fmt: skip
    await connection.execute(
        "INSERT INTO amends.payloads (hash, body) SELECT md5(n::text), '{}' FROM generate_series(1, $1::int) AS n",
        finished,
    )
    await connection.execute(
        "INSERT INTO amends.request_keys (caller, key, body_hash, ids_from, runs_until) "
        "SELECT 'c', 'k' || n, 'h', pg_temp.id(n), now() FROM generate_series(1, $1::int) AS n",
        finished,
    )
    await connection.execute(f"ANALYZE {', '.join(f'amends.{table}' for table in BIG)}")


async def scans_of(connection: Any, text: str) -> set[str]:
    """What the generic plan of a statement reads."""
    arguments = max((int(number) for number in re.findall(r"\$(\d+)", text)), default=0)
    await connection.execute(f"DEALLOCATE ALL; PREPARE asked AS {text}")
    nulls = f"({', '.join(['NULL'] * arguments)})" if arguments else ""
    return scans(json.loads(await connection.fetchval(f"EXPLAIN (FORMAT JSON) EXECUTE asked{nulls}")))


@pytest.mark.parametrize(("finished", "waiting"), [(0, 0), (50, 50), (20_000, 100_000)])
async def test_each_hot_query_goes_by_its_indexes(database_url: str, finished: int, waiting: int) -> None:
    connection = await asyncpg.connect(database_url, statement_cache_size=0, server_settings=PLAN_SETTINGS)
    await seed(connection, finished, waiting)
    found = {name: await scans_of(connection, ELSEWHERE.get(name) or query(name)) for name in HOT}
    await connection.close()
    if finished > 1_000:  # on a few rows the planner sees no difference
        whole = {name: {one for one in scanned if one.startswith("all of ")} for name, scanned in found.items()}
        assert whole == {name: {f"all of {index}" for index in IN_ORDER.get(name, ())} for name in HOT}
    assert {name: {one.removeprefix("all of ") for one in scanned} for name, scanned in found.items()} == HOT


@pytest.mark.parametrize(("finished", "waiting"), [(50, 50), (20_000, 2_000)])
async def test_each_list_of_sagas_goes_by_its_indexes(database_url: str, finished: int, waiting: int) -> None:
    """On empty tables each index costs nothing, and any will do: such a plan is made anew within seconds (rule A6)."""
    connection = await asyncpg.connect(database_url, statement_cache_size=0, server_settings=PLAN_SETTINGS)
    await seed(connection, finished, waiting)
    lists = [(wanted, await scans_of(connection, statement_of(wanted)[0])) for wanted, _ in LISTS]
    await connection.close()
    assert lists == LISTS


async def blocks_of(connection: Any, name: str, *arguments: str) -> int:
    """How many blocks a query reads."""
    await connection.execute(f"DEALLOCATE ALL; PREPARE asked AS {query(name)}")
    explained = await connection.fetchval(
        f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) EXECUTE asked({', '.join(arguments)})"
    )
    (found,) = json.loads(explained)
    return int(found["Plan"]["Shared Hit Blocks"]) + int(found["Plan"]["Shared Read Blocks"])


async def test_rule_c9_a_backlog_of_marked_commands_costs_a_look_nothing(database_url: str) -> None:
    """Each is past the date that it has only once it is sent, and nobody looks through them for what is due."""
    connection = await asyncpg.connect(database_url, statement_cache_size=0, server_settings=PLAN_SETTINGS)
    await seed(connection, 0, 20_000)
    await connection.execute(
        "UPDATE amends.waits SET kind = 'step', queue = 'q', priority = 'normal', unsent = true, "
        "since = now() - interval '1 hour', due_at = now() - interval '1 hour'"
    )
    await connection.execute("VACUUM ANALYZE amends.waits")
    assert await blocks_of(connection, "peek", "2") < 50
    assert await blocks_of(connection, "due", "500", "2") < 50
    assert await blocks_of(connection, "due_dates", "500", "2") < 50
    assert await blocks_of(connection, "unpublished", "5", "500", "2") < 50
    taken = await blocks_of(connection, "take_unsent", "10", "'{}'", "'{}'", "2", "'{}'")
    await connection.close()
    assert taken < 400


async def test_a_look_reads_what_it_may_take_and_no_more(database_url: str) -> None:
    """However much is due, or was never confirmed: a burst, or a memory that was lost."""
    connection = await asyncpg.connect(database_url, statement_cache_size=0, server_settings=PLAN_SETTINGS)
    await seed(connection, 0, 20_000)
    await connection.execute(
        "UPDATE amends.waits SET kind = 'step', queue = 'q', priority = 'normal', since = now() - interval '1 hour', "
        "due_at = now() - interval '1 hour'"
    )
    await connection.execute("VACUUM ANALYZE amends.waits")
    found = [
        await blocks_of(connection, "peek", "2"),
        await blocks_of(connection, "due", "10", "2"),
        await blocks_of(connection, "due_dates", "10", "2"),
        await blocks_of(connection, "unpublished", "5", "10", "2"),
    ]
    await connection.close()
    assert max(found) < 100


async def test_rule_a6_a_plan_made_anew_knows_tables_that_have_grown_since(
    database_url: str,
) -> None:
    """They grow long before autovacuum comes again: a first load, or a burst after a quiet time."""
    store = await PostgresStore.open(database_url)
    for pool in (store.pool, store.asking, store.appending):
        async with pool.acquire() as one:
            kept: Any = one
            assert kept._config.max_cached_statement_lifetime == PLAN_SECONDS
    await store.close()
    connection = await asyncpg.connect(database_url, statement_cache_size=0, server_settings=PLAN_SETTINGS)
    for table in BIG:
        await connection.execute(f"ALTER TABLE amends.{table} SET (autovacuum_enabled = false)")
    await seed(connection, 50, 50)
    await connection.execute(f"PREPARE asked AS {query('mark_unsent')}; EXECUTE asked('{{}}', '{{}}')")
    await connection.execute(
        "INSERT INTO amends.sagas (saga_id, definition, fingerprint, status, version, key, state) "
        "SELECT pg_temp.id(n), 'd', 'f', 'active', 10, 'k' || n, '{}' FROM generate_series(101, 20000) AS n"
    )
    await connection.execute(
        "INSERT INTO amends.waits (saga_id, opened_by, kind, step, due_at, since) "
        "SELECT pg_temp.id(n), 3, 'signal', 'approved', 'infinity', now() FROM generate_series(101, 20000) AS n"
    )
    await connection.execute(f"DEALLOCATE asked; PREPARE asked AS {query('mark_unsent')}")
    explained = await connection.fetchval(
        "EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) EXECUTE asked(ARRAY[pg_temp.id(19999)], ARRAY[3])"
    )
    await connection.close()
    (found,) = json.loads(explained)
    assert found["Plan"]["Shared Hit Blocks"] + found["Plan"]["Shared Read Blocks"] < 50


async def test_rule_a6_large_values_go_in_by_their_hashes(database_url: str) -> None:
    """Two who bring some of the same values at once must not wait for one another, however a plan joins."""
    connection = await asyncpg.connect(database_url, statement_cache_size=0, server_settings=PLAN_SETTINGS)
    await connection.execute(query("put_payloads"), ["c", "a", "b"], [b"1", b"2", b"3"])
    found = [row["hash"] for row in await connection.fetch("SELECT hash FROM amends.payloads ORDER BY ctid")]
    await connection.close()
    assert found == ["a", "b", "c"]
