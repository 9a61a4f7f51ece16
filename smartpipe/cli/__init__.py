"""The command line `smartpipe`: each command parses its arguments, calls one public function and prints."""

from __future__ import annotations

import importlib.util
import sys


def main() -> int:
    """Run the command line with the arguments of the process; returns the exit code."""
    missing = [name for name in ("click", "rich") if importlib.util.find_spec(name) is None]
    if missing:
        needs = " and ".join(missing)
        print(f"smartpipe: the command line needs {needs}: install smartpipe with the extra cli", file=sys.stderr)
        return 1
    try:
        from smartpipe.cli.program import run
    except KeyboardInterrupt:
        print("smartpipe: interrupted", file=sys.stderr)
        return 130
    return run(sys.argv[1:])
