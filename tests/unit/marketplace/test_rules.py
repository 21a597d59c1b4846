"""What the built-in agent reads, and what it takes for a heading."""

import json

import pytest

from marketplace.agents.rules import RulesAgent


async def titles(text: str) -> list[str]:
    return [found["title"] for found in json.loads(await RulesAgent().ask("Amazon", text))["opportunities"]]


@pytest.mark.parametrize(
    "line",
    [
        "Title is too short on every listing.",
        "O título curto esconde o produto nas buscas dos clientes da loja",
        "Obs: title is too short",
        "SKU 17: title is too short",
    ],
)
async def test_a_sentence_needs_no_number(line: str) -> None:
    assert await titles(line) == ["Completar os títulos"]


@pytest.mark.parametrize(
    "line", ["Devoluções", "# Taxa de devolução e frete", "sku; titulo; devolução; conversão", "Conversão:"]
)
async def test_a_heading_says_nothing(line: str) -> None:
    assert await titles(line) == []
