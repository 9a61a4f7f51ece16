"""WebDataset: a tar with a file per pair; the names of a block's files share what stands before the first dot."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from urllib.parse import quote, unquote_to_bytes

from webdataset import TarWriter, WebDataset

from bench.corpus import Block
from bench.rivals.rival import Pairs, Rival, Store


class Tar(Rival):
    """One tar, gzipped as a whole where it is compressed."""

    def write(self, folder: Path, blocks: Iterable[Block]) -> None:
        ending = "tar" if self.form.codec == "none" else "tar.gz"
        with TarWriter(str(folder / f"blocks.{ending}"), encoder=False) as writer:
            for key, pairs in blocks:
                sample: dict[str, str | bytes] = {name.decode(): value for name, value in pairs.items()}
                sample["__key__"] = quote(key, safe="").replace(".", "%2E")
                writer.write(sample)

    def open(self, folder: Path) -> Store:
        return TarStore(next(folder.glob("blocks.*")))


class TarStore(Store):
    """A tar that is read from its beginning."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def read(self) -> Iterator[tuple[bytes, Pairs]]:
        for sample in WebDataset(str(self.path), shardshuffle=False):
            pairs = [(name.encode(), value) for name, value in sample.items() if not name.startswith("__")]
            yield unquote_to_bytes(sample["__key__"]), pairs
