"""`ArtifactStore.verify`: every value, archive and record of a location looked at."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import chain

from smartpipe import errors
from smartpipe.locations.location import Location
from smartpipe.stores.archive import Archive, Record
from smartpipe.stores.keys import Key, parsed
from smartpipe.stores.locks import quiet
from smartpipe.stores.packing import unpacked
from smartpipe.stores.reports import ArtifactVerifyReport, Problem

READ_AT_ONCE = 1000
"""Values that are read in one batch."""


def verify_artifacts(
    location: Location, max_artifact_size: int, progress: Callable[[int, int], object] | None
) -> ArtifactVerifyReport:
    """Compare values with their digests, archives with the values that they name, combined archives with those that
    they were made of. `progress` is called with (bytes done, bytes in all)."""
    sizes = {content.key: content.size for content in location.contents() if parsed(content.key) is not None}
    total, done = sum(sizes.values()), 0
    problems: list[Problem] = []
    artifacts: set[bytes] = set()
    named: set[bytes] = set()
    combined: list[bytes] = []
    archives = records = stored = 0
    # Artifacts come first, and of an archive nothing has to be kept.
    artifacts_first = [key for key in sizes if key.endswith(b".gz")], [key for key in sizes if key.endswith(b".json")]
    for key, found in chain.from_iterable(read_in_batches(location, keys) for keys in artifacts_first):
        wrong = None
        kind = parsed(key)
        assert kind is not None
        if found is None and kind.kind == "combined":
            pass  # whoever writes one of its archives removes it, and nobody needs it
        elif found is None:
            wrong = "it can not be read: damaged, or removed while this looked"
        elif kind.kind == "artifact":
            artifacts.add(key)
            stored += len(found)
            try:
                if unpacked(found, kind.name, max_artifact_size) is None:
                    wrong = "it does not match its digest"
            except errors.BlockTooLargeError as error:
                wrong = error.args[0]
        else:
            try:
                if kind.kind == "record":
                    records += 1
                    Record.from_bytes(found)
                elif kind.kind == "archive":
                    wanted = {artifact.key(kind.flow) for artifact in Archive.from_bytes(found).artifacts}
                    archives += 1
                    problems += _missing(location, key, kind.flow, wanted - artifacts)
                    named |= wanted & artifacts
                elif Archive.from_bytes(found).indexes is not None:
                    combined.append(key)
            except ValueError as error:
                wrong = str(error)
        if wrong is not None:
            problems.append(Problem(key.decode(), wrong))
        done += sizes[key]
        if progress is not None:
            progress(done, total)
    for key in combined:
        if _is_stale(location, key):
            problems.append(Problem(key.decode(), "it is not what the archives are that it was made of"))
    problems.sort(key=lambda problem: problem.key)
    return ArtifactVerifyReport(len(artifacts), archives, records, stored, len(artifacts) - len(named), problems)


def read_in_batches(location: Location, keys: Sequence[bytes]) -> Iterator[tuple[bytes, bytes | None]]:
    """Yield (key, value or None) for any number of keys, some of which are in memory at a time."""
    for at in range(0, len(keys), READ_AT_ONCE):
        yield from location.read_batch(keys[at : at + READ_AT_ONCE])


def _missing(location: Location, key: bytes, flow: str, artifacts: set[bytes]) -> Iterator[Problem]:
    """Yield a problem for each artifact that is gone of those that an archive names."""
    for artifact in sorted(artifacts):
        # It may have been written after the listing, or the archive anew before the value was removed.
        if location.read_bytes(artifact) is None and _names(location, key, flow, artifact):
            yield Problem(key.decode(), f"it names {artifact.decode()}, which is gone")


def _names(location: Location, key: bytes, flow: str, artifact: bytes) -> bool:
    """Whether an archive names an artifact now."""
    archive = _archive(location.read_bytes(key))
    return archive is not None and any(named.key(flow) == artifact for named in archive.artifacts)


def _is_stale(location: Location, key: bytes) -> bool:
    """Whether a combined archive is not what it would be now; False where somebody writes its archives just now."""
    kind = parsed(key)
    assert kind is not None
    with quiet(location, kind.place) as is_quiet:
        data = location.read_bytes(key)
        combined = None if data is None else marked(data)
        if combined is None or is_current(location, kind, combined):
            return False
        # Who writes an archive removes the combined one before.
        return is_quiet or location.read_bytes(key) == data


def marked(data: bytes) -> Archive | None:
    """Return a combined archive that has the mark of ours; None for what was made by other programs."""
    archive = _archive(data)
    return None if archive is None or archive.indexes is None else archive


def is_current(location: Location, kind: Key, combined: Archive) -> bool:
    """Whether a combined archive, whose key this is, is what it would be made as of the archives that are there."""
    indexes = combined.indexes or ()
    try:
        keys = [kind.place.archive(index, kind.name) for index in indexes]
    except ValueError:
        return False
    found = dict(read_in_batches(location, keys))
    archives = [archive for archive in (_archive(found[key]) for key in keys) if archive is not None]
    return len(archives) == len(keys) and Archive.joined(indexes, archives) == combined


def _archive(data: bytes | None) -> Archive | None:
    try:
        return None if data is None else Archive.from_bytes(data)
    except ValueError:
        return None
