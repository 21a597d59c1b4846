"""The program that reads one document: kind as its argument, bytes on standard input, JSON on standard output.

It runs alone in a process without environment, with limits on memory and time, and imports nothing of ours.
"""

import csv
import io
import json
import resource
import sys
import zipfile
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, islice, zip_longest
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
RELATIONS = "_rels/.rels"
MAIN_PART = "/officeDocument"
"""How the type of the relation to an archive's main part ends, in either edition of the standard."""
ROWS_LOOKED_AT = 200
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
        if is_word(archive, main_part_of(archive)):
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
    with archive_of(content) as archive:
        part = main_part_of(archive)
        if not is_word(archive, part):
            raise UnreadableError("type", "its content is no docx, as its name says")
        yield from paragraphs(elements(archive, part))


def main_part_of(archive: zipfile.ZipFile) -> str:
    """The part that the archive's relations name as its main one; where they name none, the one that Word writes."""
    if RELATIONS in archive.namelist():
        for _, element in elements(archive, RELATIONS):
            if element.get("Type", "").endswith(MAIN_PART):
                return element.get("Target", "").lstrip("/")
    return WORD


def is_word(archive: zipfile.ZipFile, part: str) -> bool:
    """Whether a part is there and is the body of a text document: its outermost element says so."""
    if part not in archive.namelist():
        return False
    return next((element.tag for _, element in elements(archive, part)), "").endswith("}document")


def elements(archive: zipfile.ZipFile, part: str) -> "Iterator[tuple[str, Element]]":
    """What a parser sees of a part."""
    from defusedxml import DefusedXmlException
    from defusedxml.ElementTree import iterparse

    with archive.open(part) as source:
        try:
            yield from iterparse(source, ("start", "end"), forbid_dtd=True)
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
    dialect = dialect_of(text[:8192].splitlines())
    if dialect is None:
        yield text
        return
    csv.field_size_limit(len(content) + 1)
    rows = (row for row in csv.reader(io.StringIO(text, newline=""), dialect) if any(cell.strip() for cell in row))
    first = list(islice(rows, ROWS_LOOKED_AT))
    above = lines_above(first)
    yield from ("; ".join(row).rstrip("; ") for row in first[: above + 1])
    header = first[above] if first else []
    for row in chain(first[above + 1 :], rows):
        cells = zip_longest(header, row[: max(width_of(row), len(header))])
        yield "; ".join(f"{name}: {cell}" if name else cell for name, cell in cells if cell or (name and cell == ""))


def dialect_of(lines: Sequence[str]) -> "type[csv.Dialect] | None":
    """How a table's cells are told apart; None: it looks like no table."""
    try:
        return csv.Sniffer().sniff("\n".join(lines), delimiters=",;\t|")
    except csv.Error:  # too few lines for it, or too different ones; a comma alone may be one of a sentence
        for delimiter in ";\t|":
            if 2 * sum(delimiter in line for line in lines) > len(lines):
                return type("Table", (csv.excel,), {"delimiter": delimiter})
    return None


def lines_above(rows: Sequence[Sequence[str]]) -> int:
    """How many lines stand above the header: a title and the like, with fewer cells than most rows.

    Where the first row that is as wide as most holds numbers it is no header: one that names not all of its columns
    stands above it, and what has at most half of the cells above that.
    """
    widths = Counter(width_of(row) for row in rows)
    usual = max(widths, key=lambda width: (widths[width], width), default=0)
    whole = next((place for place, row in enumerate(rows) if width_of(row) >= usual), 0)
    if rows and not any(letter.isdigit() for cell in rows[whole] for letter in cell):
        return whole
    return next((place for place, row in enumerate(rows) if width_of(row) * 2 > usual), 0)


def width_of(row: Sequence[str]) -> int:
    """How many cells a row has, up to the last in which something stands."""
    return next((place for place in range(len(row), 0, -1) if row[place - 1].strip()), 0)


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
