"""What the quickstart says works, word for word, on a real `amends up`."""

import ast
import inspect
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import types
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from tests.acceptance.running import Running

ROOT = Path(__file__).parent.parent.parent
QUICKSTART = ROOT / "docs" / "quickstart.md"


def blocks(path: Path, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", path.read_text("utf-8"), re.DOTALL)


async def run_block(block: str, space: dict[str, Any]) -> None:
    """Run code that awaits at its top level."""
    code = compile(block, "quickstart.md", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    await types.FunctionType(code, space)() if code.co_flags & inspect.CO_COROUTINE else exec(code, space)


async def test_every_command_and_every_line_of_the_quickstart_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    folder = Path(tempfile.mkdtemp(prefix="amends-quickstart-"))
    folder.chmod(0o755)
    story = blocks(ROOT / "README.md", "python")[0]
    (folder / "shop.py").write_text(story, "utf-8")
    shop = types.ModuleType("shop")
    monkeypatch.setitem(sys.modules, "shop", shop)
    exec(compile(story, "shop.py", "exec"), vars(shop))
    try:
        async with Running(folder, sagas="shop") as made:
            said = [run_line(line, folder) for line in "".join(blocks(QUICKSTART, "sh")).splitlines()]
            assert said[0].startswith("order: 2 steps")
            assert [line.split()[1] for line in said[-1].splitlines()[1:]] == ["order", "order"]
            monkeypatch.setenv("AMENDS_URL", made.runtime["url"])
            monkeypatch.setenv("AMENDS_API_KEY", made.runtime["api_key"])
            connection = await asyncpg.connect(made.runtime["database_url"])
            await connection.execute("CREATE TABLE orders (item text)")
            space = {**vars(shop), "connection": connection}
            for block in blocks(QUICKSTART, "python"):
                await run_block(block, space)
            assert await connection.fetchval("SELECT count(*) FROM orders") == 1
            await connection.close()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def run_line(line: str, folder: Path) -> str:
    """What a command prints; `amends up` runs already."""
    arguments = shlex.split(line, comments=True)
    assert arguments[0] == "amends"
    if arguments[1] == "up":
        return ""
    told = subprocess.run(
        [sys.executable, "-m", *arguments], capture_output=True, text=True, cwd=folder, check=False, timeout=60,
        env={**os.environ, "AMENDS_DATA_DIR": str(folder)},
    )  # fmt: skip
    assert told.returncode == 0, told.stderr
    return told.stdout
