"""The power is lost at any point of what a store does: what a sync had acknowledged is there, and nothing is wrong.

The disk is that of tests/durability/disk.py. Of each key there may be the value that was synced last, or one that was
put, or a delete, behind that.
"""

from __future__ import annotations

import sys
from collections import defaultdict
from functools import lru_cache
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

from container.pipes import warned
from durability.disk import Recording, after_loss
from torture import harness
from torture.harness import MEMORY, Lost, Wrong

import smartpipe
from smartpipe import ShardStore

from .test_adoption import STEPS, WAYS, Blocks, Way, make_old, play

NAME = "power loss while a store is begun, written, compacted, collected and closed"
UNIT = "states"
QUICK = 400
LONG = 100_000


class Story:
    """The script, written once, and from which call on each value may and has to be there."""

    def __init__(self, way: Way, folder: Path) -> None:
        self.way = way
        self.recording = Recording(folder)
        self.values: dict[bytes, list[tuple[int, bytes | None]]] = defaultdict(lambda: [(0, None)])
        """Of each key what it was given, and where that began."""
        self.synced: dict[bytes, list[tuple[int, int]]] = defaultdict(lambda: [(0, 0)])
        """Of each key from where on which of these values had reached the disk."""
        with self.recording:
            store = ShardStore(folder / "store", **way.options)
            for kind, blocks in STEPS:
                for key, value in blocks.items():
                    self.values[key].append((len(self.recording), None if kind == "delete" else value))
                store = play(store, (kind, blocks))
                if kind == "sync" or (kind in ("close", "again") and way.durability != "none"):
                    self.sync(list(self.values))
                elif way.durability == "block":
                    self.sync(list(blocks))

    def sync(self, keys: list[bytes]) -> None:
        for key in keys:
            self.synced[key].append((len(self.recording), len(self.values[key]) - 1))

    def allowed(self, key: bytes, cut: int) -> list[bytes | None]:
        """What a key may have after so many calls, what was synced of it first."""
        first = max(number for point, number in self.synced[key] if point <= cut)
        return [value for begin, value in self.values[key][first:] if begin <= cut]


@lru_cache
def stories() -> list[Story]:
    found = []
    for way in WAYS:
        with TemporaryDirectory(dir=MEMORY) as folder:
            found.append(Story(way, Path(folder)))
    return found


def setup() -> None:
    stories()


def case(number: int, random: Random, folder: Path) -> None:
    story = stories()[number % len(stories())]
    cut = random.randint(1, len(story.recording))
    (folder / "store" / "manifest").mkdir(parents=True)
    for name, data in after_loss(story.recording, cut, random).items():
        (folder / name).write_bytes(data)
    try:
        examine(story, cut, folder / "store")
    except Exception as error:
        where = f"lost after call {cut} of {len(story.recording)}, {str(story.recording.calls[cut - 1])[:80]}"
        error.args = (f"{story.way}, {where}: {error.args[0] if error.args else ''}", *error.args[1:])
        raise


def examine(story: Story, cut: int, path: Path) -> None:
    """A reader, and then a writer, find what may be there; a writer goes on, compacts and collects."""
    needed = any(None not in story.allowed(key, cut) for key in list(story.values))
    try:
        check(story, cut, path, "r")
    except (smartpipe.PipeNotFoundError, smartpipe.FormatError):
        if needed:
            raise
    if not (path / "store").exists() and not needed:
        return  # it was not there yet
    check(story, cut, path, "a")
    with warned(), ShardStore(path, **story.way.options) as store:
        store.put_bytes(b"behind", b"the loss")
        assert store.get_bytes(b"behind") == b"the loss"
    found = check(story, cut, path, "r", behind=True)
    with warned(), ShardStore(path, **story.way.options) as store:
        store.compact()
        make_old(str(path))
        store.gc(grace=0)
    if check(story, cut, path, "r", behind=True) != found:
        raise Lost("to compact changes what is there")


def check(story: Story, cut: int, path: Path, mode: str, behind: bool = False) -> Blocks:
    broken: list[Exception] = []
    with warned(), ShardStore(path, mode=mode) as store:  # type: ignore[arg-type]
        found = {key: block[b""] for key, block in store.items(on_error=broken.append)}
        listed = set(store)
    if behind and found.get(b"behind") != b"the loss":
        raise Lost("what was put behind the loss")
    damaged = {error.block for error in broken if isinstance(error, smartpipe.SmartPipeError)}
    for key in {*list(story.values), *found} - {b"behind"}:
        allowed = story.allowed(key, cut)
        if key in damaged:
            # Of an index that had reached the disk, and data that had not.
            if len(allowed) == 1:
                raise Lost(f"{key!r}, which was synced, is damaged")
        elif found.get(key) not in allowed:
            kind = Lost if key not in found else Wrong
            raise kind(f"{key!r} is {(found.get(key) or b'nothing')[:20]!r}, of {[v and v[:20] for v in allowed]}")
    if listed - damaged != set(found):
        raise Wrong(f"listed are {sorted(listed)}, found {sorted(found)}")
    return found


def test_the_power_may_fail_anywhere() -> None:
    harness.quick(sys.modules[__name__])
