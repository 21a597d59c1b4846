"""The examples in the guides run as they are printed."""

import re
import sys
import types
from pathlib import Path

import pytest

GUIDES = Path(__file__).parent.parent.parent / "docs" / "guides"


@pytest.mark.parametrize("path", sorted(GUIDES.glob("*.md")), ids=lambda path: path.stem)
def test_the_examples_of_a_guide_run(path: Path) -> None:
    blocks = re.findall(r"```python\n(.*?)```", path.read_text("utf-8"), re.DOTALL)
    module = types.ModuleType("guide")
    sys.modules["guide"] = module
    try:
        exec(compile("\n".join(blocks), path.name, "exec"), vars(module))
    finally:
        del sys.modules["guide"]


def test_every_link_in_the_documents_leads_somewhere() -> None:
    root = GUIDES.parent.parent
    for path in [*root.glob("*.md"), *(root / "docs").rglob("*.md")]:
        for link in re.findall(r"\]\(([^)#:]+)\)", path.read_text("utf-8")):
            assert (path.parent / link).exists(), f"{path.name}: {link}"
