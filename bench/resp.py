"""A bare connection to Redis: packed commands in one write, answers by the C reader. For counters and the floor."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, Self

import hiredis

_pack: Callable[[tuple[Any, ...]], bytes] = getattr(hiredis, "pack_command")  # noqa: B009 - it has half a type
READ_BYTES = 1 << 18
Word = Any
"""Text, bytes, or a number."""


class Connection:
    """Open one with `Connection.open`; `url` is unix://PATH."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._answers = hiredis.Reader()

    @classmethod
    async def open(cls, url: str) -> Self:
        """Connect."""
        return cls(*await asyncio.open_unix_connection(url.removeprefix("unix://")))

    async def ask(self, commands: Sequence[tuple[Word, ...]]) -> list[Any]:
        """Commands in one round trip; their answers.

        Raises:
            hiredis.ReplyError: the server refuses one. ConnectionError: it is gone.
        """
        self._writer.write(b"".join(_pack(command) for command in commands))
        found: list[Any] = []
        while len(found) < len(commands):
            answer: Any = self._answers.gets()
            if answer is False:
                data = await self._reader.read(READ_BYTES)
                if not data:
                    raise ConnectionError("the server closed the connection")
                self._answers.feed(data)
            elif isinstance(answer, Exception):
                raise answer
            else:
                found.append(answer)
        return found

    async def close(self) -> None:
        """End it."""
        self._writer.close()
        await self._writer.wait_closed()
