"""`ArtifactStore`: Python values by what they are, and archives that name them. docs/artifacts.md."""

from __future__ import annotations

import os
import struct
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from hashlib import sha256
from itertools import chain, islice
from typing import TYPE_CHECKING, Any, TypeVar
from zlib import crc32

from smartpipe import errors
from smartpipe.locations.location import Location, check_deleted, opened, whole
from smartpipe.stores.accessor import Accessor
from smartpipe.stores.archive import Archive, Artifact, Record
from smartpipe.stores.copying import OnError, copy_artifacts
from smartpipe.stores.keys import Key, Layer, artifacts_of, checked, parsed
from smartpipe.stores.locks import alone, quiet, writing
from smartpipe.stores.packing import packed, unpacked
from smartpipe.stores.reports import ArtifactCopyReport, ArtifactGcReport, ArtifactStats, ArtifactVerifyReport
from smartpipe.stores.serializers import Serializer, Serializers
from smartpipe.stores.stats import count_artifacts
from smartpipe.stores.verify import READ_AT_ONCE, read_in_batches, verify_artifacts

if TYPE_CHECKING:
    from concurrent.futures import Future

GRACE = 3600.0
"""Seconds that an artifact stays at least which no archive names: a writer that takes no locks may be about to."""
BATCH = 1 << 20
"""Bytes of serialized values that are packed and then written together."""
HELD = 512
"""Bytes that a value takes in memory besides."""
AHEAD = 2
"""Batches that are being packed while another is written."""
MAX_ARTIFACT_SIZE = 1 << 30
"""Bytes of a serialized value at most, unless the store is told otherwise."""
LEVEL = 2
"""Of gzip, as in docs/engines.md: values of 2 KB are packed in 60 % of the time of level 6, to 2.6 % more bytes."""

Parsed = TypeVar("Parsed", Archive, Record)
_REQUIRED: Any = object()


