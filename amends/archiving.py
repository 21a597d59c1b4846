"""`amends archive`: sagas that ended long ago go into compressed files, which every reading command goes on to read."""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import asyncpg

from eventstore.archive_files import ArchivedSaga, line_of, read, write
from eventstore.migrate import demand_migrated
from eventstore.postgres import reachable
from eventstore.projections import Projection
from eventstore.retention import Family, families, remove, roots, tidy
from sagas.manifest import Manifest
from sagas.ports import StoreUnavailable

LOCK = 0x61726368697665  # "archive" in ASCII
FIRST = "00000000-0000-0000-0000-000000000000"
EVENTS_A_COMMIT = 2_000
TRIES = 30
PAUSE_SECONDS_MAX = 1.0
MANIFESTS = "SELECT fingerprint, manifest::text FROM amends.saga_definitions WHERE fingerprint = ANY($1::text[])"
PAYLOADS = "SELECT hash, body FROM amends.payloads WHERE hash = ANY($1::text[])"
FILE_OF = "SELECT file FROM amends.archived_sagas JOIN amends.archives USING (archive_id) WHERE saga_id = $1"

if TYPE_CHECKING:
    Pool = asyncpg.Pool[asyncpg.Record]


class ArchiveError(Exception):
    """Nothing more can be archived; the text says why, and what helps."""


class ArchiveMissing(StoreUnavailable):
    """A saga stands in a file that is not here, or cannot be read."""


@dataclass
class Archived:
    """What was done. `stayed` says why sagas that ended long ago are still in the database."""

    sagas: int = 0
    events: int = 0
    files: list[str] = field(default_factory=list[str])
    size: int = 0
    payloads: int = 0
    messages: int = 0
    stayed: Counter[str] = field(default_factory=Counter[str])


