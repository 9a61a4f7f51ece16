"""A location that packs its values into a store of shards."""

from __future__ import annotations

import io
import os
import struct
import threading
import time
import zlib
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from hashlib import sha256
from typing import TYPE_CHECKING, Any, BinaryIO, cast

from smartpipe import errors
from smartpipe._platform import Descriptor, disk, open_reading
from smartpipe.container.block import Block
from smartpipe.locations.journal import Journal
from smartpipe.locations.location import PART, Content, Location, Value, key_bytes, source
from smartpipe.locations.locks import FileLocks
from smartpipe.shards.store import ShardStore

if TYPE_CHECKING:
    from typing_extensions import Buffer

LARGE = 16 << 20
"""Bytes of a value from which on it is a file beside the shards, unless the place is told otherwise."""
MOST = 4096
"""Values of a batch that are written with one call at most, while others wait."""
FOLDER = "large"
JOURNAL = "journal"
LOCKS = "locks"
GRACE = 60.0
"""Seconds that a file stays at least which no value names: somebody may be just writing it."""
# The pairs of a block that says where a large value is. A value in a shard is a single pair with an empty key.
FILE, SIZE, DIGEST, SUMS = b"file", b"size", b"sha256", b"crc32 of each MiB"


class Shards(Location):
    """Values packed into the shards of a `ShardStore`, which many processes read and write at the same time.

    `path` is the folder of the store, which is begun with the first value; `smartpipe store` shows it. Values of
    `large` bytes (16 MiB) and more are files in the folder `large` there, with a checksum for each MiB, so that a wrong
    byte is never given. With `max_size` values of more bytes are refused. `options` are those of `ShardStore`.

    >>> import tempfile
    >>> with Shards(tempfile.mkdtemp() + "/values", compress="zlib") as place:
    ...     place.write(b"a", b"value"), place.read_bytes(b"a"), place.read_bytes(b"b")
    (True, b'value', None)
    """

    def __init__(
        self, path: str | os.PathLike[str], *, large: int = LARGE, max_size: int | None = None, **options: Any
    ) -> None:
        if not 1 <= large <= options.get("max_block_size", large + 8) - 8:
            raise ValueError(f"large is {large}, not from 1 to 8 bytes less than max_block_size")
        self.path = os.path.abspath(os.fspath(path))
        self.large = large
        self.max_size = max_size
        self.options = options
        self.journal = Journal(os.path.join(self.path, JOURNAL))
        self._lock = threading.Lock()
        self._store: ShardStore | None = None
        if options.get("mode") == "r":
            self.abilities = frozenset({"contents", "labels"})

    def __str__(self) -> str:
        return self.path

    @property
    def configuration(self) -> dict[str, Any]:
        return {"path": self.path, "large": self.large, "max_size": self.max_size, **self.options}

    @property
    def store(self) -> ShardStore:
        """The store of the values, open."""
        store = self._store
        if store is not None:
            return store
        with self._lock:
            if self._store is None:
                self._store = ShardStore(self.path, **self.options)
            return self._store

    def close(self) -> None:
        with self._lock:
            store, self._store = self._store, None
        if store is not None:
            store.close()
        self.journal.close()

    def gc(self, *, grace: float = GRACE) -> list[str]:
        """Remove the files of large values that no value names and that are older than `grace` seconds, which killed
        processes left; returns their names. `store.compact()` and `store.gc()` do the same for shards."""
        folder = os.path.join(self.path, FOLDER)
        try:
            files = [entry.name for entry in os.scandir(folder) if entry.stat().st_mtime < time.time() - grace]
        except FileNotFoundError:
            return []
        named = {block[FILE] for _, block in self.store.items(select=[FILE]) if len(block) > 0}
        removed = [name for name in files if os.fsencode(name) not in named]
        for name in removed:
            disk.unlink(os.path.join(folder, name))
        return removed

    @contextmanager
    def _open(self, key: bytes) -> Iterator[BinaryIO | None]:
        block = self.store.get(key) if self._is_begun() else None
        if block is None:
            yield None
        elif (value := _value_of(block)) is not None:
            yield io.BytesIO(value)
        else:
            with self._opened(key, block) as stream:
                yield stream

    def read_bytes(self, key: Buffer) -> bytes | None:
        """Return the value of a key, None where there is none."""
        name = key_bytes(key)
        value = self._in_shard(name)
        return super().read_bytes(name) if value is ELSEWHERE else cast("bytes | None", value)

    def __contains__(self, key: Buffer) -> bool:
        name = key_bytes(key)
        value = self._in_shard(name)
        return super().__contains__(name) if value is ELSEWHERE else value is not None

    def _in_shard(self, key: bytes) -> object:
        """Return the value of a key, None where there is none, and ELSEWHERE where it lies in a file or is damaged,
        which is removed when it is read in a context."""
        try:
            block = self.store.get(key) if self._is_begun() else None
            if block is None:
                return None
            value = _value_of(block)
            return ELSEWHERE if value is None else value
        except errors.CorruptError:
            return ELSEWHERE

    def _is_still(self, key: bytes, mark: object) -> bool:
        try:
            block = self.store.get(key)
            if block is None:
                return False
            if isinstance(mark, io.BytesIO):
                return _value_of(block) == mark.getvalue()
            read = cast(_Checked, cast(io.BufferedReader, mark).raw)
            return _value_of(block) is None and self._file(block[FILE]) == read.path
        except errors.CorruptError:
            return True

    def _read_batch(self, keys: list[bytes]) -> Iterator[tuple[bytes, bytes | None]]:
        if not self._is_begun():
            yield from ((key, None) for key in keys)
            return
        damaged: list[errors.SmartPipeError] = []
        for key, block in self.store.get_many(keys, on_error=damaged.append):
            try:
                value = None if block is None else _value_of(block)
                if value is None and block is not None:
                    value = self.read_bytes(key)
            except errors.CorruptError:
                value = self.read_bytes(key)  # which removes what is damaged
            yield key, value
        for error in damaged:
            if not isinstance(error, errors.CorruptError) or error.block is None:
                raise error
            yield error.block, self.read_bytes(error.block)

    def _labels(self, key: bytes) -> frozenset[str]:
        return self.journal.get(key)[1]

    def _write(self, key: bytes, value: Value, labels: frozenset[str], overwrite: bool) -> bool | None:
        with errors.storage_errors(self.path), source(value) as stream:
            begun = _some(stream, self.large)
            if self.max_size is not None and len(begun) > self.max_size:
                return None
            if len(begun) < self.large:
                pairs = [(b"", begun)]
            else:
                pairs = self._write_file(begun, stream)
                if self.max_size is not None and int(pairs[1][1]) > self.max_size:
                    self._remove(pairs[0][1])
                    return None
        replaced = self._file_of(key) if overwrite else None
        try:
            self.store.put(key, pairs, overwrite=overwrite)
        except errors.CollisionError:
            # The same content is another block where it lies in another file, or was written with another `large`.
            if len(pairs) > 1:
                self._remove(pairs[0][1])
            there = self.store.get(key)
            if there is None or _digest(there) != (sha256(begun).digest() if len(pairs) == 1 else dict(pairs)[DIGEST]):
                raise
        if replaced is not None:
            self._remove(replaced)
        if overwrite:
            self.journal.forget(key)
        if labels:
            self.journal.note(key, labels)
        return True

    def _write_batch(self, items: Iterable[tuple[bytes, Value]], overwrite: bool) -> list[bytes]:
        if overwrite:
            return super()._write_batch(items, overwrite)  # files of large values may have to go
        refused: list[bytes] = []
        small: list[tuple[bytes, bytes]] = []
        size = 0
        most = self.large - 1 if self.max_size is None else min(self.large - 1, self.max_size)
        for key, value in items:
            if type(value) is bytes and len(value) <= most:
                small.append((key, value))
                size += len(value)
                if size >= PART or len(small) >= MOST:
                    self._write_small(small)
                    small, size = [], 0
            elif self._write(key, value, frozenset(), overwrite) is None:
                refused.append(key)
        self._write_small(small)
        return refused

    def _write_small(self, values: list[tuple[bytes, bytes]]) -> None:
        try:
            with errors.storage_errors(self.path):
                self.store.put_many(values)
        except errors.CollisionError:
            for key, value in values:
                self._write(key, value, frozenset(), False)  # finds out whether the content is another

    def _delete(self, key: bytes) -> bool:
        if not self._is_begun():
            return False
        file = self._file_of(key)
        try:
            self.store.delete(key)
        except errors.BlockNotFound:
            return False
        if file is not None:
            self._remove(file)
        self.journal.forget(key)
        return True

    def _file_of(self, key: bytes) -> bytes | None:
        """Return the name of the file of a large value; None for a value in a shard, and for a damaged one."""
        try:
            block = self.store.get(key)
            return None if block is None or len(block) == 1 else block.get(FILE)
        except errors.CorruptError:
            return None

    def _is_begun(self) -> bool:
        """Whether anything was ever written; reading begins nothing."""
        return self._store is not None or "write" not in self.abilities or os.path.isdir(self.path)

    def _contents(self, prefix: bytes) -> Iterator[Content]:
        for entry in self.store.entries(prefix) if self._is_begun() else ():
            size = (entry.raw or 0) - 8
            if entry.pairs != 1:
                block = self.store.get(entry.key)
                if block is None or SIZE not in block:
                    continue
                size = int(block[SIZE])
            used, labels = self.journal.get(entry.key)
            yield Content(entry.key, size, (entry.stamp or 0) / 1e9 if used is None else used, labels)

    def _touch(self, key: bytes) -> bool:
        if not self._is_begun() or key not in self.store:
            return False
        self.journal.note(key, frozenset())
        return True

    def _lock_numbers(self, start: int, length: int, exclusive: bool, wait: bool) -> AbstractContextManager[bool]:
        self.store  # noqa: B018  begins the folder
        return FileLocks(os.path.join(self.path, LOCKS)).hold(start, length, exclusive, wait)

    # Large values

    def _file(self, name: bytes) -> str:
        return os.path.join(self.path, FOLDER, os.fsdecode(name))

    def _remove(self, name: bytes) -> None:
        try:
            disk.unlink(self._file(name))
        except FileNotFoundError:
            pass  # somebody else did

    def _write_file(self, begun: bytes, stream: BinaryIO) -> list[tuple[bytes, bytes]]:
        """Write a large value to a file of its own; returns the pairs of the block that names it."""
        self.store  # noqa: B018  begins the folder
        os.makedirs(os.path.join(self.path, FOLDER), exist_ok=True)
        name = os.urandom(16).hex().encode()
        file = disk.open(self._file(name), os.O_WRONLY | os.O_CREAT | os.O_EXCL)
        digest, sums, size = sha256(), bytearray(), 0
        try:
            try:
                for part in _parts(begun, stream):
                    disk.write(file, part)
                    digest.update(part)
                    sums += struct.pack("<I", zlib.crc32(part))
                    size += len(part)
                    if self.max_size is not None and size > self.max_size:
                        break
                if self.options.get("durability", "close") != "none":
                    disk.sync(file)
            finally:
                file.close()
        except BaseException:
            self._remove(name)
            raise
        return [(FILE, name), (SIZE, b"%d" % size), (DIGEST, digest.digest()), (SUMS, bytes(sums))]

    @contextmanager
    def _opened(self, key: bytes, block: Block) -> Iterator[BinaryIO]:
        while True:
            if block.keys() != [FILE, SIZE, DIGEST, SUMS]:
                raise errors.FormatError("a block of pairs, and no value of a location", path=self.path, block=key)
            path = self._file(block[FILE])
            try:
                file = open_reading(path)
                break
            except FileNotFoundError:
                again = self.store.get(key)
                if again is None or _value_of(again) is not None or again.get(FILE) == block[FILE]:
                    raise errors.CorruptError("the file of a large value is missing", path=path, block=key) from None
                block = again  # it was overwritten meanwhile
        try:
            with io.BufferedReader(_Checked(file, path, key, int(block[SIZE]), block[SUMS])) as stream:
                yield stream
        finally:
            file.close()


