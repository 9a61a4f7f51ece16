"""Build the wheel, install it into a clean environment and use it there, by every Python here or those that are named.

Run by `make wheel`: python tests/wheel.py [PYTHON ...]
"""

from __future__ import annotations

import glob
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SMOKE = """
import subprocess, sys, tempfile
import smartpipe
prefix = tempfile.mkdtemp() + "/pipe"
for format in (1, 2):
    with smartpipe.open(prefix, "w", compress=True, format=format) as pipe:
        pipe.write(b"page", {b"raw": b"<html>" * 1000, b"log": b"ok"})
    with smartpipe.open(prefix) as pipe:
        assert pipe[b"page"][b"raw"] == b"<html>" * 1000 and pipe.format == format
assert smartpipe.engines()["zlib"]["binding"] == "c", smartpipe.engines()
ended = subprocess.run([sys.executable, "-m", "smartpipe", "ls", prefix], capture_output=True, text=True)
assert ended.returncode == 1 and "extra cli" in ended.stderr, ended
print("the wheel works in", sys.version.split()[0], "of", smartpipe.__file__)
"""


def run(*command: str | Path, cwd: Path | None = None) -> None:
    subprocess.run([str(part) for part in command], check=True, cwd=cwd)


def pythons() -> list[str]:
    """Return one interpreter of every supported minor version that can be found, and of those without the lock."""
    found = {}
    for minor in ("10", "11", "12", "13", "14", "13t", "14t"):
        name = f"python3.{minor}"
        candidates = [
            shutil.which(name),
            *sorted(glob.glob(os.path.expanduser(f"~/.pyenv/versions/3.{minor[:2]}.*/bin/{name}"))),
        ]
        for candidate in filter(None, candidates):
            works = subprocess.run([candidate, "-c", "import ensurepip, ssl, sqlite3"], capture_output=True)
            if works.returncode == 0:
                found[minor] = candidate
                break
    return list(found.values())


def environment(python: str, folder: Path) -> Path:
    run(python, "-m", "venv", folder)
    return folder / "bin" / "python"


def try_wheel(python: str) -> None:
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        builder = environment(python, work / "builder")
        run(builder, "-m", "pip", "install", "--quiet", "build")
        # From a copy: what lies built in the checkout must not help.
        listed = subprocess.run(
            ["git", "ls-files", "-co", "--exclude-standard", "-z"], cwd=ROOT, check=True, capture_output=True
        )
        for file in filter(None, listed.stdout.decode().split("\0")):
            if (ROOT / file).is_file():
                (work / "source" / file).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(ROOT / file, work / "source" / file)
        with open(work / "build.log", "w") as log:
            ended = subprocess.run(
                [builder, "-m", "build", "--outdir", work / "dist", work / "source"], stdout=log, stderr=log
            )
        if ended.returncode != 0:
            sys.exit((work / "build.log").read_text()[-5000:])
        clean = environment(python, work / "clean")
        (wheel,) = (work / "dist").glob("*.whl")
        run(clean, "-m", "pip", "install", "--quiet", wheel)
        run(clean, "-c", SMOKE, cwd=work)
        others = ["duckdb", "hypothesis", "polars", "pytest", "pytest-timeout"]
        run(clean, "-m", "pip", "install", "--quiet", f"{wheel}[arrow,columns,fast,lz4,zstd]", *others)
        shutil.copytree(work / "source" / "tests", work / "elsewhere" / "tests")
        shutil.copytree(work / "source" / "docs", work / "elsewhere" / "docs")
        shutil.copy(work / "source" / "pyproject.toml", work / "elsewhere")
        tests = ["tests/container", "tests/reference", "tests/stores/test_artifacts.py"]
        run(clean, "-m", "pytest", "-q", *tests, cwd=work / "elsewhere")


if __name__ == "__main__":
    for interpreter in sys.argv[1:] or pythons():
        print(f"the wheel by {interpreter}", flush=True)
        try_wheel(interpreter)
