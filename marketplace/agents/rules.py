"""The built-in agent: it reads the text of a document, in Portuguese or English, and finds opportunities by rules.

Each has a reason that quotes the line which it was found in, so that a person can check it.
"""

import asyncio
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from marketplace.plans import Priority

KNOWN = ("mercado livre", "amazon", "shopee", "magalu", "ebay", "americanas", "casas bahia", "walmart", "etsy")
QUOTE_CHARACTERS_MAX = 160
FOUND_MAX = 12
HEADING_WORDS_MAX = 6


class Agent(Protocol):
    """Whoever can analyse a document for a channel; the answer is JSON, more or less."""

    async def ask(self, channel: str, text: str) -> str:
        """The agent's answer about one channel."""
        ...


@dataclass(frozen=True)
class Rule:
    """What a line must say, and what follows from it."""

    pattern: re.Pattern[str]
    priority: Priority
    title: str
    what: str


def _rule(pattern: str, priority: Priority, title: str, what: str) -> Rule:
    return Rule(re.compile(pattern, re.IGNORECASE), priority, title, what)


RULES = (
    _rule(r"sem estoque|ruptura|out of stock|estoque\s*[:;|,\t]\s*0\b|stock\s*[:;|,\t]\s*0\b", "alta",
          "Repor estoque", "repor os itens esgotados e definir um estoque mínimo"),
    _rule(r"devolu[cç][aã]o|devolu[cç][oõ]es|return rate|returns?\b", "alta",
          "Reduzir devoluções", "corrigir descrição, medidas e embalagem dos itens mais devolvidos"),
    _rule(r"atras(o|ada|ado)|late shipment|late deliver", "alta",
          "Cumprir o prazo de envio", "ajustar o prazo de manuseio e a coleta"),
    _rule(r"sem fotos?|poucas fotos|diferente da foto|missing (photo|image)|only \d+ (photo|image)|low[- ]res", "alta",
          "Melhorar as fotos", "publicar ao menos seis fotos em alta resolução por anúncio"),
    _rule(r"t[ií]tulo (curto|incompleto|sem)|short title|title (is )?(too short|missing|lacks)", "média",
          "Completar os títulos", "incluir marca, modelo e medida no título"),
    _rule(r"convers[aã]o|conversion", "média",
          "Aumentar a conversão", "rever preço, frete e perguntas frequentes do anúncio"),
    _rule(r"concorren|competitor|pre[cç]o acima|priced? above", "média",
          "Rever o preço", "comparar com concorrentes e ajustar a margem"),
    _rule(r"avalia[cç](ão|ões)|nota m[eé]dia|\breviews\b|rating", "média",
          "Cuidar das avaliações", "responder às avaliações e tratar a causa das negativas"),
    _rule(r"campanha|an[uú]ncio patrocinado|\bacos\b|sponsored|ad spend|\bads\b", "média",
          "Ajustar as campanhas", "pausar termos sem venda e reforçar os que vendem"),
    _rule(r"frete|shipping cost", "baixa", "Negociar o frete", "testar frete grátis acima de um valor mínimo"),
    _rule(r"descri[cç][aã]o|description|bullet", "baixa", "Completar a descrição", "escrever a ficha técnica"),
)  # fmt: skip


class RulesAgent:
    """Works offline, on the real text."""

    async def ask(self, channel: str, text: str) -> str:
        """Opportunities for a channel, from the lines that name it, or that name no channel at all."""
        found = await asyncio.to_thread(lambda: list(_find(channel, text)))
        return json.dumps({"channel": channel, "opportunities": found}, ensure_ascii=False)


def _find(channel: str, text: str) -> Iterator[dict[str, str]]:
    seen: set[str] = set()
    for line in _lines_about(channel, text):
        for rule in RULES:
            if rule.title not in seen and rule.pattern.search(line):
                seen.add(rule.title)
                yield {
                    "channel": channel,
                    "priority": rule.priority,
                    "title": rule.title,
                    "what": rule.what,
                    "reason": f"o documento diz: “{line[:QUOTE_CHARACTERS_MAX]}”",
                }
        if len(seen) >= FOUND_MAX:
            return


def _lines_about(channel: str, text: str) -> list[str]:
    """Lines that name the channel, then those that name none; headings say nothing."""
    lines = [" ".join(line.split()) for line in text.splitlines()]
    lines = [line for line in lines if line and not _is_heading(line)]
    mine, nobodys = list[str](), list[str]()
    for line in lines:
        folded = line.lower()
        if channel.lower() in folded:
            mine.append(line)
        elif not any(name in folded for name in KNOWN):
            nobodys.append(line)
    return mine + nobodys


def _is_heading(line: str) -> bool:
    """Whether a line looks like a title or like the names above a table's columns: no number, and no sentence."""
    if any(letter.isdigit() for letter in line) or line.endswith((".", "!", "?")) or ": " in line:
        return False
    return line.startswith("#") or ";" in line or len(line.split()) <= HEADING_WORDS_MAX
