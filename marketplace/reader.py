"""The program that reads one document: kind as its argument, bytes on standard input, JSON on standard output.

It runs alone in a process without environment, with limits on memory and time, and imports nothing of ours.
"""

import csv
import io
import json
import resource
import sys
import zipfile
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

MEMORY_BYTES = 512 * 1024 * 1024
CPU_SECONDS = 10
ENCRYPTED_BIT = 0x1
UNPACKED_BYTES_MAX = 200 * 1024 * 1024
TEXT_BYTES_MAX = 1_000_000
PAGES_MAX = 500
WORD = "word/document.xml"
HIDDEN = frozenset({"pPr", "moveFrom", "Fallback"})
"""Parts of a paragraph that are no text, or the same once more: properties, what was moved, what old readers see."""
SPACES = {"tab": "\t", "br": "\n", "cr": "\n", "noBreakHyphen": "-"}


class UnreadableError(Exception):
    """The document cannot be read: a code and what is wrong."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


def read_pdf(content: bytes) -> Iterator[str]:
    """The text of a PDF's pages."""
    from pypdf import PdfReader
    from pypdf.errors import DependencyError

    try:
        reader = PdfReader(io.BytesIO(content))
        encrypted = reader.is_encrypted
    except (DependencyError, NotImplementedError) as sealed:  # a cipher or a handler that pypdf does not have
        raise UnreadableError("encrypted", "it is encrypted") from sealed
    if encrypted:
        raise UnreadableError("encrypted", "it is protected by a password")
    if len(reader.pages) > PAGES_MAX:
        raise UnreadableError("long", f"it has {len(reader.pages):,} pages; {PAGES_MAX} are allowed")
    for page in reader.pages:
        yield page.extract_text()


def read_xlsx(content: bytes) -> Iterator[str]:
    """The rows of a workbook's sheets, cells separated by `;`, below the name of each sheet that has any."""
    from python_calamine import CalamineWorkbook

    with archive_of(content) as archive:
        if WORD in archive.namelist():
            raise UnreadableError("type", "its content is no xlsx, as its name says, but a docx")
    workbook = CalamineWorkbook.from_filelike(io.BytesIO(content))
    for name in workbook.sheet_names:
        heading = [str(name)]
        for row in workbook.get_sheet_by_name(name).iter_rows():
            if cells := [str(cell) for cell in row if cell != ""]:
                yield from heading
                yield "; ".join(cells)
                heading = []


def read_docx(content: bytes) -> Iterator[str]:
    """The paragraphs of a document in their order; those of a table's row stand in one line, separated by `;`."""
    from defusedxml import DefusedXmlException
    from defusedxml.ElementTree import iterparse

    with archive_of(content) as archive:
        if WORD not in archive.namelist():
            raise UnreadableError("type", "its content is no docx, as its name says")
        with archive.open(WORD) as source:
            try:
                yield from paragraphs(iterparse(source, ("start", "end"), forbid_dtd=True))
            except DefusedXmlException as declared:  # no word processor writes one; what it unpacks to is unknown
                raise UnreadableError("bomb", "it declares entities or a document type") from declared


def paragraphs(events: "Iterable[tuple[str, Element]]") -> Iterator[str]:
    """The text of what a parser sees of a document. What was read is dropped, so that little is held at once."""
    open_rows: list[list[str]] = []
    open_paragraphs: list[list[str]] = []
    hidden = 0
    for event, element in events:
        name = element.tag.rpartition("}")[2]
        if name in HIDDEN:
            hidden += 1 if event == "start" else -1
        elif hidden:
            continue
        elif event == "start":
            if name == "p":
                open_paragraphs.append([])
            elif name == "tr":
                open_rows.append([])
        elif name == "p":
            line = "".join(open_paragraphs.pop())
            if line.strip() and open_rows:
                open_rows[-1].append(" ".join(line.split()))
            elif line.strip():
                yield line
        elif name == "tr":
            row = "; ".join(open_rows.pop())
            if row and open_rows:  # a table within a table
                open_rows[-1].append(row)
            elif row:
                yield row
        elif open_paragraphs:
            open_paragraphs[-1].append(element.text or "" if name == "t" else SPACES.get(name, ""))
        if event == "end":
            element.clear()


def archive_of(content: bytes) -> zipfile.ZipFile:
    """The archive that a document is, once it is known to unpack to little enough, and without a password."""
    archive = zipfile.ZipFile(io.BytesIO(content))
    unpacked = sum(entry.file_size for entry in archive.infolist())
    if unpacked > UNPACKED_BYTES_MAX:
        raise UnreadableError("bomb", f"it unpacks to {unpacked:,} bytes")
    if any(entry.flag_bits & ENCRYPTED_BIT for entry in archive.infolist()):
        raise UnreadableError("encrypted", "it is protected by a password")
    return archive


def read_csv(content: bytes) -> Iterator[str]:
    """The rows of a table, cells separated by `;`, with the header's name before each value."""
    text = decoded(content)
    try:
        dialect = csv.Sniffer().sniff("\n".join(text[:8192].splitlines()), delimiters=",;\t|")
    except csv.Error:
        yield text
        return
    csv.field_size_limit(len(content) + 1)
    rows = csv.reader(io.StringIO(text, newline=""), dialect)
    header = next(rows, list[str]())
    yield "; ".join(header)
    for row in rows:
        yield "; ".join(f"{name}: {cell}" for name, cell in zip(header, row, strict=False))


def read_text(content: bytes) -> Iterator[str]:
    """The text as it is."""
    yield decoded(content)


def decoded(content: bytes) -> str:
    """Text in whatever encoding it has."""
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        from charset_normalizer import from_bytes

        best = from_bytes(content).best()
        if best is None:
            raise UnreadableError("broken", "its text is in no known encoding") from None
        return str(best)


READERS = {"pdf": read_pdf, "docx": read_docx, "xlsx": read_xlsx, "csv": read_csv, "text": read_text}


def bounded(parts: Iterable[str]) -> str:
    """The parts, one below the other, as text that can be stored and handed on whole: nothing is cut off."""
    lines: list[str] = []
    size = 0
    for part in parts:
        line = part.replace("\x00", "").encode("utf-8", "replace").decode("utf-8")
        size += len(json.dumps(line, ensure_ascii=False).encode())
        if size > TEXT_BYTES_MAX:
            raise UnreadableError("long", f"it holds more than {TEXT_BYTES_MAX:,} bytes of text")
        lines.append(line)
    return "\n".join(lines)


def main() -> None:
    """Read the document and say what is in it, or why it cannot be read."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS))
    kind = sys.argv[1]
    try:
        text = bounded(READERS[kind](sys.stdin.buffer.read()))
        if not text.strip():
            raise UnreadableError("empty", "there is no text in it")
        answer = {"text": text}
    except UnreadableError as unreadable:
        answer = {"problem": unreadable.code, "message": str(unreadable)[:500]}
    except MemoryError:
        answer = {"problem": "bomb", "message": "reading it takes more memory than a document may"}
    except Exception as broken:  # noqa: BLE001 - whatever a reader stumbles over is the document's fault, and is told
        answer = {"problem": "broken", "message": f"it is no valid {kind}: {type(broken).__name__}: {broken}"[:500]}
    sys.stdout.write(json.dumps(answer))


if __name__ == "__main__":
    main()
