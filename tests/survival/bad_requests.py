"""Bad requests, made up from a seed: bodies, forms, files, paths and headers that are wrong in some way."""

import json
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

SAMPLES = Path(__file__).parent.parent.parent / "marketplace" / "samples"
ID = "00000000-0000-7000-8000-000000000000"
UPLOAD = "/api/marketplace/analysis/upload"
WORDS = ("", "approve", "approval", "analysis", "null", "-1", "é" * 70, "\u202e", "a" * 300, "😀", "%00", "' OR 1=1 --")
NUMBERS = (0, -1, 2**63, 2**70, 1e308, 0.1)
SCALARS: list[Any] = [None, True, *NUMBERS, *WORDS, "\x00", ID, [], {}, [[]], {"": ""}]
TYPES = ("application/json", "application/json; charset=latin-1", "text/plain", "multipart/form-data", "x", "")
NAMES = ("a.txt", "a.pdf", "a.xlsx", "a.csv", "a", "", ".", "../../a.txt", "a.exe", "é.txt", "a" * 300 + ".pdf")
QUERIES = ("limit", "cursor", "definition", "status", "key", "keyPrefix", "waiting", "nonsense")
FIELDS = ("definition", "input", "key", "action", "approvedBy", "reason", "plan_id", "approved_by", "channels",
          "step", "item", "value", "outcome", "result", "undo", "dryRun", "keyPrefix")  # fmt: skip


ASKED: dict[str, dict[str, Any]] = {
    "cancel": {"reason": "why"},
    "hold": {"reason": "why"},
    "release": {"reason": "why"},
    "retry": {"reason": "why", "step": "tasks"},
    "correct": {"reason": "why", "step": "plan", "value": {}},
    "resolve": {"reason": "why", "step": "tasks", "outcome": "happened", "result": []},
    "{name}": {"value": {"by": "Bo"}},
}


@dataclass(frozen=True)
class BadRequest:
    """What is sent. `number` is its place in the row, with which it can be made again."""

    number: int
    method: str
    path: str
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict[str, str])


def bad_requests(
    seed: int, count: int, routes: Sequence[tuple[str, str]], known_ids: Sequence[str]
) -> list[BadRequest]:
    """The first requests of a seed: each route in its turn."""
    rng = random.Random(seed)
    return [_request(rng, number, *routes[number % len(routes)], known_ids) for number in range(count)]


def _request(rng: random.Random, number: int, method: str, path: str, known_ids: Sequence[str]) -> BadRequest:
    wanted = rng.choice([ID, ID.upper(), *known_ids, quote(rng.choice(WORDS) or "x", safe="")])
    full = path.replace("{id}", wanted).replace("{jobId}", wanted)
    full = full.replace("{name}", quote(rng.choice(("agreed", "load", *WORDS)) or "x", safe=""))
    if rng.random() < 0.5:
        full += "?" + "&".join(
            f"{rng.choice(QUERIES)}={quote(str(rng.choice(SCALARS)), safe='')}" for _ in range(rng.randint(1, 3))
        )
    headers = {"Idempotency-Key": rng.choice(["k", "k" * 256, "a b", "é"])} if rng.random() < 0.1 else {}
    if method == "GET":
        return BadRequest(number, method, full, b"", headers)
    is_form = path == UPLOAD if rng.random() < 0.95 else path != UPLOAD
    content_type, body = _form(rng) if is_form else _json(rng, path)
    return BadRequest(number, method, full, body, {**headers, "Content-Type": content_type})


def _json(rng: random.Random, path: str) -> tuple[str, bytes]:
    asked: dict[str, Any] = {"definition": "approval", "input": {"plan_id": ID, "approved_by": "a"}}
    if "{id}" in path:
        asked = dict(ASKED.get(path.rpartition("/")[2], {"action": "approve"}))
    for _ in range(rng.randint(1, 3)):
        asked[rng.choice(FIELDS)] = _value(rng, 3)
    body = json.dumps(_value(rng, 4) if rng.random() < 0.15 else asked).encode()
    content_type = TYPES[0] if rng.random() < 0.8 else rng.choice(TYPES)
    return content_type, _damaged(rng, body) if rng.random() < 0.4 else body


def _value(rng: random.Random, depth: int) -> Any:
    kind = rng.random()
    if depth and kind < 0.2:
        return {rng.choice((*FIELDS, *WORDS)): _value(rng, depth - 1) for _ in range(rng.randint(0, 4))}
    if depth and kind < 0.4:
        return [_value(rng, depth - 1) for _ in range(rng.randint(0, 4))]
    return rng.choice(SCALARS)


def _form(rng: random.Random) -> tuple[str, bytes]:
    parts = [_part(rng, rng.choice(("file", "file", "file", "filo", "")), _file(rng), rng.choice(NAMES))]
    parts += [_part(rng, "channels", rng.choice(WORDS).encode()) for _ in range(rng.choice((0, 1, 1, 1, 2, 25)))]
    rng.shuffle(parts)
    body = b"".join(b"--b\r\n" + part for part in parts) + b"--b--\r\n"
    boundary = "b" if rng.random() < 0.9 else rng.choice(("c", "", "b" * 80))
    return f"multipart/form-data; boundary={boundary}", _damaged(rng, body) if rng.random() < 0.3 else body


def _part(rng: random.Random, name: str, content: bytes, filename: str | None = None) -> bytes:
    head = f'Content-Disposition: form-data; name="{name}"'
    if filename is not None:
        head += f'; filename="{filename}"'
    if rng.random() < 0.1:
        head += rng.choice(("\r\nContent-Transfer-Encoding: base64", "\r\nContent-Encoding: gzip", "\r\nnonsense"))
    return head.encode() + b"\r\n\r\n" + content + b"\r\n"


def _file(rng: random.Random) -> bytes:
    if rng.random() < 0.3:
        return rng.randbytes(rng.choice((0, 1, 10, 5000)))
    sample = rng.choice(sorted(path for path in SAMPLES.iterdir() if path.suffix in (".pdf", ".xlsx", ".csv")))
    return _damaged(rng, sample.read_bytes())


def _damaged(rng: random.Random, whole: bytes) -> bytes:
    """Bytes changed, cut off, left out, or said twice."""
    found = bytearray(whole)
    ways: tuple[Callable[[int], None], ...] = (
        lambda at: found.__setitem__(slice(at, at + 1), rng.randbytes(1)),
        lambda at: found.__delitem__(slice(at, None)),
        lambda at: found.__delitem__(slice(at, at + rng.randint(1, 50))),
        lambda at: found.__setitem__(slice(at, at), found[at : at + rng.randint(1, 50)]),
    )
    for _ in range(rng.choice((1, 1, 3, 20))):
        rng.choice(ways)(rng.randrange(len(found) + 1))
    return bytes(found)
