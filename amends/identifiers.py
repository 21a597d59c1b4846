"""Ids of sagas: UUIDv7, so that they sort by time (RFC 9562, section 5.7)."""

import re
import secrets
import time
from uuid import UUID

PATTERN = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")


def new_id() -> str:
    """A new id."""
    milliseconds = time.time_ns() // 1_000_000
    value = (milliseconds << 80) | (0x7 << 76) | (secrets.randbits(12) << 64) | (0b10 << 62) | secrets.randbits(62)
    return str(UUID(int=value))


def is_id(text: str) -> bool:
    """Whether the text is an id as Amends writes it."""
    return PATTERN.fullmatch(text) is not None