class Archiver:
    """Archives what ended longer ago than so many seconds. One at a time: an advisory lock keeps others out."""

    def __init__(
        self, url: str, folder: Path, seconds: float, projections: Sequence[Projection], tell: Callable[[str], None]
    ) -> None:
        self._url = url
        self._folder = folder
        self._seconds = seconds
        self._projections = projections
        self._reading: Sequence[Projection] = ()
        self._tell = tell
        self._manifests: dict[str, tuple[str, Manifest | None]] = {}

    async def run(self) -> Archived:
        """Archive until nothing is left to archive.

        It may be killed at any instant and run again: what is deleted stands in a file that is on the disk, and what a
        dead run wrote and did not delete is written anew.

        Raises:
            ArchiveError: another is at work, a projection is unknown or cannot forget, the tables are another's, or a
                file cannot be written.
            StoreUnavailable: the database is away.
        """
        async with reachable():
            connection: Any = await asyncpg.connect(self._url, timeout=10, server_settings={"jit": "off"})
            try:
                await demand_migrated(connection)
                return await self._run(connection)
            except asyncpg.InsufficientPrivilegeError as not_ours:
                raise ArchiveError(
                    f"{not_ours}\n  remedy: run it with the DATABASE_URL that `amends migrate` has: the owner's"
                ) from None
            finally:
                await connection.close()

    async def _run(self, connection: Any) -> Archived:
        if not await connection.fetchval("SELECT pg_try_advisory_lock($1)", LOCK):
            raise ArchiveError("another archive run is at work\n  remedy: let it end")
        self._reading = await self._that_run_here(connection)
        await self._clear(connection)
        before = await connection.fetchval(
            "SELECT extract(epoch FROM clock_timestamp())::float8 - $1::float8", self._seconds
        )
        done = Archived()
        after: str | None = FIRST
        while after is not None:
            ids, after = await roots(connection, after, before)
            self._reading = await self._that_run_here(connection)  # one may have come meanwhile
            if found := await families(connection, ids, before, done.stayed):
                await self._archive(connection, found, done)
        done.messages, done.payloads = await tidy(connection, before)
        return done

    async def _that_run_here(self, connection: Any) -> list[Projection]:
        """The projections that have read events of this database: others have no rows, and perhaps no table."""
        known = {projection.name: projection for projection in self._projections}
        names = [row["name"] for row in await connection.fetch("SELECT name FROM amends.feed_cursors ORDER BY name")]
        for name in names:
            if name not in known:
                raise ArchiveError(
                    f"projection {name} is of no application that is loaded here\n"
                    "  remedy: name its module with --sagas, or delete its row in amends.feed_cursors if it is gone"
                )
            if known[name].forget is None:
                raise ArchiveError(
                    f"projection {name} cannot forget archived sagas\n  remedy: give it `forget`, or archive nothing"
                )
        return [known[name] for name in names]

    async def _clear(self, connection: Any) -> None:
        """Of a run that died: a file from which nothing was deleted goes, one that somebody's saga stands in stays."""
        for row in await connection.fetch("SELECT archive_id, file FROM amends.archives WHERE completed_at IS NULL"):
            if not await connection.fetchval(
                "SELECT EXISTS (SELECT FROM amends.archived_sagas WHERE archive_id = $1)", row["archive_id"]
            ):
                path = self._folder / row["file"]
                with self._writing():
                    for one in (path, path.with_name(f"{path.name}.part")):
                        one.unlink(missing_ok=True)
                await connection.execute("DELETE FROM amends.archives WHERE archive_id = $1", row["archive_id"])
            else:
                await self._complete(connection, row["archive_id"])

    @contextmanager
    def _writing(self) -> Generator[None]:
        """What the disk refuses is no loss of the database, which is an OSError for the driver too."""
        try:
            yield
        except (ConnectionError, TimeoutError):
            raise
        except OSError as refused:
            raise ArchiveError(
                f"{refused}\n  remedy: make room, or set AMENDS_ARCHIVE_DIR to a folder that can be written"
            ) from refused

    async def _archive(self, connection: Any, found: Sequence[Family], done: Archived) -> None:
        name = f"{datetime.now(UTC):%Y-%m-%d}/sagas-{uuid4()}.jsonl.gz"
        number = await connection.fetchval("INSERT INTO amends.archives (file) VALUES ($1) RETURNING archive_id", name)
        fingerprints = sorted({one.head["fingerprint"] for family in found for one in family.members})
        await self._learn(connection, fingerprints)
        texts = {one: self._manifests[one][0] for one in fingerprints if one in self._manifests}
        with self._writing():
            await write(self._folder / name, texts, _lines(connection, found))
        gone = 0
        for portion in _portions(found):
            began = time.monotonic()
            left = await self._remove(connection, number, portion)
            gone += sum(len(family.members) for family in left)
            done.events += sum(family.event_count for family in left)
            done.stayed["moved just now"] += sum(len(one.members) for one in portion if one not in left)
            await asyncio.sleep(min(time.monotonic() - began, PAUSE_SECONDS_MAX))  # half of the disk is for others
        done.stayed += Counter()  # without those that none stayed for
        if not gone:
            await self._clear(connection)
            return
        await self._complete(connection, number)
        done.sagas += gone
        done.files.append(name)
        done.size += (self._folder / name).stat().st_size
        self._tell(f"{name}: {gone:,} sagas")

    async def _remove(self, connection: Any, number: int, portion: Sequence[Family]) -> list[Family]:
        manifests = {fingerprint: manifest for fingerprint, (_, manifest) in self._manifests.items()}
        for _ in range(TRIES):
            try:
                return await remove(connection, number, portion, manifests, self._reading)
            except asyncpg.LockNotAvailableError:
                await asyncio.sleep(PAUSE_SECONDS_MAX)
        raise ArchiveError(
            "a projection is being filled or checked for more than a minute\n  remedy: run it again when that has ended"
        )

    async def _learn(self, connection: Any, fingerprints: Sequence[str]) -> None:
        missing = [one for one in fingerprints if one not in self._manifests]
        for row in await connection.fetch(MANIFESTS, missing):
            self._manifests[row["fingerprint"]] = (row["manifest"], Manifest.from_json(row["manifest"]))

    @staticmethod
    async def _complete(connection: Any, number: int) -> None:
        await connection.execute(
            "UPDATE amends.archives SET completed_at = clock_timestamp() WHERE archive_id = $1", number
        )


async def find(pool: "Pool", folder: Path, saga_id: str) -> ArchivedSaga | None:
    """An archived saga; None where there is none of this id.

    Raises:
        ArchiveMissing: its file is not in the folder, or damaged. StoreUnavailable: the database is away.
    """
    async with reachable():
        name: str | None = await pool.fetchval(FILE_OF, saga_id)
    if name is None:
        return None
    try:
        return await asyncio.to_thread(read, folder / name, saga_id)
    except (OSError, EOFError, LookupError, ValueError) as lost:
        raise ArchiveMissing(
            f"saga {saga_id} is archived in {name}, which cannot be read here ({type(lost).__name__}): put the file "
            "back, or set AMENDS_ARCHIVE_DIR to the folder that has it"
        ) from lost


async def _lines(connection: Any, found: Sequence[Family]) -> AsyncGenerator[bytes]:
    for family in found:
        for member in family.members:
            rows: list[Any] = []
            if hashes := member.payloads():
                rows = await connection.fetch(PAYLOADS, hashes)
            yield line_of(member.head, member.events, {row["hash"]: row["body"] for row in rows})


def _portions(found: Sequence[Family]) -> list[list[Family]]:
    """Families by so many events that a commit is short."""
    portions: list[list[Family]] = [[]]
    count = 0
    for family in found:
        if count >= EVENTS_A_COMMIT:
            portions.append([])
            count = 0
        portions[-1].append(family)
        count += family.event_count
    return portions
