"""Python processes: Scrapy's reactor starts once in a process, so each crawl has its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import smartpipe


@dataclass
class Ran:
    """How a process ended: exit code, what it wrote."""

    code: int
    out: str
    err: str


class Process:
    """A Python process in a folder of its own; what is left of it is killed at the end of the test."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        self._popen = subprocess.Popen(
            [sys.executable, *arguments],
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": os.path.dirname(os.path.dirname(smartpipe.__file__))},
        )

    def send(self, number: signal.Signals) -> None:
        self._popen.send_signal(number)

    def wait(self) -> Ran:
        try:
            out, err = self._popen.communicate(timeout=60)
        finally:
            self.kill()
        return Ran(self._popen.returncode, out, err)

    def kill(self) -> None:
        if self._popen.poll() is None:
            self._popen.kill()
            self._popen.communicate()
