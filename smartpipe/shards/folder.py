"""The folder of a store: what lies there besides the shards, and how it begins. FORMAT.md, «Stores»."""

from __future__ import annotations

import os
import re

from smartpipe import errors
from smartpipe._platform import Descriptor, disk, is_range_held, locked_range, unlocked_range
from smartpipe.container.headers import CODECS
from smartpipe.container.paths import EXTENSIONS
from smartpipe.shards.manifest import Manifest, Manifests, publish, read_whole, sealed, unsealed

VERSION = 1
STORE = "store"
NAME = re.compile(r"[0-9a-f]{16}")
"""What the files of a shard are called, before the extension."""
BEGINNING = b'{"smartpipe store"'
MANIFESTS = "manifest"
KEYS = "keys.lock"
LEASES = "leases"
COUNTERS = "counters"
COUNTERS_SIZE = 64 << 10
"""Bytes of the counters: of 8,191 shards that are written at a time, and number 0."""
PROBE = (1 << 63) - 2
"""A byte of `leases` that stands for no manifest."""
MOST = 1 << 20


class Folder:
    """The folder of a store, absolute; its id, the key of the hash of block keys, and the codec that it began with."""

    def __init__(self, path: str, id: str, hash_key: bytes, codec: int) -> None:
        self.path = path
        self.id = id
        self.hash_key = hash_key
        self.codec = codec
        self.manifests = Manifests(os.path.join(path, MANIFESTS), id)

    def file(self, name: str) -> str:
        return os.path.join(self.path, name)

    def data_files(self) -> list[str]:
        """Return the names of all files that may be shards."""
        return sorted(name for name in os.listdir(self.path) if os.path.splitext(name)[1] in EXTENSIONS)

    def complete(self) -> None:
        """Make what is not there yet, because whoever began the store was killed, or is just at it."""
        if not os.path.isdir(self.manifests.folder):
            try:
                disk.make_folder(self.manifests.folder)
            except FileExistsError:
                pass
        for name in (KEYS, LEASES, COUNTERS):
            file = disk.open(self.file(name), os.O_RDWR | os.O_CREAT)
            if name == COUNTERS and file.size() < COUNTERS_SIZE:
                disk.truncate(file, COUNTERS_SIZE)
            file.close()
        disk.sync_folder(self.path)
        if not self.manifests.numbers() and not self.data_files():
            self.manifests.create(Manifest(1, self.id, {}, {}))


def open_folder(path: str | os.PathLike[str], writes: bool, codec: int = 0) -> Folder:
    """Find the store in a folder; with `writes` one is begun where nothing is, with a codec.

    PipeNotFoundError where there is nothing, FormatError where something else is, or a store of a later version.
    """
    shown = os.fsdecode(path)
    if not shown:
        raise ValueError("the path of a store is empty")
    place = os.path.abspath(shown)
    if os.path.exists(place) and not os.path.isdir(place):
        raise errors.FormatError("this is a file; a store is a folder", path=shown)
    if not os.path.exists(os.path.join(place, STORE)):
        if os.path.isdir(place) and not is_begun(place):
            manifests = Manifests(os.path.join(place, MANIFESTS), None)
            manifest = manifests.last_good(manifests.numbers())
            if manifest is None:
                raise errors.FormatError("this folder holds other things, and no store", path=shown)
            return restored(place, manifest, writes, codec)
        if not writes:
            raise errors.PipeNotFoundError("there is no store", path=shown)
        begin(place, os.urandom(8).hex(), codec)
    return opened(place, writes)


def opened(place: str, writes: bool) -> Folder:
    folder = read_folder(place)
    if writes:
        folder.complete()
        probe(folder)
    return folder


def is_begun(place: str) -> bool:
    """Whether nothing is in a folder but what `begin` was killed at, or another process has just begun a store."""
    names = os.listdir(place)
    return STORE in names or all(name.startswith(f".{STORE}.") for name in names)


def restored(place: str, manifest: Manifest, writes: bool, codec: int) -> Folder:
    """Open a store whose own file is missing. The key of the hash only has to be the same for all processes that have
    the store open, so that another is as good where there are none. The codec is that of the latest shard."""
    path = os.path.join(place, STORE)
    codec = next((listed.codec for listed in reversed(manifest.shards.values())), codec)
    if not writes:
        errors.warn(f"{path}: the file is missing; the store is read without it")
        return Folder(place, manifest.store, os.urandom(16), codec)
    leases = disk.open(os.path.join(place, LEASES), os.O_RDWR | os.O_CREAT)
    try:
        if is_range_held(leases, 0, PROBE):
            raise errors.LockedError(
                "the file is missing, and can be made anew when no process has the store open any more", path=path
            )
    finally:
        leases.close()
    begin(place, manifest.store, codec)
    errors.warn(f"{path}: the file was missing, and is made anew")
    return opened(place, writes)


def begin(place: str, id: str, codec: int) -> None:
    """Begin a store. Of several processes that do so at the same time the first one's counts."""
    try:
        disk.make_folder(place)
        disk.sync_folder(os.path.dirname(place))
    except FileExistsError:
        pass
    content = {
        "smartpipe store": VERSION,
        "id": id,
        "hash_key": os.urandom(16).hex(),
        "codec": CODECS[codec],
    }
    publish(os.path.join(place, STORE), sealed(content))
    disk.sync_folder(place)


def read_folder(place: str) -> Folder:
    path = os.path.join(place, STORE)
    data = read_whole(path, MOST)
    try:
        content = unsealed(data, path)
    except errors.CorruptError as error:
        if data.startswith(BEGINNING):
            raise errors.CorruptError(
                f"{error.args[0]}; put a copy of this file back, or remove it, and it is made anew", path=path
            ) from None
        raise errors.FormatError("this is not the file of a store", path=path) from None
    version = content.get("smartpipe store")
    if version != VERSION:
        raise errors.FormatError(
            f"a store of version {version!r:.40}; this smartpipe knows version {VERSION}", path=path
        )
    try:
        id, hash_key = str(content["id"]), bytes.fromhex(str(content["hash_key"]))
        codec = {name: number for number, name in CODECS.items()}[content["codec"]]
    except (KeyError, TypeError, ValueError) as error:
        raise errors.FormatError(f"this does not describe a store: {error}", path=path) from None
    if len(hash_key) != 16:
        raise errors.FormatError(f"the key of the hash has {len(hash_key)} bytes, not 16", path=path)
    return Folder(place, id, hash_key, codec)


def probe(folder: Folder) -> None:
    """Warn where the file system has no locks: two writers would not see each other."""
    path = folder.file(LEASES)
    first, second = disk.open(path, os.O_RDWR), disk.open(path, os.O_RDWR)
    try:
        works = _excludes(first, second)
    finally:
        first.close()
        second.close()
    if not works:
        errors.warn(
            f"{folder.path}: this file system has no locks that work: see to it that a single process writes to the "
            "store, and none compacts or collects while others read"
        )


def _excludes(first: Descriptor, second: Descriptor) -> bool:
    """Whether a lock of one open file is seen by another."""
    if not locked_range(first, PROBE, 1, False):
        return True  # another process is just trying the same
    works = is_range_held(second, PROBE, 1)
    unlocked_range(first, PROBE, 1)
    return works
