"""Make the sample documents in marketplace/samples: what a marketplace seller really has. Standard library only."""

import zipfile
from pathlib import Path
from xml.sax.saxutils import escape

SAMPLES = Path(__file__).parent.parent / "marketplace" / "samples"
FIXED = (2026, 10, 1, 0, 0, 0)

SALES = [
    ["Relatório de vendas", "Loja Casa Clara", "Setembro de 2026"],
    ["SKU", "Produto", "Canal", "Vendas", "Devoluções %", "Estoque", "Observação"],
    [
        "CC-104",
        "Panela antiaderente 24 cm",
        "Mercado Livre",
        "412",
        "2,1",
        "0",
        "sem estoque desde 18/09, ruptura na semana",
    ],
    ["CC-117", "Jogo de lençol king", "Mercado Livre", "188", "9,4", "63", "devolução alta: cor diferente da foto"],
    ["CC-121", "Luminária de mesa", "Amazon", "96", "3,0", "41", "conversão caiu de 4,1% para 2,3%"],
    ["CC-133", "Organizador de gaveta", "Shopee", "530", "1,2", "12", "concorrente com preço 14% menor"],
    ["CC-140", "Cortina blackout", "Amazon", "74", "4,8", "88", "título curto, sem medida"],
    ["CC-152", "Tapete antiderrapante", "Shopee", "201", "6,9", "30", "23 pedidos com atraso no envio"],
    ["Total", "", "", "1501", "", "", "nota média da loja: 4,2"],
]

AUDIT = [
    "Listing audit - Northfield Home, October 2026",
    "Channels reviewed: Amazon, eBay",
    "",
    "1. Amazon B0C1K7: title is too short and lacks brand and size.",
    "2. Amazon B0C1K7: only 2 images, both low-resolution.",
    "3. Amazon B0D9QX: return rate 11.8 percent, buyers say 'smaller than pictured'.",
    "4. Amazon B0D9QX: conversion 1.9 percent against 4.0 in its category.",
    "5. eBay 2847719: out of stock for 9 days in September.",
    "6. eBay 2847719: priced above three competitors by 12 percent.",
    "7. eBay 2850034: late shipment on 7 of 60 orders.",
    "8. Sponsored ads: ACOS 41 percent, two campaigns without a sale.",
    "9. Average rating 3.9 from 214 reviews; 38 reviews without an answer.",
]

EXPORT = [
    "sku;titulo;canal;preco;estoque;fotos;avaliacao;obs",
    "LV-01;Garrafa térmica;Mercado Livre;89,90;0;6;4,6;ruptura",
    "LV-02;Caneca;Mercado Livre;39,90;210;1;4,1;poucas fotos no anúncio",
    "LV-03;Mochila escolar preta 20 L;Magalu;159,00;33;7;3,4;avaliação baixa: zíper quebra",
    "LV-04;Estojo;Magalu;29,90;80;5;4,4;frete maior que o preço",
    "LV-05;Lancheira térmica infantil;Mercado Livre;74,50;18;6;4,0;descrição sem medidas",
]

MEETING = [
    "Ata da reunião comercial, 2 de outubro de 2026",
    "Loja Casa Clara; presentes: Ana, Bruno",
    "Amazon: 41 pedidos com atraso no envio em setembro.",
    "Shopee: o concorrente mais vendido cobra 14% a menos pelo organizador CC-133.",
    "Mercado Livre: título curto em 6 anúncios, sem marca nem medida.",
]
ACTIONS = [
    ["Canal", "Item", "Situação"],
    ["Amazon", "CC-121", "conversão de 2,3% na luminária"],
    ["Shopee", "CC-152", "devolução de 6,9% no tapete"],
    ["Mercado Livre", "CC-104", "sem estoque há 12 dias"],
]


def cell(column: int, row: int, text: str) -> str:
    """A cell of a sheet, as a number where it is one."""
    name = f"{chr(ord('A') + column)}{row}"
    if text.isdigit():
        return f'<c r="{name}"><v>{text}</v></c>'
    return f'<c r="{name}" t="inlineStr"><is><t>{escape(text)}</t></is></c>'


