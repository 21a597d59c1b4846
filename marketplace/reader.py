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

MEMORY_BYTES = 512 * 1024 * 1024
CPU_SECONDS = 10
UNPACKED_BYTES_MAX = 200 * 1024 * 1024
TEXT_BYTES_MAX = 1_000_000
PAGES_MAX = 500


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

    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        unpacked = sum(entry.file_size for entry in archive.infolist())
    if unpacked > UNPACKED_BYTES_MAX:
        raise UnreadableError("bomb", f"it unpacks to {unpacked:,} bytes")
    workbook = CalamineWorkbook.from_filelike(io.BytesIO(content))
    for name in workbook.sheet_names:
        heading = [str(name)]
        for row in workbook.get_sheet_by_name(name).iter_rows():
            if cells := [str(cell) for cell in row if cell != ""]:
                yield from heading
                yield "; ".join(cells)
                heading = []


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


READERS = {"pdf": read_pdf, "xlsx": read_xlsx, "csv": read_csv, "text": read_text}


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
