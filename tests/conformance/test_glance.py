"""What an orchestrator sees at a glance, in both stores."""

import pytest

from sagas.inputs import Hold
from sagas.ports import Store
from tests.conformance.test_store import move, saga_id, started


async def test_a_glance_tells_what_is_marked_what_nobody_confirmed_and_when_something_is_due(store: Store) -> None:
    nothing = await store.peek()
    assert (nothing.unsent, nothing.unconfirmed_since, nothing.due_at) == (False, None, None)
    await store.start([started(1)])
    (row,) = await store.waits(saga_id(1))
    sent = await store.peek()
    assert not sent.unsent
    assert sent.due_at == pytest.approx(row.due_at, abs=1e-5)
    assert sent.unconfirmed_since == pytest.approx(row.since, abs=1e-5)
    assert sent.now == pytest.approx(await store.now(), abs=5)
    await store.mark_unsent([(saga_id(1), row.opened_by)])
    marked = await store.peek()
    assert (marked.unsent, marked.unconfirmed_since, marked.due_at) == (True, None, None)


async def test_a_held_sagas_command_that_nobody_confirmed_is_not_seen_at_a_glance(store: Store) -> None:
    """rule_B7."""
    begun = started(1)
    await store.start([begun])
    await store.append([move(begun.state, Hold(saga_id(1), "look", "h"))])
    assert (await store.peek()).unconfirmed_since is None
    assert await store.unpublished(0, 10) == []
