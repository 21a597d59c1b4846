"""`amends archive`: what ended long ago leaves the database, and nothing is lost, whenever the run is killed."""

import errno
import gzip
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from amends import archiving
from amends.archiving import Archived, ArchiveError, ArchiveMissing, Archiver
from amends.backend import Backend
from bench.seeding import seed
from eventstore import archive_files, retention
from eventstore.feed import FeedEvent
from eventstore.invariants import check
from eventstore.postgres import PostgresStore
from eventstore.projections import Projection, advance, differs
from orchestrator.engine import Engine
from sagas.inputs import Start
from sagas.listing import SagaFilter
from tests.conformance.test_store import MANIFEST, saga_id, succeeded

DAY = 86_400.0
Remove = Callable[..., Any]


class Killed(BaseException):
    """What ends a run in the middle."""


@pytest.fixture
def archive(database_url: str, tmp_path: Path) -> Callable[..., Any]:
    async def run(*projections: Projection, days: float = 31) -> Archived:
        return await Archiver(database_url, tmp_path, days * DAY, projections, lambda line: None).run()

    return run


@pytest.fixture
def backend(store: PostgresStore, engine: Engine, tmp_path: Path) -> Backend:
    nobody: Any = None
    return Backend(store, store.pool, engine, nobody, {}, archive=tmp_path)


async def ids(store: PostgresStore) -> list[str]:
    return [row.state.saga_id for row in await store.sagas(SagaFilter(limit=500))]


async def all_views(backend: Backend, wanted: Sequence[str]) -> dict[str, Any]:
    return {one: (await backend.view(one), await backend.history(one, 0, 1000)) for one in wanted}


async def aged(store: PostgresStore, url: str, saga: str, days: int = 60) -> None:
    owner = await asyncpg.connect(url)
    await owner.execute(f"UPDATE amends.sagas SET updated_at = now() - interval '{days} days' WHERE saga_id = $1", saga)
    await owner.close()


async def test_what_ended_long_ago_leaves_and_reads_as_before(
    database_url: str, store: PostgresStore, backend: Backend, archive: Callable[..., Any]
) -> None:
    await seed(database_url, finished=40, waiting_sagas=5, age_days=60)
    before = await all_views(backend, await ids(store))
    assert all(view is not None and history for view, history in before.values())
    done = await archive()
    stay = await ids(store)
    assert (done.sagas, len(stay), done.stayed) == (20, 25, {})
    assert await all_views(backend, list(before)) == before
    assert (await backend.history(next(iter(before)), 3, 2) or [])[0].sequence == 4
    assert (await check(store.pool)).violations == ()
    assert await backend.view(saga_id(9)) is None
    assert await backend.history(saga_id(9), 0, 10) is None
    assert (await archive()).sagas == 0


async def test_events_go_with_their_archived_saga_alone(
    database_url: str, store: PostgresStore, archive: Callable[..., Any]
) -> None:
    await seed(database_url, finished=2, waiting_sagas=0, age_days=60)
    owner = await asyncpg.connect(database_url)
    with pytest.raises(asyncpg.IntegrityConstraintViolationError, match="events never change: DELETE"):
        await owner.execute("DELETE FROM amends.workflow_events")
    with pytest.raises(asyncpg.IntegrityConstraintViolationError, match="events never change: UPDATE"):
        await owner.execute("UPDATE amends.workflow_events SET actor = 'x'")
    await owner.close()
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await store.pool.execute("INSERT INTO amends.archived_sagas SELECT saga_id, 1 FROM amends.sagas")
    await archive()
    assert await store.pool.fetchval("SELECT count(*) FROM amends.workflow_events") in (10, 13)


