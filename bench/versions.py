"""Which versions were measured."""

import json
import platform
import subprocess
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from bench.systems import SYSTEMS
from bench.systems.bullmq import node

BESIDE = {"@restatedev/restate-server": ("restate-sdk", "granian"), "dbos": ("uvloop",), "bullmq": ("ioredis",)}


def versions(peers: Path, systems: Sequence[str]) -> dict[str, str]:
    """The versions of Amends, of Python and of the packages of these systems, by their names."""
    try:
        own = version("amends")
    except PackageNotFoundError:  # run from its sources
        own = "of this folder"
    found = {"amends": own, "Python": platform.python_version()}
    for name in systems:
        package = SYSTEMS[name].about.package
        for one in (package, *BESIDE.get(package, ())) if package is not None else ():
            found[one] = _version(peers, one)
    if "bullmq" in found:
        found["Node.js"] = _of_node()
    return found


def _of_node() -> str:
    told = subprocess.run([node(), "--version"], capture_output=True, text=True, check=True)
    return told.stdout.strip().removeprefix("v")


def _version(peers: Path, package: str) -> str:
    manifest = peers / "node_modules" / package / "package.json"
    if manifest.exists():
        return str(json.loads(manifest.read_text("utf-8"))["version"])
    folder = package.replace("-", "_")
    found = [path.name for path in peers.glob(f"python/lib/python*/site-packages/{folder}-*.dist-info")]
    return found[0].removeprefix(f"{folder}-").removesuffix(".dist-info") if found else "unknown"
