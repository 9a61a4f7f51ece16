"""Artifacts on shards of which a byte is damaged: what is told, and that writing again mends it."""

from __future__ import annotations

import shutil
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest

from smartpipe import ShardStore, errors
from smartpipe.locations import Shards
from smartpipe.stores import ArtifactStore

RUN = {"flow": "Crawl", "execution": "run-1", "layer": "Parse"}
VALUES = {0: ["a" * 400, "b"], 1: ["c" * 3000]}


def written(path: Path) -> None:
    with ArtifactStore(Shards(path)) as store:
        write(store)
        assert list(store.read(**RUN, name="x")) == [*VALUES[0], *VALUES[1]]


def write(store: ArtifactStore) -> None:
    store.write_record(**RUN, splits=2)
    for index, values in VALUES.items():
        store.write(**RUN, index=index, name="x", values=values)


def places(path: Path) -> Iterator[tuple[bytes, Path, int]]:
    """Some bytes of the record of each key: of its header, its key, its values."""
    with ShardStore(path, "r") as store:
        entries = list(store.entries())
    for data in path.glob("*.dat"):
        content = data.read_bytes()
        for entry in entries:
            for at in range(entry.offset, entry.offset + entry.stored, max(entry.stored // 5, 1)):
                if content.find(entry.key, entry.offset, entry.offset + entry.stored) >= 0:
                    yield entry.key, data, at


def flip(path: Path, at: int) -> None:
    with open(path, "r+b") as file:
        file.seek(at)
        byte = file.read(1)
        file.seek(at)
        file.write(bytes([byte[0] ^ 0x10]))


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", errors.PipeWarning)
        yield


def test_a_damaged_byte_is_told_and_what_is_written_again_is_whole(tmp_path: Path) -> None:
    place = tmp_path / "shards"
    written(place)
    found = set()
    for number, (key, data, at) in enumerate(places(place)):
        copy = tmp_path / f"{number}"
        shutil.copytree(place, copy)
        flip(copy / data.name, at)
        with ArtifactStore(Shards(copy, mode="r")) as store:
            found |= {key} & {problem.key.encode() for problem in store.verify().problems}
            store.stats()
        with ArtifactStore(Shards(copy)) as store:
            write(store)
            assert list(store.read(**RUN, name="x")) == [*VALUES[0], *VALUES[1]], (key, at)
            assert store.verify().ok, (key, at)
        shutil.rmtree(copy)
    assert {key.split(b"/")[1] for key in found} >= {b"artifacts", b"archives"}
