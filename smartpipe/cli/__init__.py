"""The command line `smartpipe`: each command parses its arguments, calls one public function and prints."""

from __future__ import annotations

import importlib.util
import sys


def main() -> int:
    """Run the command line with the arguments of the process; returns the exit code."""
    missing = [name for name in ("click", "rich") if importlib.util.find_spec(name) is None]
    if missing:
        message = f"smartpipe: the command line needs {' and '.join(missing)}: pip install 'smartpipe[cli]'"
        print(message, file=sys.stderr)
        return 1
    try:
        from smartpipe.cli.program import run
    except KeyboardInterrupt:
        return 130
    return run(sys.argv[1:])
