"""Finding out which pipe a data file was that may be damaged anywhere, also in its header."""

from __future__ import annotations

import os

from smartpipe import errors
from smartpipe._platform import Descriptor, open_reading
from smartpipe.container.headers import file_header, header_of, index_id, is_index
from smartpipe.container.opening import recognize, refuse_folder
from smartpipe.container.paths import Paths, missing
from smartpipe.container.recovery.survey1 import Entries
from smartpipe.container.recovery.trial import find_id
from smartpipe.container.source import Source
from smartpipe.container.walk import Walk


class Subject:
    """A pipe to be looked at. `complaint` tells why its data file does not open, None where it does."""

    __slots__ = ("blank", "codec", "complaint", "format", "source")

    def __init__(self, source: Source, format: int, codec: int, blank: bool, complaint: str | None) -> None:
        self.source = source
        self.format = format
        self.codec = codec
        self.blank = blank
        self.complaint = complaint

    def is_written(self) -> bool:
        """Whether a writer has the pipe open at this moment, as far as the system tells."""
        return bool(self.source.writer())


def identify(paths: Paths, limit: int) -> Subject:
    """Open the data file of a pipe for reading; an error where there is none, or nothing shows that it is one."""
    refuse_folder(paths)
    path = choose(paths)
    if path is None:
        raise missing(paths)
    file = open_reading(path)
    try:
        return recognize_damaged(paths, path, file, limit)
    except BaseException:
        file.close()
        raise


def choose(paths: Paths) -> str | None:
    """Return the data file that readers would take, also where its header is damaged."""
    if paths.data is not None:
        return paths.data if os.path.isfile(paths.data) else None
    existing = paths.existing()
    wanted = index_id(paths.index)
    if len(existing) < 2 or wanted is None:
        return existing[0] if existing else None
    damaged = None
    for path in existing:
        try:
            header = file_header(path)
        except errors.SmartPipeError:
            damaged = damaged or path
            continue
        if header is not None and header[0] == wanted:
            return path
    return damaged or existing[0]


def recognize_damaged(paths: Paths, path: str, file: Descriptor, limit: int) -> Subject:
    """Find out what an open data file is, or was."""
    compressed = path.endswith(".datz")
    complaint = None
    try:
        header_of(file, path)
    except errors.CorruptError as error:
        complaint = str(error.args[0])
    if complaint is None:
        try:
            found = recognize(paths, path, file)
        except errors.TruncatedError as error:
            source = Source(path, file, index_id(paths.index) or 0, limit)
            return Subject(source, 2, compressed, False, str(error.args[0]))
        except errors.FormatError as error:
            subject = by_records(paths, path, file, limit, str(error.args[0]))
            if subject is None:
                raise
            return subject
        if found.format == 1 and not found.blank and not is_sound(paths, compressed, file.size()):
            # Both headers of a pipe of format 2 may be gone.
            subject = by_records(paths, path, file, limit, "the file header: the magic bytes are not there")
            if subject is not None:
                return subject
        return Subject(Source(path, file, found.id, limit), found.format, found.codec, found.blank, None)
    subject = by_records(paths, path, file, limit, complaint)
    return subject or Subject(Source(path, file, index_id(paths.index) or 0, limit), 2, compressed, False, complaint)


def by_records(paths: Paths, path: str, file: Descriptor, limit: int, complaint: str) -> Subject | None:
    """Recognize format 2 by the index, and by records in the data."""
    listed = index_id(paths.index)
    id = find_id(Walk(Source(path, file, 0, limit), file.size()), listed)
    if id is None and listed is None and not is_index(paths.index):
        return None
    source = Source(path, file, id if id is not None else listed or 0, limit)
    return Subject(source, 2, path.endswith(".datz"), False, complaint)


def is_sound(paths: Paths, compressed: bool, size: int) -> bool:
    """Whether all of an index is entries of format 1."""
    with open(paths.index, "rb") as file:
        return Entries(file.read(), compressed, size).sound
