"""The program that reads one document: kind as its argument, bytes on standard input, JSON on standard output.

It runs alone in a process without environment, with limits on memory and time, and imports nothing of ours.
"""

import csv
import io
import json
import resource
import sys
import zipfile

MEMORY_BYTES = 512 * 1024 * 1024
CPU_SECONDS = 10
UNPACKED_BYTES_MAX = 200 * 1024 * 1024
TEXT_CHARACTERS_MAX = 2_000_000
PAGES_MAX = 500
ROWS_MAX = 50_000


class UnreadableError(Exception):
    """The document cannot be read: a code and what is wrong."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


def read_pdf(content: bytes) -> str:
    """The text of a PDF's pages."""
    from pypdf import PdfReader
    from pypdf.errors import PyPdfError

    try:
        reader = PdfReader(io.BytesIO(content))
        if reader.is_encrypted:
            raise UnreadableError("encrypted", "it is protected by a password")
        return "\n".join(page.extract_text() for page in reader.pages[:PAGES_MAX])
    except (PyPdfError, ValueError, KeyError, TypeError, AttributeError, RecursionError, IndexError) as broken:
        raise UnreadableError("broken", f"it is no valid PDF: {broken}") from broken


def read_xlsx(content: bytes) -> str:
    """The rows of a workbook's sheets, cells separated by `;`."""
    from python_calamine import CalamineError, CalamineWorkbook

    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            unpacked = sum(entry.file_size for entry in archive.infolist())
        if unpacked > UNPACKED_BYTES_MAX:
            raise UnreadableError("bomb", f"it unpacks to {unpacked:,} bytes")
        workbook = CalamineWorkbook.from_filelike(io.BytesIO(content))
        lines: list[str] = []
        for name in workbook.sheet_names:
            lines.append(str(name))
            rows = workbook.get_sheet_by_name(name).to_python(nrows=ROWS_MAX)
            lines += ["; ".join(str(cell) for cell in row if cell != "") for row in rows]
        return "\n".join(lines)
    except (CalamineError, zipfile.BadZipFile, ValueError, KeyError, OSError) as broken:
        raise UnreadableError("broken", f"it is no valid XLSX: {broken}") from broken


def read_csv(content: bytes) -> str:
    """The rows of a table, cells separated by `;`, with the header's name before each value."""
    text = read_text(content)
    try:
        dialect = csv.Sniffer().sniff(text[:8192], delimiters=",;\t|")
    except csv.Error:
        return text
    rows = list(csv.reader(io.StringIO(text), dialect))[:ROWS_MAX]
    header = rows[0] if rows else []
    lines = ["; ".join(header)]
    lines += ["; ".join(f"{name}: {cell}" for name, cell in zip(header, row, strict=False)) for row in rows[1:]]
    return "\n".join(lines)


def read_text(content: bytes) -> str:
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


def main() -> None:
    """Read the document and say what is in it, or why it cannot be read."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS))
    try:
        text = READERS[sys.argv[1]](sys.stdin.buffer.read())
        text = text.replace("\x00", "").encode("utf-8", "replace").decode("utf-8")[:TEXT_CHARACTERS_MAX]
        if not text.strip():
            raise UnreadableError("empty", "there is no text in it")
        answer = {"text": text}
    except UnreadableError as unreadable:
        answer = {"problem": unreadable.code, "message": str(unreadable)[:500]}
    except MemoryError:
        answer = {"problem": "bomb", "message": "reading it takes more memory than a document may"}
    sys.stdout.write(json.dumps(answer))


if __name__ == "__main__":
    main()
