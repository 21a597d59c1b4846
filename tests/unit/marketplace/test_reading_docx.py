"""DOCX documents: read in their order, told apart from workbooks by their content, refused where they are unsafe."""

import io
import zipfile
from pathlib import Path

import pytest

from amends import Problem
from marketplace.extraction import extract

SAMPLES = Path(__file__).parent.parent.parent.parent / "marketplace" / "samples"
WORD = "word/document.xml"
MAIN = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"
BILLION = (
    '<!DOCTYPE x [<!ENTITY a "ha">'
    + "".join(f'<!ENTITY {new} "{f"&{old};" * 10}">' for old, new in zip("abcdefgh", "bcdefghi", strict=True))
    + "]>"
)
OUTSIDE = '<!DOCTYPE x [<!ENTITY i SYSTEM "file:///etc/passwd">]>'
SEALED = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(504)


def packed(parts: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def document(body: str, before: str = "") -> bytes:
    text = f'<?xml version="1.0"?>{before}<w:document xmlns:w="{MAIN}"><w:body>{body}</w:body></w:document>'
    return packed({"[Content_Types].xml": b"<Types/>", WORD: text.encode()})


def p(text: str) -> str:
    return f"<w:p><w:r><w:t>{text}</w:t></w:r></w:p>"


def with_password_bit() -> bytes:
    """An archive that says that its parts have a password."""
    content = bytearray(document(p("x")))
    for mark, place in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        start = content.find(mark)
        while start >= 0:
            content[start + place] |= 1
            start = content.find(mark, start + 4)
    return bytes(content)


def sample(name: str) -> bytes:
    return (SAMPLES / name).read_bytes()


REFUSED = {
    "no archive": ("a.docx", b"PK\x03\x04 nothing", 422, "save it again"),
    "cut off": ("a.docx", sample("reuniao.docx")[:700], 422, "save it again"),
    "no XML": ("a.docx", packed({WORD: b"<w:document"}), 422, "save it again"),
    "an unknown entity": ("a.docx", document(p("&nobody;")), 422, "save it again"),
    "a bomb": ("a.docx", packed({WORD: b"", "word/media/a": b" " * 210_000_000}), 422, "the document itself"),
    "entities": ("a.docx", document(p("&i;"), BILLION), 422, "the document itself"),
    "a file from outside": ("a.docx", document(p("&i;"), OUTSIDE), 422, "the document itself"),
    "nothing in it": ("a.docx", document(p(" ") + "<w:p/>"), 422, "with text in it"),
    "no byte": ("a.docx", b"", 422, "with text in it"),
    "too much text": ("a.docx", document(p("x" * 1000) * 1001), 413, "split it"),
    "a password": ("a.docx", SEALED + "EncryptedPackage".encode("utf-16-le"), 422, "remove the password"),
    "a workbook's password": ("a.xlsx", SEALED + "EncryptedPackage".encode("utf-16-le"), 422, "remove the password"),
    "a password of the archive": ("a.docx", with_password_bit(), 422, "remove the password"),
    "one of before 2007": ("a.docx", SEALED + "WordDocument".encode("utf-16-le"), 415, "DOCX"),
    "a workbook": ("a.docx", sample("relatorio-de-vendas.xlsx"), 415, "DOCX"),
    "called a workbook": ("a.xlsx", sample("reuniao.docx"), 415, "DOCX"),
    "called a PDF": ("a.pdf", sample("reuniao.docx"), 415, "DOCX"),
    "called text": ("a.txt", sample("reuniao.docx"), 415, "DOCX"),
    "another archive": ("a.docx", packed({"a.txt": b"hello"}), 415, "DOCX"),
    "plain text": ("a.docx", b"hello", 415, "DOCX"),
}


@pytest.mark.parametrize(("name", "content", "status", "remedy"), REFUSED.values(), ids=REFUSED.keys())
async def test_what_is_no_readable_docx_is_refused_for_what_it_is(
    name: str, content: bytes, status: int, remedy: str
) -> None:
    with pytest.raises(Problem) as refused:
        await extract(name, content)
    (entry,) = refused.value.errors
    assert (refused.value.status, entry["field"]) == (status, "file"), refused.value.detail
    assert remedy in entry["remedy"], refused.value.detail


async def test_the_sample_is_read_in_its_order_with_its_tables_rows() -> None:
    found = await extract("Reuniao.DOCX", sample("reuniao.docx"))
    lines = found.text.splitlines()
    assert found.kind == "docx"
    assert lines[0].startswith("Ata da reunião comercial")
    assert lines[-4:] == [
        "Canal; Item; Situação",
        "Amazon; CC-121; conversão de 2,3% na luminária",
        "Shopee; CC-152; devolução de 6,9% no tapete",
        "Mercado Livre; CC-104; sem estoque há 12 dias",
    ]


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (p("a") + "<w:tbl><w:tr><w:tc>" + p("b") + p("c") + "</w:tc></w:tr></w:tbl>" + p("d"), "a\nb; c\nd"),
        (f"<w:tr><w:tc><w:tbl><w:tr>{p('a')}{p('b')}</w:tr></w:tbl>{p('c')}</w:tc></w:tr>", "a; b; c"),
        ("<w:p><w:r><w:t>a</w:t><w:tab/><w:t>b</w:t></w:r><w:r><w:br/><w:t>c</w:t></w:r></w:p>", "a\tb\nc"),
        ("<w:p><w:pPr><w:tabs><w:tab/></w:tabs></w:pPr><w:r><w:t>a</w:t></w:r></w:p>", "a"),
        ("<w:p><w:del><w:r><w:delText>a</w:delText></w:r></w:del><w:ins><w:r><w:t>b</w:t></w:r></w:ins></w:p>", "b"),
        ("<w:p><w:moveFrom><w:r><w:t>a</w:t></w:r></w:moveFrom></w:p>" + p("b"), "b"),
        (f"<w:p><w:r><w:Choice>{p('a')}</w:Choice><w:Fallback>{p('a')}</w:Fallback></w:r></w:p>", "a"),
        (p("caf&#233; &amp; chá"), "café & chá"),
    ],
    ids=["a table", "a table within", "spaces", "tab stops", "changes", "moved", "a text box", "letters"],
)
async def test_text_is_taken_from_wherever_it_stands(body: str, text: str) -> None:
    assert (await extract("a.docx", document(body))).text == text


RELATIONS = (
    '<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships">'
    '<Relationship Id="a" Type="http://x/metadata/core-properties" Target="docProps/core.xml"/>'
    '<Relationship Id="b" Type="http://purl.oclc.org/ooxml/officeDocument/relationships/officeDocument" Target="{}"/>'
    "</Relationships>"
)


@pytest.mark.parametrize("target", ["word/document2.xml", "/word/document2.xml"])
async def test_the_main_part_is_where_the_archive_says(target: str) -> None:
    body = f'<w:document xmlns:w="{MAIN}"><w:body>{p("here")}</w:body></w:document>'.encode()
    parts = {"_rels/.rels": RELATIONS.format(target).encode(), "word/document2.xml": body, WORD: b"<old/>"}
    assert (await extract("a.docx", packed(parts))).text == "here"
    with pytest.raises(Problem, match="but a docx"):
        await extract("a.xlsx", packed(parts))
    with pytest.raises(Problem, match="is no docx"):
        await extract("a.docx", packed({**parts, "word/document2.xml": b"<workbook/>"}))
