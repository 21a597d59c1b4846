"""Foreign and torn entries are kept beside the streams, with the reason (rule C8)."""

import logging

from consumers.keys import SET_ASIDE
from consumers.wire import Wire
from sagas.ports import TransportRefused

log = logging.getLogger("amends.stream")

KEPT_MAX, BYTES_MAX = 1000, 65536


async def set_aside(wire: Wire, key: str, entry: str, body: bytes, why: str) -> bool:
    """Keep an entry; where nothing can be written it stays in hand, and hinders no other. Whether it is kept."""
    log.error("entry %s of %s is set aside: %s", entry, key, why)
    words = ("key", key, "entry", entry, "why", why, "b", body[:BYTES_MAX])
    try:
        await wire.many([("XADD", SET_ASIDE, "MAXLEN", "~", KEPT_MAX, "*", *words)])
    except TransportRefused as refused:
        log.warning("entry %s of %s stays: %s", entry, key, refused)
        return False
    return True
