"""Writes the golden files of format 2 that are not there: `python -m tests.golden.make_format2` in the root.

The others stay as they are, so that every version reads what the first one wrote. The contents are always the same;
file ids, hash keys and stamps are not. expected.json is made from what was written, never from what was read.
"""

from __future__ import annotations

import json
import random
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import smartpipe
from tests.reference import Blocks, format2
from tests.reference import read as read_files
from tests.reference.expected import FOLDERS, GOLDEN, describe, load

Options = dict[str, Any]
Write = Callable[[Path, Options, Blocks, dict[bytes, bytes]], None]

# Whole, these alone would be larger than all other golden files together.
SHORTENED = {"web-results": slice(4), "many-small-blocks": slice(300), "large-values": slice(1, 2)}
ITEM = b'{"title": "item %d", "links": ["https://example.org/%d"], "words": %d}'


def page(number: int) -> tuple[bytes, list[tuple[bytes, bytes]]]:
    """A block with a large value that shrinks, one that does not, and small ones."""
    noise = random.Random(number)
    links = b"".join(b"<li><a href='/%d'>%d</a>" % (noise.randrange(10**6), place) for place in range(200))
    pairs = [(b"raw", links), (b"image", noise.randbytes(4096 + number)), (b"log", b"ok"), (b"log", b"%d" % number)]
    return b"https://example.org/%d" % number, pairs


def item(number: int) -> tuple[bytes, list[tuple[bytes, bytes]]]:
    """A small block like all others."""
    return b"item/%d" % number, [(b"result", ITEM % (number, number, 7 * number)), (b"log", b"200 in %d ms" % number)]


def trained() -> bytes:
    """A dictionary in zstd's own format."""
    with tempfile.TemporaryDirectory() as folder:
        prefix = Path(folder) / "items"
        write_whole(prefix, {}, [item(number * number) for number in range(1000)], {})
        return smartpipe.train(prefix, size=400)


def write_whole(prefix: Path, options: Options, blocks: Blocks, metadata: dict[bytes, bytes]) -> None:
    with smartpipe.open(prefix, "w", metadata=metadata or None, **options) as pipe:
        for key, pairs in blocks:
            pipe.write(key, pairs)


def write_appended(prefix: Path, options: Options, blocks: Blocks, metadata: dict[bytes, bytes]) -> None:
    """A block a session, so that the index has a frame for each."""
    for key, pairs in blocks:
        with smartpipe.open(prefix, "a", metadata=metadata or None, **options) as pipe:
            pipe.write(key, pairs)


def write_without_index(prefix: Path, options: Options, blocks: Blocks, metadata: dict[bytes, bytes]) -> None:
    write_whole(prefix, options, blocks, metadata)
    Path(f"{prefix}.idx").unlink()


def write_killed(prefix: Path, options: Options, blocks: Blocks, metadata: dict[bytes, bytes]) -> None:
    """What a kill leaves: an index that lists only the blocks before the last sync."""
    with tempfile.TemporaryDirectory() as folder:
        alive = Path(folder) / "alive"
        with smartpipe.open(alive, "a", metadata=metadata or None, **options) as pipe:
            for number, (key, pairs) in enumerate(blocks):
                pipe.write(key, pairs)
                if number + 1 == len(blocks) // 2:
                    pipe.sync()
            data_path = Path(pipe.data_path)
            data = data_path.read_bytes()
            index = Path(f"{alive}.idx").read_bytes()
    found = format2.read(data, index)
    if (len(found.blocks), len(found.scanned.records)) != (len(blocks), len(blocks) - len(blocks) // 2):
        raise SystemExit("the index lists other blocks than those before the sync: run this again")
    Path(f"{prefix}{data_path.suffix}").write_bytes(data)
    Path(f"{prefix}.idx").write_bytes(index)


def write_torn(prefix: Path, options: Options, blocks: Blocks, metadata: dict[bytes, bytes]) -> None:
    """What a kill in the middle of a write leaves: the same, and a part of one more block."""
    write_killed(prefix, options, [*blocks, page(99)], metadata)
    for path in prefix.parent.glob(f"{prefix.name}.dat*"):
        path.write_bytes(path.read_bytes()[:-1000])


def write_items(prefix: Path, options: Options, blocks: Blocks, metadata: dict[bytes, bytes]) -> None:
    """Where there is a dictionary, each half of the blocks with one of its own, the second any bytes."""
    half = len(blocks) // 2
    write_whole(prefix, options, blocks[:half], metadata)
    if "dictionary" in options:
        options = {**options, "dictionary": ITEM}
    with smartpipe.open(prefix, "a", **options) as pipe:
        for key, pairs in blocks[half:]:
            pipe.write(key, pairs)


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
        ("items", write_items, [item(number) for number in range(6)], {}),
    ]
    for name in load(GOLDEN / "format1"):
        blocks = read_files(GOLDEN / "format1" / "dat" / name).blocks
        cases.append((name, write_whole, blocks[SHORTENED.get(name, slice(None))], {}))

    options: dict[str, Options] = {
        "dat": {},
        "datz": {"compress": "zlib"},
        "zstd": {"compress": "zstd"},
        "lz4": {"compress": "lz4"},
        "zstd-dictionary": {"compress": "zstd", "dictionary": trained()},
    }
    for folder in FOLDERS:
        path = GOLDEN / "format2" / folder.name
        path.mkdir(exist_ok=True)
        for name, write, blocks, described in cases:
            if folder.has(name) and not list(path.glob(f"{name}.dat*")):
                write(path / name, options[folder.name], blocks, described)
    expected = {
        name: {"metadata": describe([(b"", described.items())])[0]["pairs"], "blocks": describe(blocks)}
        for name, _, blocks, described in cases
    }
    (GOLDEN / "format2" / "expected.json").write_text(json.dumps(expected, indent=0, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