async def test_a_run_that_dies_before_it_deletes_has_archived_nothing(
    database_url: str, store: PostgresStore, backend: Backend, archive: Callable[..., Any], tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    async def killed(*_: object) -> None:
        raise Killed

    await seed(database_url, finished=20, waiting_sagas=0, age_days=60)
    before = await all_views(backend, await ids(store))
    with monkeypatch.context() as patched:
        patched.setattr(archiving, "remove", killed)
        with pytest.raises(Killed):
            await archive()
    assert len(list(tmp_path.glob("*/*.gz"))) == 1
    assert len(await ids(store)) == 20
    done = await archive()
    assert [path.name for path in tmp_path.glob("*/*")] == [Path(name).name for name in done.files]
    assert (done.sagas, await all_views(backend, list(before))) == (10, before)


async def test_a_run_that_dies_between_two_commits_archives_the_rest_later_and_nothing_twice(
    database_url: str, store: PostgresStore, backend: Backend, archive: Callable[..., Any], tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    real: Remove = retention.remove
    calls: list[int] = []

    async def killed_at_the_second(*arguments: Any) -> Any:
        calls.append(1)
        if len(calls) == 2:
            raise Killed
        return await real(*arguments)

    await seed(database_url, finished=20, waiting_sagas=0, age_days=60)
    before = await all_views(backend, await ids(store))
    monkeypatch.setattr(archiving, "EVENTS_A_COMMIT", 30)
    with monkeypatch.context() as patched:
        patched.setattr(archiving, "remove", killed_at_the_second)
        with pytest.raises(Killed):
            await archive()
    left = len(await ids(store))
    assert 10 < left < 20
    assert (await archive()).sagas == left - 10
    assert await all_views(backend, list(before)) == before
    assert len(list(tmp_path.glob("*/*.gz"))) == 2
    assert await store.pool.fetchval("SELECT count(*) FROM amends.archived_sagas") == 10
    assert await store.pool.fetchval("SELECT count(*) FROM amends.archives WHERE completed_at IS NULL") == 0


async def test_a_run_that_dies_while_it_writes_leaves_no_file_of_that_name(
    database_url: str, store: PostgresStore, archive: Callable[..., Any], tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    def killed(*_: object) -> bytes:
        raise Killed

    await seed(database_url, finished=4, waiting_sagas=0, age_days=60)
    with monkeypatch.context() as patched:
        patched.setattr(archiving, "line_of", killed)
        with pytest.raises(Killed):
            await archive()
    assert [path.suffix for path in tmp_path.glob("*/*")] == [".part"]
    await archive()
    assert [path.suffix for path in tmp_path.glob("*/*")] == [".gz"]


async def test_a_family_leaves_together(
    database_url: str, store: PostgresStore, backend: Backend, archive: Callable[..., Any]
) -> None:
    await seed(database_url, finished=2, waiting_sagas=0, age_days=400)
    child, parent = await ids(store)
    owner = await asyncpg.connect(database_url)
    await owner.execute(
        "INSERT INTO amends.workflow_events (workflow_id, sequence_number, event_type, event_data, created_at, "
        "causation_id) SELECT saga_id, version + 1, 'ChildStarted', json_build_object('step', 's', "
        "'child_id', $2::text, 'definition', 'd'), now(), 'x' FROM amends.sagas WHERE saga_id = $1",
        parent, child,
    )  # fmt: skip
    await owner.execute("UPDATE amends.sagas SET version = version + 1 WHERE saga_id = $1", parent)
    await owner.execute(
        "UPDATE amends.sagas SET updated_at = now(), state = (state::jsonb || jsonb_build_object('parent', "
        "jsonb_build_object('saga_id', $2::text, 'step', 's', 'attempt', 1)))::json WHERE saga_id = $1",
        child, parent,
    )  # fmt: skip
    await owner.close()
    done = await archive()
    assert (done.sagas, dict(done.stayed)) == (0, {"has a child that has not ended long ago": 2})
    await aged(store, database_url, child)
    done = await archive()
    assert (done.sagas, await ids(store)) == (2, [])
    assert len(await backend.history(child, 0, 100) or []) >= 10


async def remember(connection: Any, events: Sequence[FeedEvent]) -> None:
    await connection.executemany(
        "INSERT INTO public.seen VALUES ($1) ON CONFLICT DO NOTHING", [(e.saga_id,) for e in events]
    )


async def forget(connection: Any, saga_ids: Sequence[str]) -> None:
    await connection.execute("DELETE FROM public.seen WHERE saga_id = ANY($1::text[])", list(saga_ids))


SEEN = Projection("seen", 1, "public.seen", remember, forget)


async def test_a_projection_has_read_what_leaves_and_is_still_the_fold_of_what_stays(
    database_url: str, store: PostgresStore, archive: Callable[..., Any]
) -> None:
    owner = await asyncpg.connect(database_url)
    await owner.execute("CREATE TABLE public.seen (saga_id text PRIMARY KEY)")
    await seed(database_url, finished=20, waiting_sagas=0, age_days=60)
    await advance(store.pool, SEEN, 50)
    done = await archive(SEEN)
    assert done.sagas < 10
    assert dict(done.stayed) == {"seen has not read it: is the notifier running?": 10 - done.sagas}
    while await advance(store.pool, SEEN):
        pass
    assert (await archive(SEEN)).sagas == 10 - done.sagas
    assert await differs(store.pool, SEEN) is None
    assert await owner.fetchval("SELECT count(*) FROM public.seen") == 10
    with pytest.raises(ArchiveError, match=r"projection seen is of no application .*\n.*--sagas"):
        await archive()
    with pytest.raises(ArchiveError, match="projection seen cannot forget"):
        await archive(Projection("seen", 1, "public.seen", remember))
    await owner.close()


async def test_a_projection_that_begins_while_a_run_is_at_work_misses_no_part_of_a_saga(
    database_url: str, store: PostgresStore, archive: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    owner = await asyncpg.connect(database_url)
    await owner.execute("CREATE TABLE public.seen (saga_id text PRIMARY KEY)")
    await seed(database_url, finished=20, waiting_sagas=0, age_days=60)
    real: Remove = retention.remove

    async def begun_before(*arguments: Any) -> Any:
        await advance(store.pool, SEEN, 15)
        return await real(*arguments)

    monkeypatch.setattr(archiving, "remove", begun_before)
    done = await archive()
    while await advance(store.pool, SEEN):
        pass
    assert (done.sagas, len(await ids(store))) == (0, 20)
    assert await differs(store.pool, SEEN) is None
    assert (await archive(SEEN)).sagas == 10
    await owner.close()


async def test_a_large_value_goes_with_the_last_saga_that_names_it(
    database_url: str, store: PostgresStore, engine: Engine, backend: Backend, archive: Callable[..., Any]
) -> None:
    shared, own, young = ({"text": letter * 10_000} for letter in "soy")
    for number, value in ((1, shared), (2, shared), (3, own)):
        await engine.apply([Start(saga_id(number), MANIFEST, value)])
    for number in (1, 3):
        for step in ("first", "second"):
            (head,) = (await store.heads([saga_id(number)])).values()
            await engine.apply([succeeded(head, step=step)])
        await aged(store, database_url, saga_id(number))
    await store.put_payloads({"unnamed": b"1", "young": b"2"})
    owner = await asyncpg.connect(database_url)
    await owner.execute("UPDATE amends.payloads SET created_at = now() - interval '2 days' WHERE hash <> 'young'")
    assert (await archive()).payloads == 2
    view: Any = await backend.view(saga_id(3))
    assert view["input"] == own
    view = await backend.view(saga_id(2))
    assert view["input"] == shared
    assert await owner.fetchval("SELECT count(*) FROM amends.payloads") == 2
    await owner.execute("UPDATE amends.payloads SET created_at = now() - interval '2 days'")
    await store.put_payloads({"young": b"2"})
    assert (await archive()).payloads == 0, "it was put again, and is about to be named"
    await owner.close()
    assert young


async def test_a_saga_that_is_locked_or_moves_stays_and_nobody_waits(
    database_url: str, store: PostgresStore, archive: Callable[..., Any], tmp_path: Path
) -> None:
    await seed(database_url, finished=3, waiting_sagas=0, age_days=400)
    locked = (await ids(store))[1]
    other = await asyncpg.connect(database_url)
    async with other.transaction():
        await other.execute("SELECT FROM amends.sagas WHERE saga_id = $1 FOR UPDATE", locked)
        done = await archive()
        assert (done.sagas, dict(done.stayed), await ids(store)) == (2, {"moved just now": 1}, [locked])
        nothing = await archive()
    await other.close()
    assert (nothing.sagas, nothing.files, len(list(tmp_path.glob("*/*")))) == (0, [], 1)


async def test_a_disk_that_takes_no_file_is_named_and_nothing_is_deleted(
    database_url: str, store: PostgresStore, archive: Callable[..., Any], tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    def full(*_: object) -> bytes:
        raise OSError(errno.ENOSPC, "No space left on device")

    await seed(database_url, finished=4, waiting_sagas=0, age_days=60)
    with monkeypatch.context() as patched:
        patched.setattr(archiving, "line_of", full)
        with pytest.raises(ArchiveError, match=r"No space left .*\n.*AMENDS_ARCHIVE_DIR"):
            await archive()
    assert list(tmp_path.glob("*/*")) == []
    assert len(await ids(store)) == 4


async def test_every_folder_that_is_new_is_on_the_disk_before_anything_is_deleted(
    database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[Path] = []
    monkeypatch.setattr(archive_files, "_sync", synced.append)
    await seed(database_url, finished=1, waiting_sagas=0, age_days=400)
    folder = tmp_path / "a" / "b" / "c"
    done = await Archiver(database_url, folder, 31 * DAY, [], lambda line: None).run()
    assert set(synced) >= {tmp_path, tmp_path / "a", tmp_path / "a" / "b", folder, (folder / done.files[0]).parent}


async def test_two_runs_at_once_are_one(database_url: str, archive: Callable[..., Any]) -> None:
    other = await asyncpg.connect(database_url)
    await other.execute("SELECT pg_advisory_lock($1)", archiving.LOCK)
    with pytest.raises(ArchiveError, match="another archive run is at work"):
        await archive()
    await other.close()


async def test_a_file_that_is_gone_or_damaged_is_named_with_the_remedy(
    database_url: str, store: PostgresStore, backend: Backend, archive: Callable[..., Any], tmp_path: Path
) -> None:
    await seed(database_url, finished=1, waiting_sagas=0, age_days=400)
    (one,) = await ids(store)
    done = await archive()
    path = tmp_path / done.files[0]
    whole = path.read_bytes()
    assert archive_files.read(path, one).state.saga_id == one
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ArchiveMissing, match="cannot be read here"):
        await backend.view(one)
    path.unlink()
    with pytest.raises(ArchiveMissing, match="AMENDS_ARCHIVE_DIR"):
        await backend.view(one)
    path.write_bytes(whole)
    assert await backend.view(one) is not None
    assert gzip.decompress(whole).count(b"\n") == 2
