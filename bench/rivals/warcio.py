"""warcio: a web archive, as for FastWARC; it has one level of gzip, and no index."""

from collections.abc import Iterable, Iterator
from io import BytesIO
from pathlib import Path

from warcio.archiveiterator import ArchiveIterator
from warcio.recordloader import ArcWarcRecord
from warcio.warcwriter import WARCWriter

from bench.corpus import Block
from bench.rivals.rival import Pairs, Rival, Store

NAME = "X-Pair"
URL = "WARC-Target-URI"


class Archive(Rival):
    """A web archive written and read by pure Python."""

    def write(self, folder: Path, blocks: Iterable[Block]) -> None:
        with open(folder / "archive.warc", "wb") as file:
            writer = WARCWriter(file, gzip=self.form.codec != "none")
            for key, pairs in blocks:
                url = key.decode()
                for name, value in pairs.items():
                    writer.write_record(
                        writer.create_warc_record(
                            url,
                            "metadata",
                            payload=BytesIO(value),
                            length=len(value),
                            warc_content_type="application/octet-stream",
                            warc_headers_dict={NAME: name.decode()},
                        )
                    )

    def open(self, folder: Path) -> Store:
        return ArchiveStore(folder / "archive.warc")


class ArchiveStore(Store):
    """An archive that is read."""

    def __init__(self, path: Path) -> None:
        self.file = path.open("rb")

    def records(self) -> Iterator[ArcWarcRecord]:
        self.file.seek(0)
        records: Iterator[ArcWarcRecord] = ArchiveIterator(self.file, no_record_parse=True)
        return records

    def read(self) -> Iterator[tuple[bytes, Pairs]]:
        block = ""
        pairs: list[tuple[bytes, bytes]] = []
        for found in self.records():
            key = found.rec_headers.get_header(URL)
            if key != block:
                if pairs:
                    yield block.encode(), pairs
                block, pairs = key, []
            pairs.append((found.rec_headers.get_header(NAME).encode(), found.content_stream().read()))
        if pairs:
            yield block.encode(), pairs

    def select(self, name: bytes) -> Iterator[bytes]:
        wanted = name.decode()
        for found in self.records():
            if found.rec_headers.get_header(NAME) == wanted:
                yield found.content_stream().read()

    def close(self) -> None:
        self.file.close()
