"""`ArtifactStore.copy_to`: everything that is in one location written to another."""

from __future__ import annotations

import errno
import gzip
import os
import time
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from hashlib import sha256
from typing import TYPE_CHECKING, Any, BinaryIO, Literal, cast

from smartpipe import errors
from smartpipe.container.reader import handler_of
from smartpipe.locations.files import Files
from smartpipe.locations.location import PART, Location, Value, opened
from smartpipe.locations.shards import Shards
from smartpipe.stores.archive import Archive
from smartpipe.stores.keys import Key, parsed
from smartpipe.stores.locks import LAYERS, quiet
from smartpipe.stores.reports import ArtifactCopyReport
from smartpipe.stores.verify import is_current, marked

if TYPE_CHECKING:
    from concurrent.futures import ThreadPoolExecutor

LARGE = 1 << 20
"""Bytes of a value from which on it is copied in parts, and not with others."""
TOGETHER = 4096
TOGETHER_BYTES = 4 << 20
"""So many values, or values of so many bytes, are read and written with one call."""
SLOW = 100e-6
"""Seconds for a value from which on a source is read by several threads: a disk that has to look for each file, or a
network, answers many questions at once. What is in memory one thread reads faster."""
READERS = 8
COUNTED = {
    "artifact": "artifacts",
    "archive": "archives",
    "record": "records",
    "combined": "combined",
    None: "others",
}

OnError = Literal["raise", "skip"] | Callable[[errors.SmartPipeError], object]
Handler = Callable[[errors.SmartPipeError], object]
Progress = Callable[[int, int], object]


def copy_artifacts(
    source: Location, target: Location, overwrite: bool, on_error: OnError, progress: Progress | None
) -> ArtifactCopyReport:
    """Copy what is in a location to another, as `ArtifactStore.copy_to` says."""
    handler = handler_of(on_error)
    source.require("contents")
    for ability in ("write", "delete", "contents"):
        target.require(ability)
    outer, inner = _folder(source), _folder(target)
    if source == target or (outer is not None and inner is not None and os.path.commonpath([inner, outer]) == outer):
        raise ValueError(f"{target!r} lies in {source!r}, of which it is to be a copy")
    copy = _Copy(source, target, overwrite, handler, progress)
    copy.total = _look_over(source, progress is not None)
    copy.run()
    return ArtifactCopyReport(**copy.counts, gone=copy.gone, left=copy.left)


def _folder(place: Location) -> str | None:
    if isinstance(place, Files):
        return os.path.realpath(place.root)
    return os.path.realpath(place.path) if isinstance(place, Shards) else None


def _look_over(source: Location, counts: bool) -> int:
    """Return the bytes of all values where they are counted; warn of what can be no value."""
    if not isinstance(source, Files):
        return sum(content.size for content in source.contents()) if counts else 0
    size = 0
    try:
        for path, is_file in source.walk(source.root):
            if not is_file:
                errors.warn(f"{path}: neither a file nor a folder, left out")
            elif counts:
                size += _size(path)
    except OSError:
        pass  # the listing will tell
    return size


def _size(path: str) -> int:
    try:
        return os.lstat(path).st_size
    except FileNotFoundError:
        return 0  # removed meanwhile


