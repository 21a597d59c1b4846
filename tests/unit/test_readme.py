"""What the README says in code is true."""

import re
import sys
import types
from pathlib import Path

README = Path(__file__).parent.parent.parent / "README.md"


def test_the_story_of_the_readme_runs_in_25_lines() -> None:
    story, check = re.findall(r"```python\n(.*?)```", README.read_text("utf-8"), re.DOTALL)
    assert len([line for line in story.splitlines() if line.strip()]) <= 25
    module = types.ModuleType("shop")
    sys.modules["shop"] = module
    try:
        exec(compile(story + check, "shop.py", "exec"), vars(module))
    finally:
        del sys.modules["shop"]
