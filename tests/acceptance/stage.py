"""A running Amends with the sagas of the whole language, its folder, and what its operators do."""

import json
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

from tests.acceptance.running import Running, until

WRITE = """
INSERT INTO amends.workflow_events (workflow_id, sequence_number, event_type, event_data, created_at, causation_id)
SELECT saga_id, version + 1, 'StepPaused', '{"step": "load", "mood": "good"}', now(), 'newer'
FROM amends.sagas WHERE saga_id = $1
"""


class Stage:
    """A running Amends, its folder, and what its operators do."""

    def __init__(self, made: Running) -> None:
        self.made = made
        self.folder = made.folder

    async def start(self, name: str, definition: str = "move", key: str | None = None, **more: Any) -> str:
        """A saga under way, by default a move."""
        body = {"definition": definition, "input": {"name": name, **more}, **({"key": key} if key else {})}
        _, begun = await self.made.call("POST", "/api/sagas", json=body)
        return str(begun["sagaId"])

    def saga(self, verb: str, *arguments: str) -> dict[str, Any]:
        """A command of an operator."""
        told = self.made.amends("saga", verb, *arguments, "--json")
        assert told.returncode == 0, told.stderr
        found: dict[str, Any] = json.loads(told.stdout)
        return found

    async def waiting(self, saga_id: str, kind: str) -> dict[str, Any]:
        """The saga once it has a wait of this kind."""

        async def has() -> dict[str, Any] | None:
            found = await self.made.saga(saga_id)
            return found if any(wait["kind"] == kind for wait in found["waits"]) else None

        return await until(has, 30)

    async def ended(self, saga_id: str) -> dict[str, Any]:
        """The saga at its end."""

        async def has() -> dict[str, Any] | None:
            found = await self.made.saga(saga_id)
            return found if found["status"] in ("completed", "compensated") else None

        return await until(has, 30)

    @contextmanager
    def wrong(self, *names: str) -> Generator[None]:
        """What goes wrong meanwhile."""
        for name in names:
            (self.folder / name).touch()
        try:
            yield
        finally:
            for name in names:
                (self.folder / name).unlink(missing_ok=True)

    async def history(self, saga_id: str) -> list[dict[str, Any]]:
        """The events of a saga."""
        _, page = await self.made.call("GET", f"/api/sagas/{saga_id}/events")
        found: list[dict[str, Any]] = page["items"]
        return found

    @asynccontextmanager
    async def newer(self, saga_id: str) -> AsyncGenerator[None]:
        """What a newer program did: an event that nobody here knows. After that it is as if nobody had written it."""
        database = self.made.database
        await database.execute(WRITE, saga_id)
        kept = await database.fetchval("SELECT state::text FROM amends.sagas WHERE saga_id = $1", saga_id)
        await database.execute(
            "UPDATE amends.sagas SET version = version + 1, format = 2, state = (state::jsonb || jsonb_build_object("
            "'version', version + 1, 'format', 2, 'release', '9.9', 'mood', 'good'))::json WHERE saga_id = $1",
            saga_id,
        )
        try:
            yield
        finally:
            async with database.transaction():
                await database.execute("SET LOCAL session_replication_role = replica")  # events never change, else
                await database.execute(
                    "DELETE FROM amends.workflow_events WHERE workflow_id = $1 AND event_type = 'StepPaused'", saga_id
                )
                await database.execute(
                    "UPDATE amends.sagas SET version = version - 1, format = 1, state = $2::json WHERE saga_id = $1",
                    saga_id, kept,
                )  # fmt: skip

    def notes(self, name: str) -> list[str]:
        """What handlers did for a move."""
        lines = (self.folder / "notes").read_text().splitlines()
        return [line.replace(f" {name}", "") for line in lines if f" {name}" in line]
