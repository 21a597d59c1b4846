"""Moving open sagas to another version of their definition: looked at first, then moved by an event each."""

from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass

from amends.stored_values import see
from amends.unfinished import unfinished
from orchestrator.engine import Engine
from sagas.decide import decide, not_ours
from sagas.inputs import Answer, Migrate
from sagas.manifest import Manifest
from sagas.ports import Store
from sagas.seal import Sealed
from sagas.state import State


@dataclass(frozen=True, slots=True)
class Ask:
    """Who wants sagas moved, and why; `origin` is how the fingerprint of the version begins that they go by now."""

    reason: str
    request_id: str
    actor: str | None = None
    origin: str | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became, or would become, of one saga: it moves, or stays for a reason."""

    saga_id: str
    fingerprint: str
    status: str
    moves: bool
    why: str | None = None


async def move_open(
    store: Store, engine: Engine, types: Sealed, ask: Ask, *, act: bool
) -> AsyncGenerator[list[Verdict]]:
    """All sagas of a definition that may still run and do not go by this version yet, by pages; only `act` moves them.

    Each is moved as it was seen: one that has moved on meanwhile stays, and may be asked for again.

    Raises:
        StoreUnavailable: the database is away; what was moved by then is moved.
    """
    target = types.manifest
    async for page in unfinished(store):
        heads = [
            head
            for head in page.heads
            if head.definition == target.name
            and head.fingerprint != target.fingerprint
            and head.fingerprint.startswith(ask.origin or "")
        ]
        if heads:
            yield await _moved(store, engine, target, types, ask, heads, act=act)


async def _moved(
    store: Store, engine: Engine, target: Manifest, types: Sealed, ask: Ask, heads: Sequence[State], *, act: bool
) -> list[Verdict]:
    words = await _words(store, engine, target, types, ask, heads)
    ready = [word for word in words.values() if isinstance(word, Migrate)]
    if act:
        answers = await engine.apply(ready)
    else:
        manifests, now = await engine.manifests(heads), await engine.now()
        by_id = {head.saga_id: head for head in heads}
        answers = [_decided(manifests, by_id[word.saga_id], word, now) for word in ready]
    told = {answer.saga_id: answer for answer in answers}
    return [_verdict(head, words[head.saga_id], told.get(head.saga_id)) for head in heads]


def _decided(manifests: dict[str, Manifest], head: State, word: Migrate, now: float) -> Answer:
    manifest = manifests.get(head.fingerprint)
    return not_ours(head) if manifest is None else decide(manifest, head, word, now).answer


async def _words(
    store: Store, engine: Engine, target: Manifest, types: Sealed, ask: Ask, heads: Sequence[State]
) -> dict[str, Migrate | str]:
    """The inputs that move these sagas, or why the values of one do not fit."""
    manifests = await engine.manifests(heads)
    known = [(manifests[head.fingerprint], head) for head in heads if head.fingerprint in manifests]
    seen = await see(store, known, target, types)
    found: dict[str, Migrate | str] = {}
    for head in heads:
        values = seen.get(head.saga_id)
        if values is not None and values.unfit:
            found[head.saga_id] = "; ".join(values.unfit)
            continue
        found[head.saga_id] = Migrate(
            head.saga_id, ask.reason, ask.request_id, actor=ask.actor, expected=head.version, manifest=target,
            facts=values.facts if values is not None else {},
        )  # fmt: skip
    return found


def _verdict(head: State, word: Migrate | str, answer: Answer | None) -> Verdict:
    if answer is None:
        return Verdict(head.saga_id, head.fingerprint, head.status, moves=False, why=str(word))
    moves = answer.code == "accepted"
    return Verdict(head.saga_id, head.fingerprint, head.status, moves, None if moves else answer.detail or answer.code)