def xlsx(path: Path, rows: list[list[str]], sheet: str) -> None:
    """A workbook of one sheet."""
    lines = [
        f'<row r="{number}">{"".join(cell(column, number, text) for column, text in enumerate(row) if text)}</row>'
        for number, row in enumerate(rows, 1)
    ]
    head = '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>'
    main = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
    office = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
    package = "http://schemas.openxmlformats.org/package/2006"
    content = "application/vnd.openxmlformats-officedocument.spreadsheetml"
    parts = {
        "[Content_Types].xml": f'{head}<Types xmlns="{package}/content-types"><Default Extension="rels" '
        'ContentType="application/vnd.openxmlformats-package.relationships+xml"/><Default Extension="xml" '
        f'ContentType="application/xml"/><Override PartName="/xl/workbook.xml" ContentType="{content}.sheet.main+xml"/>'
        f'<Override PartName="/xl/worksheets/sheet1.xml" ContentType="{content}.worksheet+xml"/></Types>',
        "_rels/.rels": f'{head}<Relationships xmlns="{package}/relationships"><Relationship Id="rId1" '
        f'Type="{office}/officeDocument" Target="xl/workbook.xml"/></Relationships>',
        "xl/workbook.xml": f'{head}<workbook xmlns="{main}" xmlns:r="{office}"><sheets><sheet name="{escape(sheet)}" '
        'sheetId="1" r:id="rId1"/></sheets></workbook>',
        "xl/_rels/workbook.xml.rels": f'{head}<Relationships xmlns="{package}/relationships"><Relationship Id="rId1" '
        f'Type="{office}/worksheet" Target="worksheets/sheet1.xml"/></Relationships>',
        "xl/worksheets/sheet1.xml": f'{head}<worksheet xmlns="{main}"><sheetData>{"".join(lines)}</sheetData>'
        "</worksheet>",
    }
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in parts.items():
            archive.writestr(zipfile.ZipInfo(name, FIXED), text)


def docx(path: Path, lines: list[str], table: list[list[str]]) -> None:
    """A document of paragraphs with a table below them."""

    def paragraph(text: str) -> str:
        return f'<w:p><w:r><w:t xml:space="preserve">{escape(text)}</w:t></w:r></w:p>'

    rows = ["".join(f"<w:tc>{paragraph(text)}</w:tc>" for text in row) for row in table]
    body = "".join(paragraph(text) for text in lines) + "".join(
        ["<w:tbl>", *(f"<w:tr>{row}</w:tr>" for row in rows), "</w:tbl>", paragraph("")]
    )
    head = '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>'
    office = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
    package = "http://schemas.openxmlformats.org/package/2006"
    main = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"
    content = "application/vnd.openxmlformats-officedocument.wordprocessingml.document.main+xml"
    parts = {
        "[Content_Types].xml": f'{head}<Types xmlns="{package}/content-types"><Default Extension="rels" '
        'ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
        f'<Override PartName="/word/document.xml" ContentType="{content}"/></Types>',
        "_rels/.rels": f'{head}<Relationships xmlns="{package}/relationships"><Relationship Id="rId1" '
        f'Type="{office}/officeDocument" Target="word/document.xml"/></Relationships>',
        "word/document.xml": f'{head}<w:document xmlns:w="{main}"><w:body>{body}</w:body></w:document>',
    }
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in parts.items():
            archive.writestr(zipfile.ZipInfo(name, FIXED), text)


def pdf(path: Path, lines: list[str]) -> None:
    """A document of one page."""
    shown = [line.replace("\\", r"\\").replace("(", r"\(").replace(")", r"\)") for line in lines]
    text = "BT /F1 11 Tf 14 TL 50 790 Td " + " ".join(f"({line}) Tj T*" for line in shown) + " ET"
    objects = [
        "<< /Type /Catalog /Pages 2 0 R >>",
        "<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents 4 0 R "
        "/Resources << /Font << /F1 << /Type /Font /Subtype /Type1 /BaseFont /Helvetica >> >> >> >>",
        f"<< /Length {len(text)} >>\nstream\n{text}\nendstream",
    ]
    body = b"%PDF-1.4\n"
    places: list[int] = []
    for number, entry in enumerate(objects, 1):
        places.append(len(body))
        body += f"{number} 0 obj\n{entry}\nendobj\n".encode("latin-1")
    table = "".join(f"{place:010d} 00000 n \n" for place in places)
    body += f"xref\n0 {len(objects) + 1}\n0000000000 65535 f \n{table}".encode()
    end = body.index(b"xref")
    body += f"trailer\n<< /Size {len(objects) + 1} /Root 1 0 R >>\nstartxref\n{end}\n%%EOF\n".encode()
    path.write_bytes(body)


def main() -> None:
    """Write all samples."""
    SAMPLES.mkdir(exist_ok=True)
    xlsx(SAMPLES / "relatorio-de-vendas.xlsx", SALES, "Vendas")
    docx(SAMPLES / "reuniao.docx", MEETING, ACTIONS)
    pdf(SAMPLES / "listing-audit.pdf", AUDIT)
    (SAMPLES / "exportacao-de-anuncios.csv").write_text("\n".join(EXPORT) + "\n", "utf-8")


if __name__ == "__main__":
    main()
