"""`python -m bench.peers [FOLDER]`: install the other systems into a folder of their own, by pip and npm."""

import shutil
import subprocess
import sys
from pathlib import Path

from bench.systems.packages import FOLDER

HERE = Path(__file__).parent
PIP = ("-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--require-hashes", "--no-deps")
NPM = ("ci", "--ignore-scripts", "--no-audit", "--no-fund")


def install(folder: Path) -> list[str]:
    """Install them; what was left out, and why.

    Raises:
        subprocess.CalledProcessError: pip or npm fails; what it said stands on standard error.
    """
    folder.mkdir(parents=True, exist_ok=True)
    python = folder.absolute() / "python"
    subprocess.run([sys.executable, "-m", "venv", str(python)], check=True)
    subprocess.run([str(python / "bin" / "python"), *PIP, "-r", str(HERE / "requirements.txt")], check=True)
    npm = shutil.which("npm")
    if npm is None:
        return ["npm is not installed: Restate and BullMQ are left out; install Node.js 20 or newer"]
    for name in ("package.json", "package-lock.json"):
        shutil.copy(HERE / name, folder)
    subprocess.run([npm, *NPM], check=True, cwd=folder)
    return []


if __name__ == "__main__":
    for line in install(Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER):
        sys.stderr.write(f"{line}\n")
