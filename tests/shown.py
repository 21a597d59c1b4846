"""What people are shown of a saga that is not stored anywhere."""

import asyncio
from collections.abc import Sequence
from math import inf
from typing import Any

from amends import views
from amends.explanation import explain
from sagas.events import Recorded
from sagas.manifest import Manifest
from sagas.ports import WaitRow
from sagas.state import State


class OneSaga:
    """What the views ask of a store."""

    def __init__(self, state: State, history: Sequence[Recorded]) -> None:
        self._state = state
        self._history = list(history)

    async def history(self, saga_id: str, after: int = 0, limit: int = 1000) -> list[Recorded]:
        """Its events."""
        return self._history

    async def waits(self, saga_id: str) -> list[WaitRow]:
        """Its waits."""
        return [
            WaitRow(
                saga_id, wait.opened_by, wait.kind, wait.step, wait.item, wait.attempt, None, None,
                inf if wait.due_at is None else wait.due_at, wait.since,
            )
            for wait in self._state.waits.values()
        ]  # fmt: skip

    async def values(self, wanted: Sequence[object]) -> list[None]:
        """No values."""
        return [None for _ in wanted]


async def view_of(
    manifest: Manifest, state: State, history: Sequence[Recorded], now: float | None = None
) -> dict[str, Any]:
    """The saga with its steps and waits, as the API shows it."""
    store: Any = OneSaga(state, history)
    return await views.detail(store, manifest, state, history[-1].at if now is None else now)


def explained(manifest: Manifest, state: State, history: Sequence[Recorded]) -> str:
    """What `amends explain` says."""
    return "\n".join(explain(asyncio.run(view_of(manifest, state, history)), state.started_at, state.started_at))
