"""The blocks that the tests and the small measurements of this folder use."""

from pathlib import Path
from typing import Any

import pytest

from bench.corpus import Block, artifact_blocks, page_block, python_values, small_blocks

# Other people's files.
collect_ignore = ["results"]

PAGES = Path(__file__).parents[1] / "docs"


@pytest.fixture(scope="session")
def corpora() -> dict[str, list[Block]]:
    """A few blocks of each kind. Here the pages are this project's own documentation: no network is needed for it."""
    pages = [page_block(PAGES, path) for path in sorted(PAGES.glob("*.md"))]
    return {"pages": pages, "small": small_blocks(2000), "artifacts": artifact_blocks(pages, 300)}


@pytest.fixture(scope="session")
def python(corpora: dict[str, list[Block]]) -> list[dict[str, Any]]:
    """A few Python values."""
    return python_values(corpora["pages"], 300)
