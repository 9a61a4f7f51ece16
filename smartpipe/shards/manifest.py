"""The manifest of a store: which files are its shards. Numbered files that never change. FORMAT.md, «Stores».

A change is the next number, committed by creating its file only if it is absent. Whoever finds the number taken looks
at what is there now, decides anew, and tries the next: this is right without any lock.
"""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from smartpipe import errors
from smartpipe._platform import disk, open_reading
from smartpipe.container.paths import EXTENSIONS

NEW = os.O_RDWR | os.O_CREAT | os.O_EXCL
MOST = 256 << 20  # bytes of a manifest; one of 65,534 shards has 10 MB


@dataclass(frozen=True)
class Listed:
    """A shard that a manifest names."""

    id: int
    """The file id, which its records are bound to."""
    data: str
    """The name of the data file in the folder of the store."""
    codec: int
    counter: int
    """Which of the counters tells that it grew, while it is open; 0 where it is full and never changes."""


@dataclass(frozen=True)
class Retired:
    """Files that no manifest from number `since` on lists."""

    data: str
    since: int


@dataclass(frozen=True)
class Manifest:
    number: int
    store: str
    shards: dict[int, Listed]
    """By id, in the order in which they became part of the store."""
    retired: dict[int, Retired]
    """By id: shards that readers of older manifests may still have open."""

    def with_shards(self, *added: Listed, without: tuple[int, ...] = ()) -> Manifest:
        """Return what follows this one when shards are added, or take the place of those with their id, and others
        are retired."""
        number = self.number + 1
        shards = {id: listed for id, listed in self.shards.items() if id not in without}
        shards.update({listed.id: listed for listed in added})
        gone = {id: Retired(self.shards[id].data, number) for id in without}
        return replace(self, number=number, shards=shards, retired={**self.retired, **gone})

    def without_retired(self, ids: list[int]) -> Manifest:
        """Return what follows this one when the files of retired shards are gone."""
        retired = {id: shard for id, shard in self.retired.items() if id not in ids}
        return replace(self, number=self.number + 1, retired=retired)

    def free_counter(self) -> int:
        """Return the lowest counter that no open shard has. Number 0 is that of the manifests."""
        taken = {listed.counter for listed in self.shards.values()}
        return next(counter for counter in range(1, len(taken) + 2) if counter not in taken)

    def encode(self) -> bytes:
        content = {
            "number": self.number,
            "store": self.store,
            "shards": [
                {"id": f"{one.id:016x}", "data": one.data, "codec": one.codec, "counter": one.counter}
                for one in self.shards.values()
            ],
            "retired": [{"id": f"{id:016x}", "data": one.data, "since": one.since} for id, one in self.retired.items()],
        }
        return sealed(content)

    @staticmethod
    def decode(data: bytes, path: str) -> Manifest:
        content = unsealed(data, path)
        try:
            return Manifest(
                int(content["number"]),
                str(content["store"]),
                {
                    int(one["id"], 16): Listed(int(one["id"], 16), name_of(one), one["codec"], one["counter"])
                    for one in content["shards"]
                },
                {int(one["id"], 16): Retired(name_of(one), one["since"]) for one in content["retired"]},
            )
        except (KeyError, TypeError, ValueError) as error:
            raise errors.FormatError(
                f"this is no manifest of a version that is known here: {error}", path=path
            ) from None


def name_of(shard: dict[str, Any]) -> str:
    """Return the name of the data file of a shard; ValueError where it could be another file, perhaps elsewhere."""
    name = shard["data"]
    if name not in [f"{int(shard['id'], 16):016x}{extension}" for extension in EXTENSIONS]:
        raise ValueError(f"{name!r:.80} is not the name of shard {shard['id']}")
    return str(name)


def sealed(content: dict[str, object]) -> bytes:
    """Return JSON on one line, and its crc on the next."""
    line = json.dumps(content).encode()
    return line + b"\n%08x\n" % zlib.crc32(line)