class _Copy:
    def __init__(
        self, source: Location, target: Location, overwrite: bool, handler: Handler | None, progress: Progress | None
    ) -> None:
        self.source = source
        self.target = target
        self.overwrite = overwrite
        self.handler = handler
        self.progress = progress
        self.done = self.total = 0
        self.held = ExitStack()
        self.pool: ThreadPoolExecutor | None = None
        self.counts = dict.fromkeys((*COUNTED.values(), "bytes", "failed"), 0)
        self.gone: list[str] = []
        self.left: list[str] = []
        self.sizes: dict[bytes, int] = {}
        """Of what was listed and is not dealt with yet."""
        self.kinds: dict[bytes, str | None] = {}
        """Of the same keys what they stand for."""
        self.labels: dict[bytes, frozenset[str]] = {}
        self.there: set[bytes] = set()
        """Artifacts that are in the target."""
        self.failed: set[bytes] = set()
        self.missed: set[bytes] = set()
        """What was listed, and was not found then."""

    def run(self) -> None:
        # Keys as of dictionaries: a key may be listed twice where it is written meanwhile.
        waiting: dict[str, dict[bytes, None]] = {"archive": {}, "record": {}, "combined": {}}
        flows: set[str] = set()
        with self.held:
            with self._no_collecting():
                self._copy_values(self._listed(waiting, flows))
                self._copy_archives(waiting["archive"])
                self._copy_values(waiting["record"])
                self._look_again()
            self._copy_combined(waiting["combined"], flows)

    def _no_collecting(self) -> AbstractContextManager[Any]:
        # Artifacts are there before their archives: nobody may take them for what nobody needs. This is the lock of
        # somebody who writes to all layers of all flows.
        if "lock" not in self.target.abilities:
            return nullcontext()
        return self.target.lock(0, LAYERS * LAYERS, exclusive=False)

    def _listed(self, waiting: dict[str, dict[bytes, None]], flows: set[str]) -> Iterator[bytes]:
        """Yield the keys of artifacts and of what is nothing of a store; the others wait."""
        for content in self.source.contents():
            key, kind = content.key, parsed(content.key)
            self.sizes[key] = content.size
            self.kinds[key] = None if kind is None else kind.kind
            if content.labels:
                self.labels[key] = content.labels
            if kind is not None:
                flows.add(kind.flow)
            if kind is None or kind.kind == "artifact":
                yield key
            else:
                waiting[kind.kind][key] = None

    # Values

    def _copy_values(self, keys: Iterable[bytes]) -> None:
        for batch in self._together(keys):
            if len(batch) > 1:
                self._write(self._read(batch))
            elif not self._stream(batch[0]):
                self.missed.add(batch[0])
            self._is_done(batch)

    def _together(self, keys: Iterable[bytes]) -> Iterator[list[bytes]]:
        """Yield keys in lists of some; that of a large value is alone."""
        batch: list[bytes] = []
        size = 0
        for key in keys:
            if self.sizes[key] >= LARGE:
                yield [key]
                continue
            batch.append(key)
            size += self.sizes[key]
            if size >= TOGETHER_BYTES or len(batch) >= TOGETHER:
                yield batch
                batch, size = [], 0
        if batch:
            yield batch

    def _read(self, keys: list[bytes]) -> dict[bytes, bytes]:
        """Return the values of those keys that have one."""
        found: dict[bytes, bytes | None] = {}
        try:
            for part in self._read_parts(keys):
                found.update(part)
        except (errors.SmartPipeError, OSError):
            # One can not be read: the others are asked for one by one.
            for key in keys:
                if key not in found:
                    try:
                        with errors.storage_errors(str(self.source)):
                            found[key] = self.source.read_bytes(key)
                    except errors.SmartPipeError as error:
                        self._fail_to_read(key, error)
        self.missed.update(key for key, value in found.items() if value is None)
        return {key: value for key, value in found.items() if value is not None}

    def _read_parts(self, keys: list[bytes]) -> Iterator[Iterable[tuple[bytes, bytes | None]]]:
        if self.pool is not None:
            size = -(-len(keys) // READERS)
            parts = [keys[at : at + size] for at in range(0, len(keys), size)]
            yield from self.pool.map(lambda part: list(self.source.read_batch(part)), parts)
            return
        began = time.monotonic()
        yield self.source.read_batch(keys)
        if time.monotonic() - began > SLOW * len(keys):
            from concurrent.futures import ThreadPoolExecutor

            self.pool = self.held.enter_context(ThreadPoolExecutor(READERS))

    def _write(self, values: dict[bytes, bytes]) -> None:
        batch = [(key, value) for key, value in values.items() if key not in self.labels]
        try:
            if not self.target.write_batch(batch):
                for key, value in batch:
                    self._count(key, len(value))
                values = {key: value for key, value in values.items() if key in self.labels}
        except errors.SmartPipeError:
            pass  # it is found out one by one which of them that was
        for key, value in values.items():
            error = self._attempt(key, value, False)
            if self._gives_way(key, error):
                error = self._attempt(key, value, True)
            self._settle(key, len(value), error)

    def _stream(self, key: bytes) -> bool:
        """Copy a value in parts; False where there is none."""
        for overwrite in (False, True):
            with self._opened(key) as stream:
                if stream is None:
                    return key in self.failed
                error = self._attempt(key, stream, overwrite)
            if stream.error is not None:
                self._fail_to_read(key, stream.error)
                return True
            if overwrite or not self._gives_way(key, error):
                self._settle(key, stream.size, error)
                break
        return True

    @contextmanager
    def _opened(self, key: bytes) -> Iterator[_Watched | None]:
        """Give a value of the source; None where there is none, or it can not be opened, which is told then."""
        stream: _Watched | None = None
        with ExitStack() as held:
            try:
                with errors.storage_errors(str(self.source)):
                    value = held.enter_context(self.source.read(key))
                    if value is not None:
                        stream = _Watched(held.enter_context(opened(value)), str(self.source))
            except errors.SmartPipeError as error:
                if not (isinstance(error, errors.StorageError) and error.errno == errno.ENOENT):
                    self._fail_to_read(key, error)  # else it was deleted meanwhile
            yield stream

    def _attempt(self, key: bytes, value: bytes | _Watched, overwrite: bool) -> errors.SmartPipeError | None:
        """Write a value; returns what went wrong. Raised inside the reading of a source it would tell that this one is
        damaged."""
        try:
            taken = self.target.write(key, cast(Value, value), self.labels.get(key), overwrite)
        except errors.SmartPipeError as error:
            return error
        if taken is None:
            reason = "the location refuses a value of this size"
            return errors.BlockTooLargeError(reason, path=str(self.target), block=key)
        return None

    def _gives_way(self, key: bytes, error: errors.SmartPipeError | None) -> bool:
        """Whether what the target has under a key is to be overwritten."""
        if isinstance(error, errors.CollisionError):
            if _kind(key) != "artifact":
                return self.overwrite
            return not _is_whole(self.target, key) and (self.overwrite or _is_whole(self.source, key))
        return isinstance(error, errors.CorruptError) and error.block is not None

    def _settle(self, key: bytes, size: int, error: errors.SmartPipeError | None) -> None:
        if isinstance(error, errors.CollisionError) and _kind(key) == "artifact" and _is_whole(self.target, key):
            # The same value, packed in another way. What is there gets the labels.
            if key in self.labels:
                with self.target.read(key) as value:
                    error = None if value is None else self._attempt(key, value, False)
            else:
                error = None
        if error is None:
            self._count(key, size)
        elif error.errno in errors.OF_ONE_NAME if isinstance(error, errors.StorageError) else error.block is not None:
            self._fail(key, error)
        else:
            raise error  # the next one would have it too

    # Archives

    def _copy_archives(self, keys: Iterable[bytes]) -> None:
        for batch in self._together(keys):
            values = {}
            for key, data in self._read(batch).items():
                complete = self._completed(key, data)
                if complete is not None:
                    values[key] = complete
            changed = [key for key, there in self.target.read_batch(values) if there != values[key]]
            for combined in {_combined(key) for key in changed}:
                self.target.delete(combined)
            self._write(values)
            self._is_done(batch)

    def _completed(self, key: bytes, data: bytes) -> bytes | None:
        """See to it that the target has all artifacts that an archive names; returns the archive, None where it can not
        be copied."""
        while True:
            lost = self._lost(key, data)
            if lost is None:
                return data
            again = self._read([key]).get(key)
            if again is None:
                return None
            if again == data:
                reason = f"it names {lost.decode()}, which is gone: the archive is left out"
                self._fail(key, errors.ArtifactNotFound(reason, path=str(self.source), block=key))
                return None
            data = again  # it was written anew, and what it had named was removed

    def _lost(self, key: bytes, data: bytes) -> bytes | None:
        """Return an artifact that an archive names and that neither place has, None where there is no such."""
        flow = _parsed(key).flow
        try:
            artifacts = Archive.from_bytes(data).artifacts
        except ValueError:
            return None  # it names nothing
        for artifact in artifacts:
            named = artifact.key(flow)
            if named not in self.there and named not in self.failed:
                self._stream(named)  # it was written after the listing
            if named not in self.there:
                with self.target.read(named) as value:
                    if value is None:
                        return named
                self.there.add(named)
        return None

    def _look_again(self) -> None:
        """Tell what was removed meanwhile from what can not be read."""
        missed, self.missed = self.missed, set()
        if not missed:
            return
        listed = {content.key: content.size for content in self.source.contents() if content.key in missed}
        self.gone = sorted(key.decode(errors="backslashreplace") for key in missed - listed.keys())
        self.sizes.update(listed)
        archives = [key for key in listed if _kind(key) == "archive"]
        self._copy_values(listed.keys() - archives)
        self._copy_archives(archives)
        for key in sorted(self.missed):
            reason = "it is listed, and can not be read: it is damaged, or its key is none of this place"
            self._fail(key, errors.CorruptError(reason, path=str(self.source), block=key))

    # Combined archives

    def _copy_combined(self, keys: Iterable[bytes], flows: set[str]) -> None:
        """Copy combined archives that fit the archives in the target, and remove those there that do not."""
        found = set(keys)
        for flow in flows:
            cache = self.target.contents(f"{flow}/.cache/".encode())
            found.update(content.key for content in cache if _kind(content.key) == "combined")
        for key in sorted(found):
            kind = _parsed(key)
            with quiet(self.target, kind.place) as is_quiet:
                data = self._read([key]).get(key) if key in self.sizes else None
                there = self.target.read_bytes(key)
                if data is not None and is_quiet and self._fits(kind, data):
                    same = there == data and key not in self.labels
                    self._settle(key, len(data), None if same else self._attempt(key, data, True))
                else:
                    if data is not None:
                        self.left.append(key.decode())
                    if there is not None and not self._fits(kind, there):
                        self.target.delete(key)
            self._is_done([key])

    def _fits(self, kind: Key, data: bytes) -> bool:
        """Whether a combined archive is what it would be made as in the target."""
        combined = marked(data)
        # One without a mark is of another program, and never read in place of the archives.
        return combined is None or is_current(self.target, kind, combined)

    # What was done

    def _count(self, key: bytes, size: int) -> None:
        kind = self.kinds[key] if key in self.kinds else _kind(key)
        self.counts[COUNTED[kind]] += 1
        self.counts["bytes"] += size
        if kind == "artifact":
            self.there.add(key)

    def _fail(self, key: bytes, error: errors.SmartPipeError) -> None:
        if self.handler is None:
            raise error
        self.failed.add(key)
        self.counts["failed"] += 1
        self.handler(error)

    def _fail_to_read(self, key: bytes, error: errors.SmartPipeError) -> None:
        if not isinstance(error, errors.StorageError) and error.block is None:
            raise error  # the source itself can not be read
        self._fail(key, error)

    def _is_done(self, keys: list[bytes]) -> None:
        for key in keys:
            self.done += self.sizes.pop(key, 0)
            self.kinds.pop(key, None)
        if self.progress is not None:
            self.progress(self.done, max(self.done, self.total))


class _Watched:
    """A stream of the source that keeps the error of its reading, to tell it from those of the target."""

    def __init__(self, stream: BinaryIO, path: str) -> None:
        self.stream = stream
        self.path = path
        self.size = 0
        self.error: errors.SmartPipeError | None = None

    def read(self, size: int = -1) -> bytes:
        try:
            with errors.storage_errors(self.path):
                part = self.stream.read(size)
        except errors.SmartPipeError as error:
            self.error = error
            raise
        self.size += len(part)
        return part


def _kind(key: bytes) -> str | None:
    kind = parsed(key)
    return None if kind is None else kind.kind


def _parsed(key: bytes) -> Key:
    kind = parsed(key)
    assert kind is not None
    return kind


def _combined(key: bytes) -> bytes:
    """The key of the combined archive that an archive is a part of."""
    kind = _parsed(key)
    return kind.place.combined(kind.name)


def _is_whole(place: Location, key: bytes) -> bool:
    """Whether the copy of an artifact in a place matches its digest."""
    digest = sha256()
    with place.read(key) as value:
        if value is None:
            return False
        try:
            with opened(value) as stream, gzip.GzipFile(fileobj=stream) as members:
                while part := members.read(PART):
                    digest.update(part)
        except (errors.SmartPipeError, OSError, EOFError, zlib.error):
            return False
    return digest.hexdigest() == _parsed(key).name
