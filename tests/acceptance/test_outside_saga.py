"""A saga from a file outside this repository, on `amends up --sagas`; and the examples, as users check them."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.acceptance.running import running

ROOT = Path(__file__).parent.parent.parent
EXAMPLES = ("trip", "checkout", "analysis", "onboarding", "approval")
CLIENTS = """

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

from amends import resource


class Ledger:
    def write(self, line: str) -> None:
        with Path("ledger.txt").open("a") as file:
            file.write(line + "\\n")


class RealHotels(HotelClient, Ledger):
    async def book(self, city: str, nights: int, key: str) -> str:
        self.write(f"book hotel {key}")
        return "H1"

    async def cancel(self, key: str) -> None:
        self.write(f"cancel hotel {key}")


class RealAirline(Airline, Ledger):
    async def book(self, traveller: str, city: str, key: str) -> str:
        self.write(f"book flight {key}")
        return "" if city == "Atlantis" else "F1"

    async def cancel(self, key: str) -> None:
        self.write(f"cancel flight {key}")


@asynccontextmanager
async def hotels() -> AsyncGenerator[HotelClient]:
    yield RealHotels()


@asynccontextmanager
async def airline() -> AsyncGenerator[Airline]:
    yield RealAirline()


resource(HotelClient, hotels)
resource(Airline, airline)
"""


@pytest.fixture
def module() -> str:
    return (ROOT / "docs" / "examples" / "trip.py").read_text("utf-8") + CLIENTS


async def test_the_trip_runs_and_is_given_back_from_a_file_of_the_users_own(module: str) -> None:
    import shutil
    import tempfile

    from tests.acceptance.running import Running

    folder = Path(tempfile.mkdtemp(prefix="amends-trip-"))
    folder.chmod(0o755)
    (folder / "mytrip.py").write_text(module, "utf-8")
    try:
        async with Running(folder, sagas="mytrip") as made:
            lima = {"traveller": "Ada", "city": "Lima", "nights": 2, "rental_car": True}
            status, started = await made.call("POST", "/api/sagas", json={"definition": "trip", "input": lima})
            assert status == 201
            done = await made.ended(started["sagaId"])
            assert done["status"] == "completed"
            assert done["result"] == {"hotel": "H1", "flight": "F1", "car": "AB-123"}

            told = made.amends("saga", "start", "trip", json.dumps(lima | {"city": "Atlantis"}), "--key", "a", "--json")
            saga_id = json.loads(told.stdout)["sagaId"]
            done = await made.ended(saga_id)
            assert done["status"] == "compensated"
            assert done["error"]["message"] == "no seats"
            ledger = (folder / "ledger.txt").read_text("utf-8").splitlines()
            assert f"cancel hotel {saga_id}/hotel" in ledger
            assert f"cancel flight {saga_id}/flight" not in ledger
            shown = made.amends("saga", "show", saga_id)
            assert "SagaTurnedBack flight [failure] Permanent: no seats" in shown.stdout
            made.check_invariants()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.mark.parametrize("name", EXAMPLES)
def test_every_example_passes_amends_check(name: str) -> None:
    command = [sys.executable, "-m", "amends", "check", name]
    told = subprocess.run(command, capture_output=True, text=True, cwd=ROOT / "docs" / "examples", check=False)
    assert told.returncode == 0, told.stderr
    assert re.search(rf"^{name}: \d+ steps, fingerprint [0-9a-f]{{6}}: good$", told.stdout, re.MULTILINE)


def test_every_example_is_typed_strictly() -> None:
    pytest.importorskip("mypy", reason="make check brings mypy and pyright")
    for checker in (["mypy", "--strict", "--no-incremental"], ["pyright"]):
        told = subprocess.run(
            [sys.executable, "-m", *checker, *(f"docs/examples/{name}.py" for name in EXAMPLES)],
            capture_output=True, text=True, cwd=ROOT, check=False,
        )  # fmt: skip
        assert told.returncode == 0, told.stdout


def test_a_saga_that_cannot_run_yet_is_refused_by_name() -> None:
    command = [sys.executable, "-m", "amends", "check", "analysis"]
    told = subprocess.run(command, capture_output=True, text=True, cwd=ROOT / "docs" / "examples", check=False)
    assert "this version does not run it yet: breaker 'agents'" in told.stdout


def test_a_wrong_definition_is_one_message_and_exit_code_1(tmp_path: Path) -> None:
    (tmp_path / "wrong.py").write_text(
        "from amends import Saga\nfrom pydantic import BaseModel\nclass In(BaseModel):\n    n: int\n"
        "wrong = Saga('wrong', input=In)\n@wrong.step('first')\nasync def first(request: In, nobody: str) -> None: ...\n"  # noqa: E501
    )
    command = [sys.executable, "-m", "amends", "check", "wrong"]
    told = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert told.returncode == 1
    assert "wrong.py:6 first: parameter 'nobody' of step 'first': nothing gives it" in told.stderr
    assert "remedy:" in told.stderr
    assert "Traceback" not in told.stderr


async def test_a_second_up_on_the_same_folder_is_refused() -> None:
    async with running() as made:
        second = subprocess.run(
            [sys.executable, "-m", "amends", "up", "--port", "0", "--data-dir", str(made.folder)],
            capture_output=True, text=True, check=False, timeout=30,
        )  # fmt: skip
        assert second.returncode == 1
        assert f"is in use by process {made.process.pid}" in second.stderr
