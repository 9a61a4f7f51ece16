"""Verifying a pipe of format 1."""

from __future__ import annotations

from collections.abc import Callable

from smartpipe.container.paths import Paths
from smartpipe.container.recovery.findings import Findings
from smartpipe.container.recovery.identity import Subject
from smartpipe.container.recovery.inspection1 import Inspection1
from smartpipe.container.recovery.survey import Keys


def verify1(subject: Subject, paths: Paths, progress: Callable[[int, int], object] | None) -> Findings:
    """Check what the format lets one check: it has no checksums."""
    found = Findings()
    written = subject.is_written()
    inspection = Inspection1(subject, paths.index)
    found.bytes = inspection.size + inspection.index_size
    keys = Keys()
    for part in inspection.parts():
        if part.block is not None:
            found.blocks += 1
            before = keys.meet(part.block.key, part.offset)
            if before is not None:
                reason = f"the key occurs again at offset {part.offset}, which hides it"
                found.add("duplicate", subject.source.path, before, 0, reason, part.block.key)
        elif part.damage is not None and part.damage.what == "torn" and written:
            found.notes.append("a block is being written")
        elif part.damage is not None:
            found.damaged += part.damage.block is not None
            found.damage.append(part.damage)
        if progress is not None:
            progress(min(part.offset, inspection.size), inspection.size)
    return found
