"""What the guide on retention shows on a terminal is what the commands say."""

import re
import subprocess
from pathlib import Path

from bench.seeding import seed
from eventstore.postgres import PostgresStore
from tests.integration.test_operating import amends

GUIDE = (Path(__file__).parent.parent.parent / "docs" / "guides" / "retention.md").read_text("utf-8")


def shown(command: str) -> str:
    found = re.search(rf"```\n\$ {re.escape(command)}\n(.*?)```", GUIDE, re.DOTALL)
    assert found is not None, command
    return plain(found.group(1))


def plain(text: str) -> str:
    return re.sub(r"\([0-9,]+ bytes\)", "(SIZE)", re.sub(r"\S+\.jsonl\.gz", "FILE", text))


async def test_the_terminal_of_the_guide(
    database_url: str, store: PostgresStore, redis_url: str, tmp_path: Path
) -> None:
    await seed(database_url, finished=40, waiting_sagas=5, age_days=59)
    done = await amends(database_url, redis_url, tmp_path, "archive", "--older-than", "30d")
    assert (done.returncode, plain(done.stdout)) == (0, shown("amends archive --older-than 30d")), done.stderr
    command = 'zcat .amends/archive/*/*.gz | grep -c \'"status":"compensated"\''
    counted = subprocess.run(["sh", "-c", command], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert counted.stdout == shown(command)
    again = await amends(database_url, redis_url, tmp_path, "archive", "--older-than", "soon")
    assert (again.returncode, "no number of days" in again.stderr) == (2, True)
    nobody = await amends(database_url, redis_url, tmp_path, "archive", "--json")
    assert (nobody.returncode, '"sagas": 0' in nobody.stdout) == (0, True), nobody.stderr