class ArtifactStore:
    """Values by what they are, and archives that name them by flow, execution, layer, index and name, on a location.

    A value is serialized once and stored under the SHA-256 of its bytes, so that equal values are stored once in a
    flow, however many executions write them. What is there is a datastore as docs/artifacts.md describes it, the same
    on every location: on `Files` it is a tree that other programs read.

    Values are pickled, unless another serializer is registered for exactly their type: `serializers` has one by type,
    or by the full name of a type, as an instance or by its name ("pickle", "json", "bytes", "numpy", "arrow"). With
    `allow_pickle` False nothing that is read can run code, and what is not registered is taken as JSON, bytes, arrays
    of numpy or tables of Arrow, or not at all. `level`, from 1 to 9, is that of gzip. A serialized value of more than
    `max_artifact_size` bytes (1 GiB) is a BlockTooLargeError, so that a few bytes that inflate to any number do no
    harm.

    Many processes and threads may write, read, delete and collect at the same time.

    >>> import smartpipe.locations, smartpipe.stores
    >>> store = smartpipe.stores.ArtifactStore(smartpipe.locations.Memory())
    >>> for index in range(2):
    ...     run = {"flow": "crawl", "execution": "1", "layer": "parse", "index": index}
    ...     _ = store.write(**run, name="pages", values=[f"page {index}.{number}" for number in range(3)])
    >>> pages = store.read(flow="crawl", execution="1", layer="parse", name="pages")
    >>> len(pages), pages[-1], pages[1:3]
    (6, 'page 1.2', ['page 0.1', 'page 0.2'])
    """

    def __init__(
        self,
        location: Location,
        *,
        allow_pickle: bool = True,
        serializers: Mapping[type | str, Serializer | str] | None = None,
        level: int = LEVEL,
        max_artifact_size: int = MAX_ARTIFACT_SIZE,
    ) -> None:
        if not isinstance(location, Location):
            raise TypeError(f"the location is a {type(location).__name__}, not one of smartpipe.locations")
        if level not in range(1, 10):
            raise ValueError(f"level is {level!r}, not from 1 to 9")
        if type(max_artifact_size) is not int or max_artifact_size < 1:
            raise ValueError(f"max_artifact_size is {max_artifact_size!r}, not a number of bytes")
        self.location = location
        self.level = level
        self.max_artifact_size = max_artifact_size
        self._serializers = Serializers(allow_pickle, serializers or {})

    @property
    def allow_pickle(self) -> bool:
        """Whether what is read may run code."""
        return self._serializers.allow_pickle

    def register(self, kind: type | str, serializer: Serializer | str) -> None:
        """Serialize values of exactly this type in this way from now on. What was written before stays readable."""
        self._serializers.register(kind, serializer)

    # Values

    def write(
        self,
        *,
        flow: str,
        execution: str,
        layer: str,
        index: int,
        name: str,
        values: Iterable[Any],
        sharded: bool = False,
    ) -> Archive:
        """Store values and then the archive that names them, in place of one that is there; returns it.

        The archive is there as a whole or not at all. With one value, reading gives that, unless it is `sharded`.
        Values are taken from the iterable as they are written. TypeError where one can not be serialized; no archive is
        written then, and of the values before it none or some, which nothing names.
        """
        place = Layer(flow, execution, layer)
        key, combined = place.archive(index, name), place.combined(name)
        if isinstance(values, (str, bytes)):
            raise TypeError(f"values is one {type(values).__name__}, not an iterable of values")
        self.location.require("write")
        self.location.require("delete")
        batches = self._serialized(name, values)
        first = next(batches, [])  # before anybody has to wait for what the iterable does
        artifacts: list[Artifact] = []
        with writing(self.location, place):
            with closing(self._packed(self._missing_of(flow, chain((first,), batches), artifacts))) as packs:
                for pack in packs:
                    self._write_artifacts(pack)
            archive = Archive(tuple(artifacts), sharded=sharded and len(artifacts) == 1)
            self.location.delete(combined)
            self._put(key, archive.to_bytes())
        return archive

    def read(
        self, *, flow: str, execution: str, layer: str, name: str, index: int | None = None, default: Any = _REQUIRED
    ) -> Any:
        """Return the value, or the values as an `Accessor`, that were written under a name: with an index, or joined
        over all indexes in their order.

        Which indexes there are the record of the layer says, and where it has none, the archives that are there. Where
        an archive is missing the answer is `default`, or an ArtifactNotFound without it.
        """
        try:
            archive = self.read_archive(flow=flow, execution=execution, layer=layer, name=name, index=index)
        except errors.ArtifactNotFound:
            if default is _REQUIRED:
                raise
            return default
        if archive.is_value:
            return self.read_artifact(flow=flow, artifact=archive.artifacts[0])
        return Accessor(self, flow, archive)

    def read_archive(self, *, flow: str, execution: str, layer: str, name: str, index: int | None = None) -> Archive:
        """Return the archive that `read` would read the values of.

        A combined archive is never older than what it was made of. A writer locks its layer, not exclusively, removes
        the combined archive, and only then writes its own. Whoever makes a combined archive locks the layer
        exclusively, reads the archives, and writes it; while somebody writes, it is not made at all, and nobody waits.
        So while one is there, no archive of this name was written since it was made: its writer would have removed it
        before, and nobody could have made it again before that writer was done, or killed. A killed writer leaves no
        combined archive, and the system gives up its lock. What has no mark of ours was made by a program that does not
        do so, and is made anew; so is one with other indexes than the record of the layer now has. A location without
        locks has no combined archives.
        """
        place = Layer(flow, execution, layer)
        if index is not None:
            return self._archives([place.archive(index, name)])[0]
        cached, recorded = self._read([place.combined(name), place.record])
        record = None if recorded is None else self._parsed(Record, place.record, recorded)
        if cached is not None:
            try:
                combined = Archive.from_bytes(cached)
            except ValueError:
                combined = Archive(())
            made_of = combined.indexes
            if made_of is not None and (
                record is None or made_of == tuple(range(min(record.splits, len(made_of) + 1)))
            ):
                return combined
        indexes = self._indexes(place, name, record)
        if not indexes:
            raise self._missing(place.archives + b"*/" + name.encode() + b".json", "there is no such archive")
        if len(indexes) == 1:
            return self._archives([place.archive(indexes[0], name)])[0]
        with quiet(self.location, place) as is_quiet:
            indexes = self._indexes(place, name, record)  # there may be more by now
            archives = self._archives(place.archive(index, name) for index in indexes)
            joined = Archive.joined(indexes, archives)
            if is_quiet:
                try:
                    self.location.write(place.combined(name), joined.to_bytes(), overwrite=True)
                except errors.StorageError:
                    pass  # it only makes the next reading quicker
        return joined

    def read_artifact(self, *, flow: str, artifact: Artifact) -> Any:
        """Return a value that an archive names. A CorruptError where it does not match its digest: the copy in the
        location is then removed, so that writing it again mends it."""
        key = artifact.key(flow)
        return self._value(key, artifact, self.location.read_bytes(key), None)

    def read_serialized(self, *, flow: str, artifact: Artifact) -> bytes:
        """Return the bytes of a value as it was serialized; nothing is loaded. Errors are those of `read_artifact`."""
        return self._read_again(artifact.key(flow), artifact)

    # Records

    def write_record(self, *, flow: str, execution: str, layer: str, splits: int) -> Record:
        """Note of how many parts the execution of a layer was, in place of what was noted before."""
        place = Layer(flow, execution, layer)
        if type(splits) is not int or splits < 0:
            raise ValueError(f"splits is {splits!r}, not a number of parts")
        record = Record(flow, layer, splits)
        self._put(place.record, record.to_bytes())
        return record

    def read_record(self, *, flow: str, execution: str, layer: str, default: Any = _REQUIRED) -> Any:
        """Return the `Record` of a layer; where there is none `default`, or an ArtifactNotFound without it."""
        key = Layer(flow, execution, layer).record
        found = self.location.read_bytes(key)
        if found is not None:
            return self._parsed(Record, key, found)
        if default is _REQUIRED:
            raise self._missing(key, "there is no such record")
        return default

    # What is there

    def list_flows(self) -> list[str]:
        """Return the names of all flows that have archives or artifacts, sorted."""
        return sorted({key.flow for key in self._parsed_keys(b"") if key.kind in ("archive", "artifact")})

    def list_executions(self, *, flow: str) -> list[str]:
        """Return the executions of a flow that have archives, sorted."""
        prefix = f"{checked('flow', flow)}/archives/".encode()
        return sorted({key.execution for key in self._parsed_keys(prefix)})

    def list_layers(self, *, flow: str, execution: str) -> list[str]:
        """Return the layers of an execution that have archives, sorted."""
        prefix = f"{checked('flow', flow)}/archives/{checked('execution', execution)}/".encode()
        return sorted({key.layer for key in self._parsed_keys(prefix)})

    def list_artifacts(self, *, flow: str, execution: str, layer: str) -> list[str]:
        """Return the names under which a layer has archives, with any index, sorted."""
        prefix = Layer(flow, execution, layer).archives
        return sorted({key.name for key in self._parsed_keys(prefix)})

    # Removing

    def delete_execution(self, *, flow: str, execution: str) -> int:
        """Remove the archives and records of an execution; returns how many archives. `gc` removes the artifacts that
        only these named. The records go last, so that nobody takes some of the archives for all of them."""
        removed = 0
        cache = f"{checked('flow', flow)}/.cache/{checked('execution', execution)}/".encode()
        for layer in self.list_layers(flow=flow, execution=execution):
            place = Layer(flow, execution, layer)
            with writing(self.location, place):
                for key in self._keys(place.cache):
                    if key != place.record:
                        self.location.delete(key)
                removed += sum(self.location.delete(key) for key in self._keys(place.archives))
        for key in self._keys(cache):
            self.location.delete(key)
        return removed

    def gc(self, flow: str | None = None, *, grace: float = GRACE) -> ArtifactGcReport:
        """Remove the artifacts of a flow, or of all, that no archive names, and combined archives of none.

        It is safe beside writers. A writer locks the layer it writes from before it looks which artifacts are there
        until its archive names them; this locks all layers of a flow exclusively, reads its archives, and removes while
        it has them. So every artifact that a writer counts on is named when the archives are read, or looked for after
        it was removed, and written. Writers wait for that long, and this for the writers that are at it. Those without
        locks, other programs and places that have none, are why an artifact stays for `grace` seconds after it was
        written or touched, which is to be longer than such a writer takes between an artifact and its archive.

        FormatError, and nothing is removed from that flow, where an archive is none: nobody knows what it names.
        """
        self.location.require("delete")
        removed: list[str] = []
        size = waiting = 0
        for name in self.list_flows() if flow is None else [checked("flow", flow)]:
            if not self._unnamed(name) and not self._leftovers(name):
                continue  # nobody has to wait
            with alone(self.location, name):
                until = time.time() - grace
                for key, (stored, used) in self._unnamed(name).items():
                    if used > until:
                        waiting += 1
                    elif self.location.delete(key):
                        removed.append(key.decode())
                        size += stored
                for key, stored in self._leftovers(name).items():
                    if self.location.delete(key):
                        removed.append(key.decode())
                        size += stored
        return ArtifactGcReport(removed, size, waiting)

    def verify(self, *, progress: Callable[[int, int], object] | None = None) -> ArtifactVerifyReport:
        """Look at every value, archive and record. `progress` is called with (bytes done, bytes in all).

        Values are compared with their digests and not loaded, so that nothing is executed. What the location itself
        finds damaged it removes, as always.
        """
        return verify_artifacts(self.location, self.max_artifact_size, progress)

    def stats(self) -> ArtifactStats:
        """Count what is there, and what archives name. No value is read."""
        return count_artifacts(self.location)

    def copy_to(
        self,
        target: Location,
        *,
        overwrite: bool = False,
        on_error: OnError = "raise",
        progress: Callable[[int, int], object] | None = None,
    ) -> ArtifactCopyReport:
        """Copy everything in the location to another one, byte for byte and with its labels, also what is nothing of a
        store of artifacts. Links and what else is no file in `Files` are left out, with a PipeWarning; times are not
        copied.

        Others may read and write in both meanwhile; whoever wants to collect in the target waits. At every moment, and
        where it is killed, each archive in the target has the artifacts that it names, and no combined archive is older
        than what it was made of. What is there with the same content is kept, so that it can be run again; an artifact
        in the target that matches its digest is the same, however it is packed, and one that does not is replaced.

        `on_error` is what happens at a value that can not be copied: "raise" raises its error, "skip" leaves it out, a
        function leaves it out and is called with the error. That is a CollisionError where the target has another
        content, and `overwrite` lets this one count; a CorruptError or StorageError where it can not be read; an
        ArtifactNotFound at an archive that names what is not there; a FormatError where the target has no such key.
        Errors that the next value would have too are always raised. `progress` is called with (bytes done, bytes in
        all).

        >>> import smartpipe.locations
        >>> source, target = smartpipe.locations.Memory(), smartpipe.locations.Memory()
        >>> run = {"flow": "crawl", "execution": "1", "layer": "parse", "index": 0}
        >>> _ = ArtifactStore(source).write(**run, name="pages", values=["a", "b"])
        >>> report = ArtifactStore(source).copy_to(target)
        >>> report.artifacts, report.archives, list(ArtifactStore(target).read(**run, name="pages"))
        (2, 1, ['a', 'b'])
        """
        if not isinstance(target, Location):
            raise TypeError(f"the target is a {type(target).__name__}, not one of smartpipe.locations")
        return copy_artifacts(self.location, target, overwrite, on_error, progress)

    # What a store is

    def close(self) -> None:
        """Close the location. It may be used again, and then opens anew."""
        self.location.close()

    def __enter__(self) -> ArtifactStore:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"ArtifactStore({self.location!r})"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, ArtifactStore):
            return NotImplemented
        return self._configuration == other._configuration

    def __hash__(self) -> int:
        return hash(self.location)

    @property
    def _configuration(self) -> tuple[Any, ...]:
        registered = {kind: serializer.name for kind, serializer in self._serializers.registered.items()}
        return self.location, self.allow_pickle, self.level, self.max_artifact_size, registered

    def __reduce__(self) -> tuple[Any, ...]:
        serializers = self._serializers.registered
        return _made, (self.location, self.allow_pickle, serializers, self.level, self.max_artifact_size)

    # Values and archives in the location

    def _serialized(self, name: str, values: Iterable[Any]) -> Iterator[list[tuple[Artifact, bytes]]]:
        """Yield artifacts with their bytes, some at a time."""
        batch: list[tuple[Artifact, bytes]] = []
        size = 0
        for number, value in enumerate(values):
            try:
                data, dtype, serializer = self._serializers.dumps(value)
            except TypeError as error:
                raise TypeError(f"value {number} of {name!r} is {error}") from error.__cause__
            if len(data) > self.max_artifact_size:
                raise errors.BlockTooLargeError(
                    f"value {number} of {name!r} has {len(data)} bytes, more than {self.max_artifact_size}",
                    path=str(self.location),
                )
            batch.append((Artifact(sha256(data).hexdigest(), dtype, serializer), data))
            size += len(data) + HELD
            if size >= BATCH:
                yield batch
                batch, size = [], 0
        if batch:
            yield batch

    def _loaded(self, key: bytes, artifact: Artifact, data: bytes) -> Any:
        try:
            return self._serializers.loads(data, artifact.dtype, artifact.serializer)
        except (errors.FormatError, errors.UnsupportedError) as error:
            raise type(error)(error.args[0], path=str(self.location), block=key) from error.__cause__

    def _value(self, key: bytes, artifact: Artifact, stored: bytes | None, data: bytes | None) -> Any:
        """Return the value of what was read, and inflated where that was done already."""
        if data is None or sha256(data).hexdigest() != artifact.hexdigest:
            data = None if stored is None else self._unpacked(key, artifact, stored)
            if data is None:
                data = self._read_again(key, artifact)
        return self._loaded(key, artifact, data)

    def _read_again(self, key: bytes, artifact: Artifact) -> bytes:
        """Return what is there by now in the place of what was missing or damaged. A copy that is still damaged is
        removed."""
        try:
            with self.location.read(key) as found:
                if found is not None:
                    data = self._unpacked(key, artifact, whole(found))
                    if data is not None:
                        return data
                    raise errors.CorruptError(
                        "the value does not match the digest that it is stored under",
                        path=str(self.location),
                        block=key,
                    )
        except FileNotFoundError as error:
            check_deleted(error)
        raise self._missing(key, "the artifact is gone, or never was there")

    def _unpacked(self, key: bytes, artifact: Artifact, data: bytes) -> bytes | None:
        try:
            return unpacked(data, artifact.hexdigest, self.max_artifact_size)
        except errors.BlockTooLargeError as error:
            raise errors.BlockTooLargeError(error.args[0], path=str(self.location), block=key) from None

    def _missing_of(
        self, flow: str, batches: Iterable[list[tuple[Artifact, bytes]]], artifacts: list[Artifact]
    ) -> Iterator[dict[bytes, bytes]]:
        """Yield what of each batch is to be written, by its keys; the artifacts of all are added to a list."""
        for batch in batches:
            artifacts += [artifact for artifact, _ in batch]
            yield {
                key: data
                for artifact, data in dict(batch).items()
                if (key := artifact.key(flow)) not in self.location or self._is_cut(key, artifact, data)
            }

    def _packed(self, parts: Iterator[dict[bytes, bytes]]) -> Generator[list[tuple[bytes, bytes]], None, None]:
        """Yield keys with their gzip bytes. While some are written and the next serialized, others are packed, without
        the lock of the interpreter."""
        begun = list(islice(parts, 2))
        if len(begun) < 2:
            yield from (list(zip(part, packed(list(part.values()), self.level), strict=True)) for part in begun)
            return
        from concurrent.futures import ThreadPoolExecutor

        with ThreadPoolExecutor(1) as pool:
            waiting: deque[tuple[dict[bytes, bytes], Future[list[bytes]]]] = deque()
            for part in chain(begun, parts):
                waiting.append((part, pool.submit(packed, list(part.values()), self.level)))
                if len(waiting) > AHEAD:
                    done, packs = waiting.popleft()
                    yield list(zip(done, packs.result(), strict=True))
            for done, packs in waiting:
                yield list(zip(done, packs.result(), strict=True))

    def _write_artifacts(self, batch: list[tuple[bytes, bytes]]) -> None:
        try:
            refused = self.location.write_batch(batch)
        except errors.CollisionError:
            refused = [key for key, data in batch if not self._taken(key, data)]
        if refused:
            raise self._refused(refused[0])

    def _is_cut(self, key: bytes, artifact: Artifact, data: bytes) -> bool:
        """Whether what is stored under the key of a value is not that, and then remove it: a power loss, or a program
        that does not write aside, leaves files that are empty or end too soon."""
        trailer = struct.pack("<II", crc32(data), len(data) & 0xFFFFFFFF)  # of gzip
        try:
            with self.location.read(key) as found:
                if found is None:
                    return True
                with opened(found) as stream:
                    stream.seek(max(stream.seek(0, os.SEEK_END) - len(trailer), 0))
                    if stream.read() == trailer:
                        return False
                    stream.seek(0)
                    # It may have been packed in parts.
                    if not _is_packed(stream.read(), artifact, data):
                        raise errors.CorruptError("the value ends too soon", path=str(self.location), block=key)
        except FileNotFoundError as error:
            check_deleted(error)
            return True
        except errors.CorruptError:
            return True
        return False

    def _taken(self, key: bytes, data: bytes) -> bool:
        """Write an artifact; False where the location refuses it."""
        try:
            return self.location.write(key, data) is not None
        except errors.CollisionError:
            return True  # somebody wrote the same value meanwhile, packed in another way

    def _put(self, key: bytes, data: bytes) -> None:
        if self.location.read_bytes(key) != data and self.location.write(key, data, overwrite=True) is None:
            raise self._refused(key)

    def _read(self, keys: list[bytes]) -> list[bytes | None]:
        """Return the values of keys, each of which is read once."""
        found = dict(self.location.read_batch(dict.fromkeys(keys)))
        return [found[key] for key in keys]

    def _archives(self, keys: Iterable[bytes]) -> list[Archive]:
        archives: list[Archive] = []
        left = iter(keys)  # a record may claim any number
        while some := list(islice(left, READ_AT_ONCE)):
            for key, found in zip(some, self._read(some), strict=True):
                if found is None:
                    raise self._missing(key, "there is no such archive")
                archives.append(self._parsed(Archive, key, found))
        return archives

    def _parsed(self, kind: type[Parsed], key: bytes, data: bytes) -> Parsed:
        try:
            return kind.from_bytes(data)
        except ValueError as error:
            what = kind.__name__.lower()
            raise errors.FormatError(f"this is no {what}: {error}", path=str(self.location), block=key) from None

    def _keys(self, prefix: bytes) -> list[bytes]:
        return [content.key for content in self.location.contents(prefix)]

    def _parsed_keys(self, prefix: bytes) -> Iterator[Key]:
        return (key for key in map(parsed, self._keys(prefix)) if key is not None)

    def _indexes(self, place: Layer, name: str, record: Record | None) -> Sequence[int]:
        if record is not None:
            return range(record.splits)
        return sorted(key.index for key in self._parsed_keys(place.archives) if key.name == name)

    def _missing(self, key: bytes, reason: str) -> errors.ArtifactNotFound:
        return errors.ArtifactNotFound(reason, path=str(self.location), block=key)

    def _refused(self, key: bytes) -> errors.BlockTooLargeError:
        return errors.BlockTooLargeError(
            "the location refuses a value of this size", path=str(self.location), block=key
        )

    # What nobody needs

    def _unnamed(self, flow: str) -> dict[bytes, tuple[int, float]]:
        """Return the artifacts of a flow that no archive names, with their sizes and when they were last used."""
        unnamed = {
            content.key: (content.size, content.last_used)
            for content in self.location.contents(artifacts_of(flow))
            if (key := parsed(content.key)) is not None and key.kind == "artifact"
        }
        # Whatever lies there may name artifacts, also under a key that is none of ours.
        keys = [key for key in self._keys(f"{flow}/archives/".encode()) if key.endswith(b".json")]
        for archive, found in read_in_batches(self.location, keys):
            if found is not None:
                for artifact in self._parsed(Archive, archive, found).artifacts:
                    unnamed.pop(artifact.key(flow), None)
        return unnamed

    def _leftovers(self, flow: str) -> dict[bytes, int]:
        """Return the combined archives of a flow of which there are no archives any more, with their sizes."""
        sources = {(key.execution, key.layer, key.name) for key in self._parsed_keys(f"{flow}/archives/".encode())}
        return {
            content.key: content.size
            for content in self.location.contents(f"{flow}/.cache/".encode())
            if (key := parsed(content.key)) is not None
            and key.kind == "combined"
            and (key.execution, key.layer, key.name) not in sources
        }


def _is_packed(stored: bytes, artifact: Artifact, data: bytes) -> bool:
    try:
        return unpacked(stored, artifact.hexdigest, len(data)) is not None
    except errors.BlockTooLargeError:
        return False


def _made(
    location: Location,
    allow_pickle: bool,
    serializers: Mapping[type | str, Serializer | str],
    level: int,
    max_artifact_size: int,
) -> ArtifactStore:
    return ArtifactStore(
        location,
        allow_pickle=allow_pickle,
        serializers=serializers,
        level=level,
        max_artifact_size=max_artifact_size,
    )
