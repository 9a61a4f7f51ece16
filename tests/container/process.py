"""Other processes that use smartpipe."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import smartpipe

HOME = str(Path(smartpipe.__file__).parents[1])


def start(code: str, *arguments: object, stderr: bool = False, **environment: str) -> subprocess.Popen[str]:
    """Start a fresh interpreter on some code, whose sys.argv[1:] are the arguments; its output can be read."""
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE if stderr else None,
        text=True,
        env={**os.environ, "PYTHONPATH": HOME, **environment},
    )


def run(code: str, *arguments: object, **environment: str) -> str:
    """Run some code in a fresh interpreter and return what it prints; it must succeed."""
    process = start(code, *arguments, **environment)
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 0, f"exit code {process.returncode}"
    return output
