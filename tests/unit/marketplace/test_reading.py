"""Documents that are odd but right are read; those that cannot be read are refused for what they are."""

import asyncio
import io
import json
import zipfile
from pathlib import Path
from typing import Any

import pytest
from pypdf import PdfReader, PdfWriter
from pypdf.generic import DictionaryObject, NameObject, NumberObject

from amends import Problem
from marketplace import extraction
from marketplace.extraction import Readers, extract
from marketplace.reader import TEXT_BYTES_MAX

SAMPLES = Path(__file__).parent.parent.parent.parent / "marketplace" / "samples"
SHEET = "xl/worksheets/sheet1.xml"
EMPTY_ROWS = b'<worksheet xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"><sheetData/></worksheet>'


def written(writer: PdfWriter) -> bytes:
    buffer = io.BytesIO()
    writer.write(buffer)
    return buffer.getvalue()


def pdf_with_encryption(handler: str) -> bytes:
    """A PDF that says it is encrypted, in a way that nobody here knows."""
    content = (SAMPLES / "listing-audit.pdf").read_bytes()
    entry = f"<< /Filter /{handler} /V 5 /R 6 /Length 256 /P -4 /O (x) /U (x) /OE (x) /UE (x) /Perms (x) >>"
    return content.replace(b"/Root", f"/Encrypt {entry} /ID [(a) (a)] /Root".encode())


def pdf_with_filter(name: str) -> bytes:
    """A PDF whose page is packed in a way that nobody here knows."""
    writer = PdfWriter()
    writer.append(PdfReader(SAMPLES / "listing-audit.pdf"))
    contents: Any = writer.pages[0]["/Contents"]
    stream = contents.get_object()
    stream[NameObject("/Filter")] = NameObject(f"/{name}")
    stream[NameObject("/DecodeParms")] = DictionaryObject({NameObject("/K"): NumberObject(1)})
    return written(writer)


def workbook_without_rows() -> bytes:
    buffer = io.BytesIO()
    with (
        zipfile.ZipFile(SAMPLES / "relatorio-de-vendas.xlsx") as source,
        zipfile.ZipFile(buffer, "w") as target,
    ):
        for entry in source.infolist():
            is_sheet = entry.filename.startswith("xl/worksheets/")
            target.writestr(entry.filename, EMPTY_ROWS if is_sheet else source.read(entry))
    return buffer.getvalue()


REPORT = "Relatório de vendas\nsku;titulo;estoque;obs\n17;Bule;0;sem foto\n18;Copo;3;\n".encode()
REFUSED = [
    ("a.pdf", pdf_with_encryption("Standard"), 422, "remove the password"),
    ("a.pdf", pdf_with_encryption("Strange"), 422, "remove the password"),
    ("a.pdf", pdf_with_filter("StrangeDecode"), 422, "save it again"),
    ("a.pdf", b"%PDF-1.7 nothing", 422, "save it again"),
    ("a.xlsx", workbook_without_rows(), 422, "with text in it"),
    ("a.csv", b" \n \n", 422, "with text in it"),
    ("a.txt", b"SKU 17 Amazon sem estoque ha 9 dias\n" * 31_000, 413, "split it"),
    ("a.csv", b"a,b\n" + b"1,2\n" * 200_000, 413, "split it"),
    ("a.csv", b"a,b\n1," + b"x" * (TEXT_BYTES_MAX + 1), 413, "split it"),
    ("a" * 300 + ".exe", b"hello", 415, "upload a PDF"),
]


@pytest.mark.parametrize(
    ("name", "content", "status", "remedy"),
    REFUSED,
    ids=[f"{number} {entry[0][-6:]}" for number, entry in enumerate(REFUSED)],
)
async def test_what_cannot_be_read_is_refused_for_what_it_is(
    name: str, content: bytes, status: int, remedy: str
) -> None:
    with pytest.raises(Problem) as refused:
        await extract(name, content)
    (entry,) = refused.value.errors
    assert (refused.value.status, entry["field"]) == (status, "file"), refused.value.detail
    assert remedy in entry["remedy"]
    assert "Traceback" not in refused.value.detail