def unsealed(data: bytes, path: str) -> dict[str, Any]:
    """Return what `sealed` was given; CorruptError where these are other bytes."""
    line, _, crc = data.partition(b"\n")
    if crc != b"%08x\n" % zlib.crc32(line):
        raise errors.CorruptError(f"the {len(data)} bytes do not match their checksum", path=path)
    try:
        content = json.loads(line)
    except ValueError as error:
        raise errors.FormatError(f"this is not JSON: {error}", path=path) from None
    if not isinstance(content, dict):
        raise errors.FormatError("this is not an object of JSON", path=path)
    return content


def publish(path: str, data: bytes) -> bool:
    """Write a file aside, let it reach the disk, and give it its name; False where another has the name, or this one
    was taken for a leftover, as the process was stopped for long."""
    folder, name = os.path.split(path)
    aside = os.path.join(folder, f".{name}.{os.getpid()}.{os.urandom(6).hex()}")
    file = disk.open(aside, NEW)
    try:
        try:
            disk.write(file, data)
            disk.sync(file)
        finally:
            file.close()
        disk.link(aside, path)
    except (FileExistsError, FileNotFoundError):
        return False
    finally:
        try:
            disk.unlink(aside)
        except FileNotFoundError:
            pass  # it was taken for a leftover
    return True


def read_whole(path: str, most: int) -> bytes:
    """Return what a file has; CorruptError where that is more than anybody wrote."""
    file = open_reading(path)
    try:
        size = file.size()
        if size > most:
            raise errors.CorruptError(f"{size} bytes, more than {most}", path=path)
        return file.read_at(0, size)
    finally:
        file.close()


class Manifests:
    """The manifests in a folder."""

    def __init__(self, folder: str, store: str | None) -> None:
        """`store` None: of whichever store they are."""
        self.folder = folder
        self.store = store

    def path(self, number: int) -> str:
        return os.path.join(self.folder, str(number))

    def numbers(self) -> list[int]:
        """Return the numbers that are there, in order."""
        try:
            names = os.listdir(self.folder)
        except FileNotFoundError:
            return []  # in a copy, or where the store is just begun
        return sorted(int(name) for name in names if name.isascii() and name.isdigit())

    def last(self) -> Manifest:
        """Return the one with the highest number. PipeNotFoundError where there is none, CorruptError where it is
        damaged."""
        while True:
            numbers = self.numbers()
            if not numbers:
                raise errors.PipeNotFoundError("the store has no manifest", path=self.folder)
            try:
                return self.read(numbers[-1])
            except FileNotFoundError:
                continue  # others were faster, and have a higher one

    def read(self, number: int) -> Manifest:
        """Return a manifest. FileNotFoundError where it is not there, CorruptError where it is damaged, FormatError
        where it is of another version, or of another store."""
        path = self.path(number)
        manifest = Manifest.decode(read_whole(path, MOST), path)
        if self.store not in (manifest.store, None):
            raise errors.FormatError(f"this is a manifest of the store {manifest.store}, not {self.store}", path=path)
        if manifest.number != number:
            raise errors.CorruptError(f"this is manifest {manifest.number}, not {number}", path=path)
        return manifest

    def last_good(self, numbers: list[int]) -> Manifest | None:
        """Return the highest of these that is whole; None where none is."""
        for number in reversed(numbers):
            try:
                return self.read(number)
            except (FileNotFoundError, errors.CorruptError):
                continue
        return None

    def exists(self, number: int) -> bool:
        return os.path.exists(self.path(number))

    def create(self, manifest: Manifest) -> bool:
        """Write a manifest under its number, and let it reach the disk; False where that, or a higher one, was taken,
        and whether it counts has to be looked at."""
        if not publish(self.path(manifest.number), manifest.encode()):
            return False
        if self.numbers()[-1] > manifest.number:
            # Others went on from here, or a process that was stopped for long took a number that was removed since.
            return False
        disk.sync_folder(self.folder)
        return True

    def commit(self, last: Manifest, change: Callable[[Manifest], Manifest | None]) -> Manifest:
        """Let `change` say what follows the last manifest until that is committed, or it says None: nothing, perhaps as
        it has happened already. Returns the manifest that counts then."""
        while True:
            following = change(last)
            if following is None:
                return last
            if self.create(following):
                return following
            last = self.last()
