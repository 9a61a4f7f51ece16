from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture
def prefix(tmp_path: Path) -> str:
    """The prefix of a pipe that is not there yet, in a folder of its own."""
    return str(tmp_path / "pipe")
