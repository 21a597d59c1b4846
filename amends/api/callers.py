"""Who calls: the operator's key of the settings, and the keys that are kept in the database."""

import hashlib
import hmac
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from aiohttp import web

from amends.problems import field_problem
from eventstore.key_roles import Role
from eventstore.keys import KeyRow, allows

ROOT = "root"
CACHE_SECONDS = 5.0
"""A revoked key opens nothing any more after that time."""
CACHED_MAX = 1024
Find = Callable[[str], Awaitable[KeyRow | None]]


@dataclass(frozen=True, slots=True)
class Caller:
    """Whose key was shown. `id` is the key's prefix, which no other key has; `name` is what people call it."""

    id: str
    name: str
    role: Role


class Callers:
    """Finds who shows a key. What the database says of a key, also that there is none, holds for some seconds."""

    def __init__(self, api_key: str, find: Find, clock: Callable[[], float] = time.monotonic) -> None:
        self._expected = api_key.encode()
        self._find = find
        self._clock = clock
        self._known: OrderedDict[bytes, tuple[float, Caller | None]] = OrderedDict()

    async def who(self, shown: str) -> Caller | None:
        """Who shows this key; None: it opens nothing.

        Raises:
            StoreUnavailable: the database is away, and it is not known here.
        """
        raw = shown.encode("utf-8", "surrogateescape")  # aiohttp keeps what is no UTF-8 as surrogates
        if hmac.compare_digest(raw, self._expected):
            return Caller(ROOT, ROOT, "operator")
        if not shown.isascii():
            return None
        digest = hashlib.sha256(raw).digest()
        until, caller = self._known.get(digest, (0.0, None))
        if until > self._clock():
            return caller
        row = await self._find(shown)
        caller = None if row is None else Caller(row.prefix, row.name, row.role)
        self._known[digest] = (self._clock() + CACHE_SECONDS, caller)
        self._known.move_to_end(digest)
        while len(self._known) > CACHED_MAX:
            self._known.popitem(last=False)
        return caller


def demand(request: web.Request, needed: Role) -> None:
    """Whether the caller's role is enough for a route.

    Raises:
        Problem: 403, naming the role that is needed.
    """
    caller = caller_of(request)
    if not allows(caller.role, needed):
        raise field_problem(
            403,
            "Forbidden",
            "Authorization",
            f"the key '{caller.name}' has the role {caller.role}, and this needs the role {needed}",
            f"use a key of that role; `amends keys create NAME --role {needed}` makes one",
        )


def caller_of(request: web.Request) -> Caller:
    """Who calls, on a path that is not open."""
    found: Caller = request["key"]
    return found
