"""Nobody loads what it does not need: each import costs every process that starts."""

import subprocess
import sys

import pytest

DRIVERS = {"asyncpg", "redis", "hiredis", "aiohttp", "sqlalchemy"}
HEAVY = DRIVERS | {"pydantic", "asyncio"}
SAGAS_OF_OTHERS = {"sagas.definition", "amends.application", "marketplace"}


@pytest.mark.parametrize(
    ("module", "without"),
    [
        ("amends", HEAVY | {"typer", "orjson"}),
        ("amends.cli.app", HEAVY | {"urllib.request", "amends.settings", "sagas.events"}),
        ("amends.wiring", SAGAS_OF_OTHERS | {"aiohttp", "amends.api.app", "orchestrator.service"}),
        ("amends.working", {"aiohttp", "prometheus_client", "amends.api.app", "amends.views", "reconciler.cycle"}),
        ("amends.notifying", {"aiohttp", "prometheus_client", "amends.api.app", "consumers.worker"}),
    ],
)
def test_an_import_loads_no_more_than_is_needed(module: str, without: set[str]) -> None:
    told = subprocess.run(
        [sys.executable, "-c", f"import {module}, sys; print(*sys.modules)"], capture_output=True, text=True, check=True
    )
    assert without & set(told.stdout.split()) == set()