@pytest.mark.parametrize(
    ("name", "content", "line"),
    [
        ("a.csv", b"sku,canal\r17,Amazon\r18,eBay\r", "sku: 18; canal: eBay"),
        ("a.csv", b"sku,canal\r\n17,Amazon\r\n", "sku: 17; canal: Amazon"),
        ("a.csv", b'sku,texto\n17,"' + b"x" * 200_000 + b'"\n', "sku: 17; texto: " + "x" * 200_000),
        ("a" * 300 + ".txt", b"17 Amazon", "17 Amazon"),
        ("a.csv", REPORT, "sku: 17; titulo: Bule; estoque: 0; obs: sem foto"),
        ("a.csv", REPORT, "Relatório de vendas"),
        ("a.csv", REPORT.replace(b"vendas\n", b"vendas;;;\nDe;2024;;\n\n"), "sku: 18; titulo: Copo; estoque: 3; obs: "),
        ("a.csv", REPORT.replace(b"vendas\n", b"vendas;;;\nDe;2024;;\n\n"), "De; 2024"),
        ("a.csv", b"sku;canal\n17;Amazon;sem estoque;;2\n18;eBay\n", "sku: 17; canal: Amazon; sem estoque; 2"),
        ("a.csv", b"Vendas;2024\nsku;canal;obs\n17;Amazon;x\n18;eBay;y\n", "sku: 18; canal: eBay; obs: y"),
        ("a.csv", b"sku;canal;obs\n17;Amazon;x\n18;eBay;y;z\nTotal;n;m\n", "sku: 18; canal: eBay; obs: y; z"),
        ("a.csv", b"sku;canal\n17\n18;eBay\n19;eBay\n", "sku: 17"),
    ],
    ids=[
        "carriage returns",
        "both",
        "a long cell",
        "a long name",
        "a title",
        "that title",
        "titles in cells",
        "those",
        "more cells than names",
        "a title of two cells",
        "a total",
        "fewer cells than names",
    ],
)
async def test_odd_but_right_documents_are_read(name: str, content: bytes, line: str) -> None:
    assert line in (await extract(name, content)).text.splitlines()


async def test_no_accepted_text_is_too_large_for_a_step_to_give() -> None:
    """The most that is accepted, in the letters that take the most room in JSON, stays below 1 MiB as a result."""
    document = await extract("a.txt", b"\x01" * (TEXT_BYTES_MAX // 6 - 10))
    assert len(json.dumps({"text": document.text}, ensure_ascii=False).encode()) < 1024 * 1024
    with pytest.raises(Problem, match="bytes of text"):
        await extract("a.txt", b"\x01" * (TEXT_BYTES_MAX // 6 + 10))


async def test_many_documents_wait_for_a_reader_and_none_is_blamed_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    at_work = most = 0

    async def slow(kind: str, content: bytes) -> dict[str, str]:
        nonlocal at_work, most
        at_work += 1
        most = max(most, at_work)
        for _ in range(5):
            await asyncio.to_thread(int)  # others get their turn
        at_work -= 1
        return {"text": "x"}

    monkeypatch.setattr(extraction, "_read", slow)
    readers = Readers(2)
    found = await asyncio.gather(*(extract("a.txt", b"x", readers) for _ in range(16)))
    assert ([document.text for document in found], most) == (["x"] * 16, 2)


async def test_a_queue_that_takes_too_long_says_when_to_come_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(extraction, "WAIT_SECONDS_MAX", 0.05)
    readers = Readers(1)
    async with readers.one():
        with pytest.raises(Problem) as refused:
            await extract("a.txt", b"x", readers)
    assert (refused.value.status, refused.value.headers["Retry-After"]) == (503, "10")
    assert (await extract("a.txt", b"x", readers)).text == "x"
