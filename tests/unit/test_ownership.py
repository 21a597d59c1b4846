"""A foreign package of one of our names is named, with where it stands and what to do."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from amends import ownership
from amends.ownership import PACKAGES, ShadowedError, check, found_places

HERE = Path(ownership.__file__).resolve().parent.parent


def test_our_own_packages_are_ours() -> None:
    check()
    assert set(found_places(PACKAGES).values()) == {HERE}


def test_a_shadowed_and_a_missing_package_are_both_named(tmp_path: Path) -> None:
    places: dict[str, Path | None] = {**dict.fromkeys(PACKAGES, HERE), "sagas": tmp_path, "bench": None}
    with pytest.raises(ShadowedError) as told:
        check(places)
    assert f"'sagas' is taken from {tmp_path}" in str(told.value)
    assert "'bench' is missing" in str(told.value)
    assert "remedy:" in str(told.value)


def test_a_command_in_a_folder_with_its_own_sagas_says_so(tmp_path: Path) -> None:
    """Run as a module, Python puts the present folder first."""
    (tmp_path / "sagas").mkdir()
    (tmp_path / "sagas" / "__init__.py").write_text("")
    told = subprocess.run(
        [sys.executable, "-m", "amends", "check", "marketplace"], cwd=tmp_path, capture_output=True, text=True,
        check=False, env={**os.environ, "PYTHONPATH": str(HERE)},
    )  # fmt: skip
    assert told.returncode == 2, told.stderr
    assert f"'sagas' is taken from {tmp_path}" in told.stderr
    assert "Traceback" not in told.stderr
