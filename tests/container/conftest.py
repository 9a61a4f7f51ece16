from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

MEMORY = "/dev/shm"


@pytest.fixture
def prefix(tmp_path: Path) -> str:
    """The prefix of a pipe that is not there yet, in a folder of its own."""
    return str(tmp_path / "pipe")


@pytest.fixture
def scratch(tmp_path: Path) -> Iterator[str]:
    """The same in memory where the system has such a folder, for tests that open and sync a pipe thousands of times."""
    if not os.access(MEMORY, os.W_OK):
        yield str(tmp_path / "pipe")
        return
    folder = tempfile.mkdtemp(prefix="smartpipe-", dir=MEMORY)
    yield folder + "/pipe"
    shutil.rmtree(folder)
