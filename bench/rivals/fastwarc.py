"""FastWARC: a web archive. A page is a response record of headers and body, and every other pair a metadata record.

An archive has no index, so the adapter writes one beside it: per block the offset of its first record, and its key.
"""

import os
from collections.abc import Iterator
from pathlib import Path

from fastwarc import ArchiveIterator, GzipReader, GzipWriter, WarcRecord, WarcRecordType

from bench.corpus import Block
from bench.rivals.rival import LEVEL, Pairs, Rival, Store

URL = b"WARC-Target-URI"
NAME = "X-Pair"


class Archive(Rival):
    """A web archive, with a gzip member per record where it is compressed."""

    name = "FastWARC"

    def write(self, folder: Path, blocks: list[Block], compress: bool) -> None:
        index = []
        with open(path(folder, compress), "wb") as file:
            writer = GzipWriter(file, compression_level=LEVEL, buffer_size=64 << 10) if compress else None
            for key, pairs in blocks:
                index.append(b"%d %s\n" % (file.tell(), key))
                url = key.decode()
                for record in records(url, pairs):
                    record.write(writer or file)
                    if writer is not None:
                        writer.finish()
                file.flush()
            os.fdatasync(file.fileno())
        (folder / "index").write_bytes(b"".join(index))

    def open(self, folder: Path, compress: bool) -> Store:
        return ArchiveStore(folder, compress)


def path(folder: Path, compress: bool) -> Path:
    return folder / ("archive.warc.gz" if compress else "archive.warc")


def records(url: str, pairs: dict[bytes, bytes]) -> Iterator[WarcRecord]:
    """The records of a block."""
    rest = dict(pairs)
    if b"raw" in rest:
        content = rest.pop(b"response") + rest.pop(b"raw")
        yield record(WarcRecordType.response, url, "application/http; msgtype=response", content)
    for name, value in rest.items():
        metadata = record(WarcRecordType.metadata, url, "application/octet-stream", value)
        metadata.headers.append(NAME, name.decode())
        yield metadata


def record(kind: WarcRecordType, url: str, content_type: str, content: bytes) -> WarcRecord:
    made: WarcRecord = WarcRecord()
    made.init_headers(kind)
    made.headers.append(URL.decode(), url)
    made.headers.append("Content-Type", content_type)
    made.set_bytes_content(content)
    return made


def read_pairs(found: WarcRecord) -> list[tuple[bytes, bytes]]:
    """The pairs of a record."""
    content = found.reader.read()
    name = found.headers.get_bytes(NAME.encode())
    if name is not None:
        return [(name, content)]
    end = content.index(b"\r\n\r\n") + 4
    return [(b"response", content[:end]), (b"raw", content[end:])]


class ArchiveStore(Store):
    """An archive that is read."""

    def __init__(self, folder: Path, compress: bool) -> None:
        self.path = path(folder, compress)
        self.compress = compress
        self.file = self.path.open("rb", buffering=0)
        lines = (line.split(b" ", 1) for line in (folder / "index").read_bytes().splitlines())
        self.places = {key: int(offset) for offset, key in lines}

    def records(self, key: bytes) -> Iterator[WarcRecord]:
        """The records of one block."""
        self.file.seek(self.places[key])
        stream = GzipReader(self.file, buffer_size=16 << 10) if self.compress else self.file
        for found in ArchiveIterator(stream, parse_http=False, stream_detect=False, buffer_size=16 << 10):
            if found.headers.get_bytes(URL) != key:
                break
            yield found

    def read(self) -> Iterator[tuple[bytes, Pairs]]:
        block = b""
        pairs: list[tuple[bytes, bytes]] = []
        for found in ArchiveIterator(str(self.path), parse_http=False, fsspec_args=False):
            key = found.headers.get_bytes(URL)
            if key != block:
                if pairs:
                    yield block, pairs
                block, pairs = key or b"", []
            pairs.extend(read_pairs(found))
        if pairs:
            yield block, pairs

    def get(self, key: bytes) -> Pairs:
        return [pair for found in self.records(key) for pair in read_pairs(found)]

    def select(self, name: bytes) -> Iterator[tuple[bytes, bytes]]:
        kinds = WarcRecordType.metadata
        wanted = name.decode()
        for found in ArchiveIterator(str(self.path), record_types=kinds, parse_http=False, fsspec_args=False):
            if found.headers.get(NAME) == wanted:
                yield found.headers.get_bytes(URL) or b"", found.reader.read()

    def get_pair(self, key: bytes, name: bytes) -> bytes:
        wanted = name.decode()
        return next(found.reader.read() for found in self.records(key) if found.headers.get(NAME) == wanted)

    def close(self) -> None:
        self.file.close()
