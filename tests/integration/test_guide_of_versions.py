"""What the guide on changing sagas shows on a terminal is what the commands say."""

import re
import sys
from pathlib import Path

import pytest

from amends.application import load_applications
from amends.clock import LoopClock
from eventstore.postgres import PostgresStore
from orchestrator.engine import Engine
from sagas.inputs import Outcome, Send, Start
from tests.integration.test_operating import amends

GUIDE = (Path(__file__).parent.parent.parent / "docs" / "guides" / "versions.md").read_text("utf-8")
IDS = [f"0193f0aa-0000-7000-8000-00000000000{number}" for number in (1, 2)]


def shown(command: str) -> str:
    """What the guide shows of a command, without the fingerprints."""
    found = re.search(rf"```\n\$ {re.escape(command)}\n(.*?)```", GUIDE, re.DOTALL)
    assert found is not None, command
    return plain(found.group(1))


def plain(text: str) -> str:
    return re.sub(r"\b[0-9a-f]{6}\b", "VERSION", text)


async def test_the_terminal_of_the_guide(
    database_url: str, redis_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, new = re.findall(r"```python\n(.*?)```", GUIDE, re.DOTALL)
    (tmp_path / "shop_of_before.py").write_text(old)
    (tmp_path / "shop.py").write_text(new)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    (application,) = load_applications(["shop_of_before"])
    manifest = application.sagas[0].seal().manifest
    store = await PostgresStore.open(database_url)
    await store.put_manifest(manifest)
    engine = Engine(store, LoopClock())
    for saga_id in IDS:
        await engine.apply([Start(saga_id, manifest, {"city": "Lima", "express": True})])
        await engine.apply([Outcome(saga_id, 2, 1, "stock", None, "step", "succeeded", "a shelf")])
    await engine.apply([Send(IDS[1], "approved", {"by": "Bo"}, "r1")])

    check = await amends(database_url, redis_url, tmp_path, "check", "shop", "--against", database_url)
    assert (check.returncode, plain(check.stdout)) == (1, shown("amends check shop --against $DATABASE_URL")), (
        check.stderr
    )
    command = ["migrate-sagas", "shipping", "--to", "shop", "--reason", "parcels are insured"]
    look = await amends(database_url, redis_url, tmp_path, *command)
    expected = shown('amends migrate-sagas shipping --to shop --reason "parcels are insured"')
    assert (look.returncode, plain(look.stdout)) == (1, expected), look.stderr
    move = await amends(database_url, redis_url, tmp_path, *command, "--yes")
    assert (move.returncode, "1 moved, 1 stay" in move.stdout) == (1, True), move.stderr
    assert await store.manifests() == {manifest.fingerprint: manifest}, "what is started anew is what workers know"

    await engine.apply([Send(IDS[0], "approved", {"by": "Bo"}, "r1")])
    head = (await store.heads(IDS[:1]))[IDS[0]]
    assert head.step("insured").status == "scheduled", "the condition was answered with the move"
    await store.close()
