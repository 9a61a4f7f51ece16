"""Writes the golden files of format 2 anew, with smartpipe: `python -m tests.golden.make_format2` in the root.

Only for a change of the format, in a commit that says why. The contents are always the same; file ids, hash keys and
stamps are not. expected.json is made from what was written, never from what was read.
"""

from __future__ import annotations

import json
import random
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import smartpipe
from tests.reference import Blocks, format2
from tests.reference import read as read_files
from tests.reference.expected import GOLDEN, describe, load

# Written by codec none they alone would be larger than all other golden files together.
SHORTENED = {"web-results": 8, "large-values": 1}


def page(number: int) -> tuple[bytes, list[tuple[bytes, bytes]]]:
    """A block with a large value that shrinks, one that does not, and small ones."""
    noise = random.Random(number)
    links = b"".join(b"<li><a href='/%d'>%d</a>" % (noise.randrange(10**6), place) for place in range(200))
    pairs = [(b"raw", links), (b"image", noise.randbytes(4096 + number)), (b"log", b"ok"), (b"log", b"%d" % number)]
    return b"https://example.org/%d" % number, pairs


def originals(suffix: str) -> Iterator[tuple[str, Blocks]]:
    """The contents of the files of the original SmartPipe."""
    for name in load(GOLDEN / "format1"):
        blocks = read_files(GOLDEN / "format1" / "dat" / name).blocks
        yield name, blocks[: SHORTENED.get(name)] if suffix == "dat" else blocks


def write_whole(prefix: Path, blocks: Blocks, suffix: str, metadata: dict[bytes, bytes] | None = None) -> None:
    with smartpipe.open(prefix, "w", compress=suffix == "datz", metadata=metadata) as pipe:
        for key, pairs in blocks:
            pipe.write(key, pairs)


def write_appended(prefix: Path, blocks: Blocks, suffix: str) -> None:
    """A block a session, so that the index has a frame for each."""
    for key, pairs in blocks:
        with smartpipe.open(prefix, "a", compress=suffix == "datz") as pipe:
            pipe.write(key, pairs)


def write_killed(prefix: Path, blocks: Blocks, suffix: str, cut: int = 0) -> None:
    """What a kill leaves: an index that lists the blocks before the sync, and data that ends cut bytes early."""
    with tempfile.TemporaryDirectory() as folder:
        alive = Path(folder) / "alive"
        with smartpipe.open(alive, "a", compress=suffix == "datz") as pipe:
            for number, (key, pairs) in enumerate(blocks):
                pipe.write(key, pairs)
                if number + 1 == len(blocks) // 2:
                    pipe.sync()
            pipe.flush()
            data = Path(f"{alive}.{suffix}").read_bytes()
            index = Path(f"{alive}.idx").read_bytes()
    found = format2.read(data, index)
    assert [len(found.blocks), len(found.scanned.records)] == [len(blocks), len(blocks) - len(blocks) // 2]
    Path(f"{prefix}.{suffix}").write_bytes(data[: len(data) - cut])
    Path(f"{prefix}.idx").write_bytes(index)


def main() -> None:
    folder = GOLDEN / "format2"
    shutil.rmtree(folder, ignore_errors=True)
    pages = [page(number) for number in range(6)]
    metadata = {b"made by": b"make_format2.py", b"": b"", b"notes": b"A value of 4 KiB and more. " * 200}
    expected: dict[str, object] = {}
    for suffix in ("dat", "datz"):
        (folder / suffix).mkdir(parents=True)

        def add(name: str, blocks: Blocks, described: dict[bytes, bytes], suffix: str = suffix) -> Path:
            [metadata] = describe([(b"", described.items())])
            expected[f"{suffix}/{name}"] = {"metadata": metadata["pairs"], "blocks": describe(blocks)}
            return folder / suffix / name

        for name, blocks in originals(suffix):
            write_whole(add(name, blocks, {}), blocks, suffix)
        write_whole(add("metadata", pages, metadata), pages, suffix, metadata)
        write_whole(add("metadata-only", [], metadata), [], suffix, metadata)
        write_appended(add("appended", pages, {}), pages, suffix)
        write_whole(add("no-index", pages, {}), pages, suffix)
        (folder / suffix / "no-index.idx").unlink()
        write_killed(add("killed", pages, {}), pages, suffix)
        write_killed(add("killed-while-writing", pages[:-1], {}), pages, suffix, cut=1000)
    (folder / "expected.json").write_text(json.dumps(expected, indent=0, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
