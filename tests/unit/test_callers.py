"""Who calls the API: the key of the settings, keys of the database, and what is remembered of them."""

from eventstore.keys import KeyRow
from tests.unit.keyring import ROOT_KEY, Ring


async def test_the_key_of_the_settings_is_an_operator_and_asks_no_database() -> None:
    ring = Ring({})
    caller = await ring.callers.who(ROOT_KEY)
    assert caller is not None
    assert (caller.id, caller.name, caller.role) == ("root", "root", "operator")
    assert ring.asked == []


async def test_what_a_key_opens_is_remembered_for_five_seconds() -> None:
    ring = Ring({"amends_a_s": KeyRow("a", "ci", "viewer", 0.0, None)})
    for _ in range(3):
        caller = await ring.callers.who("amends_a_s")
        assert caller is not None
        assert (caller.id, caller.name, caller.role) == ("a", "ci", "viewer")
    assert len(ring.asked) == 1
    del ring.rows["amends_a_s"]
    ring.now += 5.1
    assert await ring.callers.who("amends_a_s") is None
    assert len(ring.asked) == 2


async def test_that_there_is_no_such_key_is_remembered_too_and_memory_is_bounded() -> None:
    ring = Ring({})
    assert [await ring.callers.who("amends_x_y") for _ in range(2)] == [None, None]
    assert ring.asked == ["amends_x_y"]
    for number in range(1500):
        await ring.callers.who(f"amends_{number}_y")
    await ring.callers.who("amends_1499_y")
    assert len(ring.asked) == 1501
    await ring.callers.who("amends_x_y")  # the oldest was forgotten
    assert len(ring.asked) == 1502


async def test_what_is_no_text_is_no_key() -> None:
    ring = Ring({})
    assert await ring.callers.who("amends_a_\udcff") is None
    assert await ring.callers.who("é") is None
    assert ring.asked == []
