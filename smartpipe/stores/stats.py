"""`ArtifactStore.stats`: how much there is."""

from __future__ import annotations

from smartpipe.locations.location import Location
from smartpipe.stores.archive import Archive
from smartpipe.stores.keys import Key, parsed
from smartpipe.stores.reports import ArtifactStats
from smartpipe.stores.verify import read_in_batches


def count_artifacts(location: Location) -> ArtifactStats:
    """Count what is there. Archives are read, and values are not."""
    sizes: dict[bytes, int] = {}
    archives: dict[bytes, Key] = {}
    others = 0
    for content in location.contents():
        kind = parsed(content.key)
        if kind is None:
            others += 1
        elif kind.kind == "artifact":
            sizes[content.key] = content.size
        elif kind.kind == "archive":
            archives[content.key] = kind
    named: set[bytes] = set()
    values = named_bytes = damaged = 0
    for key, found in read_in_batches(location, list(archives)):
        try:
            archive = Archive.from_bytes(b"" if found is None else found)
        except ValueError:
            damaged += 1
            continue
        values += len(archive)
        for artifact in archive.artifacts:
            name = artifact.key(archives[key].flow)
            named.add(name)
            named_bytes += sizes.get(name, 0)
    unnamed = sizes.keys() - named
    unnamed_bytes = sum(sizes[key] for key in unnamed)
    stored = sum(sizes.values())
    flows = {parsed_key.flow for parsed_key in archives.values()} | {key.partition(b"/")[0].decode() for key in sizes}
    return ArtifactStats(
        flows=len(flows),
        executions=len({(kind.flow, kind.execution) for kind in archives.values()}),
        layers=len({kind.place for kind in archives.values()}),
        archives=len(archives),
        values=values,
        artifacts=len(sizes),
        bytes=stored,
        saved=named_bytes - (stored - unnamed_bytes),
        unnamed=len(unnamed),
        unnamed_bytes=unnamed_bytes,
        missing=len(named - sizes.keys()),
        damaged=damaged,
        others=others,
    )