ELSEWHERE = object()


class _Checked(io.RawIOBase):
    """A file whose parts are compared with their sums before they are given."""

    def __init__(self, file: Descriptor, path: str, key: bytes, size: int, sums: bytes) -> None:
        self.file = file
        self.path = path
        self.key = key
        self.size = size
        self.sums = sums
        self.at = 0
        self.number = -1
        self.part = b""

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self.at, os.SEEK_END: self.size}[whence]
        if start + offset < 0:
            raise ValueError(f"position {start + offset}, before the beginning")
        self.at = start + offset
        return self.at

    def readinto(self, buffer: Any) -> int:
        number, here = divmod(self.at, PART)
        if self.at >= self.size:
            return 0
        if number != self.number:
            self.part = self._checked(number)
            self.number = number
        part = self.part[here : here + len(buffer)]
        buffer[: len(part)] = part
        self.at += len(part)
        return len(part)

    def _checked(self, number: int) -> bytes:
        expected = min(PART, self.size - number * PART)
        part = self.file.read_at(number * PART, expected)
        if len(part) < expected or zlib.crc32(part) != struct.unpack_from("<I", self.sums, 4 * number)[0]:
            raise errors.CorruptError(
                f"{expected} bytes do not match their checksum", path=self.path, block=self.key, offset=number * PART
            )
        return part


def _value_of(block: Block) -> bytes | None:
    """Return the value that is in a block; None where it is in a file."""
    return block.get(b"") if len(block) == 1 else None


def _digest(block: Block) -> bytes | None:
    """The SHA-256 of the value of a block."""
    value = _value_of(block)
    return block.get(DIGEST) if value is None else sha256(value).digest()


def _some(stream: BinaryIO, size: int) -> bytes:
    """Return so many bytes of a stream, fewer at its end."""
    first = stream.read(size)
    if len(first) == size or not first:
        return bytes(first)
    parts = [first]
    left = size - len(first)
    while left > 0 and (part := stream.read(left)):
        parts.append(part)
        left -= len(part)
    return b"".join(parts)


def _parts(begun: bytes, stream: BinaryIO) -> Iterator[bytes]:
    """Yield what was read and the rest of a stream in parts of a MiB."""
    at = 0
    while len(begun) - at >= PART:
        yield begun[at : at + PART]
        at += PART
    rest = begun[at:]
    while part := rest + _some(stream, PART - len(rest)):
        yield part
        rest = b""
