"""The locations that stores are tested on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from smartpipe.locations import Files, Location, Memory, Shards

Make = Callable[[Path], Location]
MAKE: dict[str, Make] = {
    "memory": lambda folder: Memory(str(folder)),
    "files": lambda folder: Files(folder / "tree"),
    "shards": lambda folder: Shards(folder / "shards"),
}


@pytest.fixture(params=MAKE)
def location(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Location]:
    with MAKE[request.param](tmp_path) as place:
        yield place


@pytest.fixture(params=["files", "shards"])
def shared(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Location]:
    """A location that several processes use."""
    with MAKE[request.param](tmp_path) as place:
        yield place


def contents(place: Location) -> dict[bytes, bytes | None]:
    """Everything in a location."""
    return {content.key: place.read_bytes(content.key) for content in place.contents()}
