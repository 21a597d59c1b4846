"""The examples in the guides run as they are printed."""

import re
import sys
import types
from pathlib import Path

import pytest
import typer

from amends.cli.proving import prove

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


def test_the_report_in_the_guide_is_what_is_printed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = (GUIDES / "sagas.md").read_text("utf-8")
    (tmp_path / "shown_trip.py").write_text(re.findall(r"```python\n(.*?)```", text, re.DOTALL)[0])
    sys.path.insert(0, str(tmp_path))
    try:
        with pytest.raises(typer.Exit):
            prove(["shown_trip:trip"])
    finally:
        sys.path.remove(str(tmp_path))
        sys.modules.pop("shown_trip", None)
    (shown,) = re.findall(r"```\n(trip: every way.*?)```", text, re.DOTALL)
    assert capsys.readouterr().out.startswith(shown)


def test_every_link_in_the_documents_leads_somewhere() -> None:
    root = GUIDES.parent.parent
    for path in [*root.glob("*.md"), *(root / "docs").rglob("*.md")]:
        for link in re.findall(r"\]\(([^)#:]+)\)", path.read_text("utf-8")):
            assert (path.parent / link).exists(), f"{path.name}: {link}"
