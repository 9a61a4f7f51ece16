"""FastWARC: a web archive. A page is a response record of headers and body, and every other pair a metadata record.

An archive has no index, so the adapter writes one beside it: per block the offset of its first record, and its key.
"""

from collections.abc import Iterable, Iterator
from itertools import islice, pairwise
from pathlib import Path

from fastwarc import (
    ArchiveIterator,
    GzipReader,
    GzipWriter,
    Lz4Reader,
    Lz4Writer,
    WarcRecord,
    WarcRecordType,
)

from bench.corpus import Block
from bench.rivals.rival import Form, Pairs, Rival, Store, side_by_side

URL = b"WARC-Target-URI"
NAME = "X-Pair"
ENDINGS = {"none": "warc", "deflate": "warc.gz", "lz4": "warc.lz4"}
READERS = {"deflate": GzipReader, "lz4": Lz4Reader}


class Archive(Rival):
    """A web archive, with a gzip member or an lz4 frame per record where it is compressed."""

    def write(self, folder: Path, blocks: Iterable[Block]) -> None:
        index = []
        with open(path(folder, self.form), "wb") as file:
            writer = None
            if self.form.codec == "deflate":
                writer = GzipWriter(file, compression_level=self.form.level, buffer_size=64 << 10)
            elif self.form.codec == "lz4":
                writer = Lz4Writer(file)
            for key, pairs in blocks:
                index.append(b"%d %s\n" % (file.tell(), key))
                url = key.decode()
                for record in records(url, pairs):
                    record.write(writer or file)
                    if writer is not None:
                        writer.finish()
            if writer is not None:
                writer.close()
        (folder / "index").write_bytes(b"".join(index))

    def open(self, folder: Path) -> Store:
        return ArchiveStore(folder, self.form)


def path(folder: Path, form: Form) -> Path:
    return folder / f"archive.{ENDINGS[form.codec]}"


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


def blocks(records: Iterable[WarcRecord]) -> Iterator[tuple[bytes, Pairs]]:
    """The blocks that records make."""
    block = b""
    pairs: list[tuple[bytes, bytes]] = []
    for found in records:
        key = found.headers.get_bytes(URL)
        if key != block:
            if pairs:
                yield block, pairs
            block, pairs = key or b"", []
        pairs.extend(read_pairs(found))
    if pairs:
        yield block, pairs


class ArchiveStore(Store):
    """An archive that is read."""

    def __init__(self, folder: Path, form: Form) -> None:
        self.path = path(folder, form)
        self.reader = READERS.get(form.codec)
        self.threads = form.threads
        self.file = self.path.open("rb", buffering=0)
        lines = (line.split(b" ", 1) for line in (folder / "index").read_bytes().splitlines())
        self.places = {key: int(offset) for offset, key in lines}

    def records(self, key: bytes) -> Iterator[WarcRecord]:
        """The records of one block."""
        self.file.seek(self.places[key])
        stream = self.file if self.reader is None else self.reader(self.file, buffer_size=16 << 10)
        for found in ArchiveIterator(stream, parse_http=False, stream_detect=False, buffer_size=16 << 10):
            if found.headers.get_bytes(URL) != key:
                break
            yield found

    def read(self) -> Iterator[tuple[bytes, Pairs]]:
        if self.threads == 1:
            return blocks(ArchiveIterator(str(self.path), parse_http=False, fsspec_args=False))
        offsets = list(self.places.values())
        numbers = [len(offsets) * part // self.threads for part in range(self.threads + 1)]
        return side_by_side([self.part(offsets[n], end - n) for n, end in pairwise(numbers)])

    def part(self, offset: int, count: int) -> Iterator[tuple[bytes, Pairs]]:
        """So many blocks of a compressed archive, from a place on."""
        with self.path.open("rb", buffering=0) as file:
            file.seek(offset)
            reader = GzipReader(file, buffer_size=1 << 20)
            yield from islice(blocks(ArchiveIterator(reader, parse_http=False, stream_detect=False)), count)

    def get(self, key: bytes) -> Pairs:
        return [pair for found in self.records(key) for pair in read_pairs(found)]

    def select(self, name: bytes) -> Iterator[bytes]:
        wanted = name.decode()
        kinds = WarcRecordType.metadata
        for found in ArchiveIterator(str(self.path), record_types=kinds, parse_http=False, fsspec_args=False):
            if found.headers.get(NAME) == wanted:
                yield found.reader.read()

    def get_pair(self, key: bytes, name: bytes) -> bytes:
        wanted = name.decode()
        return next(found.reader.read() for found in self.records(key) if found.headers.get(NAME) == wanted)

    def close(self) -> None:
        self.file.close()
