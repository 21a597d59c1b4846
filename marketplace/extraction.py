"""Text out of uploaded documents: PDF, DOCX, XLSX, CSV and plain text, read in a subprocess with limits.

A document is foreign input: it may be huge when unpacked, hang its reader, or be something else than its name says.
"""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Literal

from amends import Problem, field_problem

Kind = Literal["pdf", "docx", "xlsx", "csv", "text"]

READER = Path(__file__).with_name("reader.py")
BYTES_MAX = 20 * 1024 * 1024
SECONDS_MAX = 10.0
WAIT_SECONDS_MAX = 15.0
RETRY_AFTER_SECONDS = "10"
SUFFIXES: dict[str, Kind] = {
    ".pdf": "pdf",
    ".docx": "docx",
    ".xlsx": "xlsx",
    ".csv": "csv",
    ".txt": "text",
    ".md": "text",
}
PACKED = ("docx", "xlsx")
"""Kinds that are archives; only their content tells one from the other, which the reader looks at."""
SEALED = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
"""How the container begins that holds an encrypted archive, and also files of before 2007."""
SEALED_CONTENT = "EncryptedPackage".encode("utf-16-le")
REFUSALS = {
    "encrypted": (422, "Unreadable file", "remove the password and upload it again"),
    "bomb": (422, "Unreadable file", "upload the document itself, not one that unpacks to so much"),
    "empty": (422, "Unreadable file", "upload a document with text in it; scanned pages need text recognition first"),
    "broken": (422, "Unreadable file", "open it, save it again as PDF, DOCX, XLSX, CSV or plain text, and upload that"),
    "long": (413, "File too large", "split it into smaller documents and upload each"),
    "type": (415, "Unsupported file type", "upload a PDF, DOCX, XLSX, CSV or text file"),
}
OUT_OF_BOUNDS = frozenset({-signal.SIGXCPU, -signal.SIGKILL, -signal.SIGABRT})
"""How the reader ends at its limits: of time by the kernel, of memory where its libraries abort."""


@dataclass(frozen=True)
class Document:
    """What was read."""

    kind: Kind
    text: str


def kind_of(filename: str, content: bytes) -> Kind:
    """What a file is: its content and its name must agree. Which archive it is, the reader finds out.

    Raises:
        Problem: 422 empty or encrypted, 413 too large, 415 of another type.
    """
    if not content:
        raise field_problem(422, "Empty file", "file", "is empty", "upload a document with text in it")
    if len(content) > BYTES_MAX:
        raise too_large()
    kind = SUFFIXES.get(PurePath(filename).suffix.lower())
    if kind is None:
        raise _problem("type", f"{filename[:100]!r} is of no known type")
    if kind in PACKED and content.startswith(SEALED) and SEALED_CONTENT in content:
        raise _problem("encrypted", "it is protected by a password")
    looks: Kind | None = "pdf" if content.startswith(b"%PDF-") else None
    if kind in PACKED and content.startswith(b"PK\x03\x04"):
        looks = kind
    if looks is None and kind in ("csv", "text") and b"\x00" not in content[:65536]:
        looks = kind
    if looks is None and kind in ("csv", "text") and content[:2] in (b"\xff\xfe", b"\xfe\xff"):
        looks = kind
    if looks != kind:
        raise _problem("type", f"its content is no {kind}, as its name {filename[:100]!r} says")
    return kind


def too_large() -> Problem:
    """The answer to a file over the limit."""
    mebibytes = BYTES_MAX // 1024 // 1024
    return field_problem(
        413, "File too large", "file", f"is larger than {mebibytes} MiB", f"upload at most {mebibytes} MiB"
    )


class Readers:
    """As many readers at once as there are processors: more of them would only take each other's time."""

    def __init__(self, count: int) -> None:
        self._free = asyncio.Semaphore(count)

    @asynccontextmanager
    async def one(self) -> AsyncGenerator[None]:
        """A reader of one's own.

        Raises:
            Problem: 503, all are at work for long.
        """
        try:
            async with asyncio.timeout(WAIT_SECONDS_MAX):
                await self._free.acquire()
        except TimeoutError:
            problem = field_problem(503, "Unavailable", "file", "waits behind too many others", "upload it again later")
            problem.headers["Retry-After"] = RETRY_AFTER_SECONDS
            raise problem from None
        try:
            yield
        finally:
            self._free.release()


READERS = Readers(os.cpu_count() or 1)


async def extract(filename: str, content: bytes, readers: Readers = READERS) -> Document:
    """The text of a document.

    Raises:
        Problem: it is none that can be read: the field `file` is named, with the remedy; or 503, too many are read.
    """
    kind = kind_of(filename, content)
    async with readers.one():
        answer = await _read(kind, content)
    if "problem" in answer:
        raise _problem(answer["problem"], answer["message"])
    return Document(kind, answer["text"])


async def _read(kind: Kind, content: bytes) -> dict[str, str]:
    """What the reader says of a document; its clock begins when it does."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-I",
        str(READER),
        kind,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        env={},
    )
    try:
        async with asyncio.timeout(SECONDS_MAX):
            output, _ = await process.communicate(content)
    except TimeoutError:
        raise _problem("broken", f"reading it takes longer than {SECONDS_MAX:g} s") from None
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode in OUT_OF_BOUNDS:
        raise _problem("bomb", "reading it takes more memory or time than a document may")
    if process.returncode != 0:
        raise _problem("broken", "reading it fails")
    answer: dict[str, str] = json.loads(output)
    return answer


def _problem(code: str, message: str) -> Problem:
    status, title, remedy = REFUSALS[code]
    return field_problem(status, title, "file", message, remedy)
