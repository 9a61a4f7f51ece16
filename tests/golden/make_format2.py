"""Writes the golden files of format 2 anew, with smartpipe: `python -m tests.golden.make_format2` in the root.

Only for a change of the format, in a commit that says why. The contents are always the same; file ids, hash keys and
stamps are not. expected.json is made from what was written, never from what was read.
"""

from __future__ import annotations

import json
import random
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

import smartpipe
from tests.reference import Blocks, format2
from tests.reference import read as read_files
from tests.reference.expected import GOLDEN, describe, load

Write = Callable[[Path, str, Blocks, dict[bytes, bytes]], None]

# Whole, these alone would be larger than all other golden files together.
SHORTENED = {"web-results": slice(4), "many-small-blocks": slice(300), "large-values": slice(1, 2)}


def page(number: int) -> tuple[bytes, list[tuple[bytes, bytes]]]:
    """A block with a large value that shrinks, one that does not, and small ones."""
    noise = random.Random(number)
    links = b"".join(b"<li><a href='/%d'>%d</a>" % (noise.randrange(10**6), place) for place in range(200))
    pairs = [(b"raw", links), (b"image", noise.randbytes(4096 + number)), (b"log", b"ok"), (b"log", b"%d" % number)]
    return b"https://example.org/%d" % number, pairs


def write_whole(prefix: Path, suffix: str, blocks: Blocks, metadata: dict[bytes, bytes]) -> None:
    with smartpipe.open(prefix, "w", compress=suffix == "datz", metadata=metadata or None) as pipe:
        for key, pairs in blocks:
            pipe.write(key, pairs)


def write_appended(prefix: Path, suffix: str, blocks: Blocks, metadata: dict[bytes, bytes]) -> None:
    """A block a session, so that the index has a frame for each."""
    for key, pairs in blocks:
        with smartpipe.open(prefix, "a", compress=suffix == "datz", metadata=metadata or None) as pipe:
            pipe.write(key, pairs)


def write_without_index(prefix: Path, suffix: str, blocks: Blocks, metadata: dict[bytes, bytes]) -> None:
    write_whole(prefix, suffix, blocks, metadata)
    Path(f"{prefix}.idx").unlink()


def write_killed(prefix: Path, suffix: str, blocks: Blocks, metadata: dict[bytes, bytes]) -> None:
    """What a kill leaves: an index that lists only the blocks before the last sync."""
    with tempfile.TemporaryDirectory() as folder:
        alive = Path(folder) / "alive"
        with smartpipe.open(alive, "a", compress=suffix == "datz", metadata=metadata or None) as pipe:
            for number, (key, pairs) in enumerate(blocks):
                pipe.write(key, pairs)
                if number + 1 == len(blocks) // 2:
                    pipe.sync()
            data = Path(f"{alive}.{suffix}").read_bytes()
            index = Path(f"{alive}.idx").read_bytes()
    found = format2.read(data, index)
    if (len(found.blocks), len(found.scanned.records)) != (len(blocks), len(blocks) - len(blocks) // 2):
        raise SystemExit("the index lists other blocks than those before the sync: run this again")
    Path(f"{prefix}.{suffix}").write_bytes(data)
    Path(f"{prefix}.idx").write_bytes(index)


def write_torn(prefix: Path, suffix: str, blocks: Blocks, metadata: dict[bytes, bytes]) -> None:
    """What a kill in the middle of a write leaves: the same, and a part of one more block."""
    write_killed(prefix, suffix, [*blocks, page(99)], metadata)
    path = Path(f"{prefix}.{suffix}")
    path.write_bytes(path.read_bytes()[:-1000])


def main() -> None:
    pages = [page(number) for number in range(3)]
    metadata = {b"made by": b"make_format2.py", b"": b"", b"notes": b"A value of 4 KiB and more. " * 200}
    cases: list[tuple[str, Write, Blocks, dict[bytes, bytes]]] = [
        ("metadata", write_whole, pages, metadata),
        ("metadata-only", write_whole, [], metadata),
        ("appended", write_appended, pages, {}),
        ("no-index", write_without_index, pages, metadata),
        ("killed", write_killed, pages, metadata),
        ("torn", write_torn, pages, {}),
    ]
    for name in load(GOLDEN / "format1"):
        blocks = read_files(GOLDEN / "format1" / "dat" / name).blocks
        cases.append((name, write_whole, blocks[SHORTENED.get(name, slice(None))], {}))

    folder = GOLDEN / "format2"
    shutil.rmtree(folder, ignore_errors=True)
    for suffix in ("dat", "datz"):
        (folder / suffix).mkdir(parents=True)
        for name, write, blocks, described in cases:
            write(folder / suffix / name, suffix, blocks, described)
    expected = {
        name: {"metadata": describe([(b"", described.items())])[0]["pairs"], "blocks": describe(blocks)}
        for name, _, blocks, described in cases
    }
    (folder / "expected.json").write_text(json.dumps(expected, indent=0, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
