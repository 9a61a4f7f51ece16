"""Writes the seeds of the fuzz targets anew: `python -m tests.hostile.fuzz.make_corpus` in the root.

They are made from the golden files and by the plain writers of tests/reference, and are the same each time.
"""

from __future__ import annotations

import shutil
import struct
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import lz4.block
from backports import zstd

from tests.reference import Blocks, format1
from tests.reference.format2 import DICTIONARY, LZ4, MEMBER, METADATA, NONE, ZLIB, ZSTD
from tests.reference.format2_writer import Writer

CORPUS = Path(__file__).parent / "corpus"
GOLDEN = Path(__file__).parents[2] / "golden"
LARGEST = 3000
"""Golden files of more bytes teach a fuzzer nothing that smaller ones do not."""

BLOCKS: Blocks = [
    (b"first", [(b"raw", b"x" * 60), (b"log", b"ok")]),
    (b"second", []),
    (b"third", [(b"", b"0123456789" * 8), (b"log", b""), (b"log", b"again")]),
    (b"", [(b"a", b"1"), (b"b", bytes(range(40))), (b"raw", b"<p>" * 20)]),
]

CHECKSUMS = b"\x01"
AS_IT_IS = b"\x00"


def planted(
    codec: int,
    *,
    frames: int = 1,
    slots: int | None = None,
    repeated: bool = False,
    compress: Callable[[bytes], bytes] = zlib.compress,
) -> Writer:
    """A pipe of a few small blocks with values of 32 bytes and more large, and metadata."""
    writer = Writer(0x0123456789ABCDEF, codec=codec, large=32, deflate=compress)
    writer.metadata({b"made by": b"make_corpus.py"})
    for number in range(frames):
        for key, pairs in BLOCKS:
            writer.write(key + b"%d" % (0 if repeated else number), pairs)
        writer.sync()
        writer.frame(slots=slots, closed=number == frames - 1)
    return writer


def several_pages() -> Writer:
    """A pipe whose index has a frame of several pages, with and without a table."""
    writer = Writer(1, codec=NONE)
    for number in range(100):
        writer.write(b"key %d" % (number % 95), [])
    writer.frame()
    for number in range(5):
        writer.write(b"more %d" % number, [])
    writer.frame(slots=0)
    return writer


def with_dictionaries() -> Writer:
    """A pipe with two dictionaries, each with blocks of its own."""
    writer = Writer(3, codec=ZSTD, large=32)
    for number, content in ((1, b"0123456789<p>xxxxxxxx"), (2, bytes(range(40)))):
        for _ in range(2):
            writer.write(b"", [(b"", content)], DICTIONARY, number)
        dictionary = zstd.ZstdDict(content, is_raw=True)
        writer.deflate = lambda raw, dictionary=dictionary: zstd.compress(raw, zstd_dict=dictionary)
        for key, pairs in BLOCKS:
            writer.write(key + b"%d" % number, pairs, dictionary=number)
    writer.sync()
    writer.frame(closed=True)
    return writer


def strange() -> Writer:
    """A pipe with a kind that a reader skips, metadata twice, and bytes between records that belong to none."""
    writer = Writer(2, codec=NONE, large=16)
    writer.write(b"optional", {b"a": b"b"}, 200)
    writer.metadata({b"": b"first"})
    writer.data += b"\xf1SP damage \xf1SPr"
    writer.write(b"a", [(b"k", b"v" * 20)])
    writer.write(b"", [(b"", b"second" * 5)], METADATA)
    writer.data += bytes(100)
    return writer


def golden(format: int, suffix: str) -> Iterator[tuple[str, bytes]]:
    """The small golden files with a suffix, those of both codecs."""
    for path in sorted((GOLDEN / f"format{format}").glob(f"*/*{suffix}")):
        if 0 < path.stat().st_size <= LARGEST:
            yield f"golden-{format}-{path.parent.name}-{path.stem}", path.read_bytes()


def with_counts(index: bytes, **counts: int) -> bytes:
    """An index whose first frame has other counts in its header."""
    changed = bytearray(index)
    for name, count in counts.items():
        struct.pack_into("<Q", changed, 64 + {"entries": 40, "key_bytes": 48, "slots": 56}[name], count)
    return bytes(changed)


def with_position(index: bytes, position: int) -> bytes:
    """An index whose first entry has another position of its key."""
    changed = bytearray(index)
    struct.pack_into("<Q", changed, 64 + 128 + 8 + 8, position)
    return bytes(changed)


def exact_pages() -> Writer:
    """A pipe whose index has a frame with a body of exactly two pages, which ends with a key."""
    writer = Writer(3, codec=NONE)
    writer.write(b"key", [])
    writer.write(b"k" * (8192 - 2 * 48 - 4 * 8 - 3), [])
    writer.frame(slots=4, closed=True)
    return writer


def index_seeds() -> Iterator[tuple[str, bytes]]:
    for name, content in golden(2, ".idx"):
        yield name, AS_IT_IS + content
    yield "frames", CHECKSUMS + planted(NONE, frames=3).index
    yield "repeated", CHECKSUMS + planted(NONE, frames=2, repeated=True).index
    yield "no-table", CHECKSUMS + planted(NONE, frames=2, slots=0).index
    yield "long-table", b"\x03" + planted(NONE, slots=40).index
    yield "full-table", b"\x03" + with_counts(planted(NONE).index, slots=4)
    yield "entries-overflow", b"\x03" + with_counts(planted(NONE).index, entries=1 << 60, slots=0)
    yield "keys-overflow", b"\x03" + with_counts(planted(NONE).index, key_bytes=2**64 - 8)
    yield "slots-overflow", b"\x03" + with_counts(planted(NONE).index, slots=(1 << 61) + 5)
    yield "position-overflow", CHECKSUMS + with_position(planted(NONE).index, 2**64 - 3)
    yield "exact-pages", CHECKSUMS + exact_pages().index
    yield "pages", CHECKSUMS + several_pages().index
    yield "bad-page", b"\x05" + several_pages().index.replace(b"key 50", b"key_50")
    # The sum of the second page, where the key is that the table finds.
    bad = exact_pages().index
    bad[64 + 128 + 4] ^= 1
    yield "bad-key", b"\x05" + bad


def record_seeds() -> Iterator[tuple[str, bytes]]:
    for suffix in (".dat", ".datz"):
        for name, content in golden(2, suffix):
            yield name, AS_IT_IS + content
    yield "none", CHECKSUMS + planted(NONE).data
    yield "zlib", b"\x03" + planted(ZLIB).data
    yield "strange", CHECKSUMS + strange().data


def head(pairs: list[tuple[bytes, bytes]], larges: set[int]) -> bytes:
    """Input of the target `head`: the head of these pairs, some of them large."""
    gaps, before = b"", 0
    for number in sorted(larges):
        gaps += bytes([number - before])
        before = number + 1
    lengths = [len(key) for key, _ in pairs] + [len(value) for _, value in pairs]
    small = [value for number, (_, value) in enumerate(pairs) if number not in larges]
    content = struct.pack(f"<{len(lengths)}I", *lengths) + b"".join([key for key, _ in pairs] + small)
    return struct.pack("<HB", len(pairs), len(larges)) + gaps + content


def group(members: list[tuple[bytes, bytes]]) -> bytes:
    """Input of the target `head`: the table of these members, and their values."""
    table = b"".join(MEMBER.pack(number, len(key), len(value)) for number, (key, value) in enumerate(members))
    table += b"".join(key for key, _ in members)
    content = head([(b"", value) for _, value in members], set())[3:]
    return struct.pack("<HHQ", len(members), len(table), len(members)) + table + content


def head_seeds() -> Iterator[tuple[str, bytes]]:
    for name, content in golden(1, ".idx"):
        yield f"entries-{name}", b"\x02" + content
    for name, content in golden(1, ".dat"):
        yield f"pairs-{name}", b"\x01" + content
    for number, (_, pairs) in enumerate(BLOCKS):
        yield f"head-{number}", b"\x00" + head(pairs, set())
        yield f"head-{number}-large", b"\x00" + head(pairs, set(range(0, len(pairs), 2)))
        yield f"head-{number}-lie", b"\x04" + head(pairs, set(range(len(pairs))))
    yield "group", b"\x03" + group(BLOCKS[2][1] + BLOCKS[3][1])
    yield "group-of-one", b"\x03" + group([(b"", b"")])


def stream(content: bytes, level: int = 6, bits: int = 15, strategy: int = zlib.Z_DEFAULT_STRATEGY) -> bytes:
    deflater = zlib.compressobj(level, zlib.DEFLATED, bits, 8, strategy)
    return deflater.compress(content) + deflater.flush()


def inflate_seeds() -> Iterator[tuple[str, bytes]]:
    text = b"".join(b"<p>%d %d</p>" % (number, number * number) for number in range(100))
    mixed = bytes(range(256)) + text + b"x" * 3000
    flushed = zlib.compressobj()
    parts = flushed.compress(text) + flushed.flush(zlib.Z_FULL_FLUSH) + flushed.compress(mixed) + flushed.flush()
    dictionary = zlib.compressobj(zdict=b"<p>")
    with_dictionary = dictionary.compress(text) + dictionary.flush()
    for name, content in [
        ("nothing", stream(b"")),
        ("stored", stream(mixed[:400], 0)),
        ("fixed", stream(text, strategy=zlib.Z_FIXED)),
        ("huffman", stream(text, strategy=zlib.Z_HUFFMAN_ONLY)),
        ("lengths", stream(mixed, strategy=zlib.Z_RLE)),
        ("dynamic", stream(mixed, 9)),
        ("small-window", stream(mixed, bits=9)),
        ("zeros", stream(bytes(1 << 20))),
        ("parts", parts),
        ("dictionary", with_dictionary),
        ("trailing", stream(text) + b"behind"),
        ("cut", stream(text)[:-5]),
        ("gzip", stream(text, bits=31)),
    ]:
        yield name, b"\x0b" + (1 << 20).to_bytes(3, "little") + content
        yield f"{name}-small", b"\x02" + len(text).to_bytes(3, "little") + content


def zstd_seeds() -> Iterator[tuple[str, bytes]]:
    text = b"".join(b"<p>%d %d</p>" % (number, number * number) for number in range(100))
    plain = {zstd.CompressionParameter.content_size_flag: 0}
    for name, options, content in [
        ("nothing", None, b""),
        ("small", None, text[:200]),
        ("text", None, text),
        ("checksum", {zstd.CompressionParameter.checksum_flag: 1}, text),
        ("window", {zstd.CompressionParameter.window_log: 10}, text),
        ("no-size", plain, text),
        ("zeros", None, bytes(1 << 20)),
        ("stored", None, bytes(range(256)) * 2),
        ("trailing", None, text[:300]),
    ]:
        compressor = zstd.ZstdCompressor(options=options)
        frame = compressor.compress(content, compressor.FLUSH_FRAME)
        yield name, frame + b"behind" if name == "trailing" else frame
    dictionary = zstd.ZstdDict(text, is_raw=True)
    yield "dictionary", zstd.compress(text, zstd_dict=dictionary)
    yield "skippable", b"\x50\x2a\x4d\x18\x04\x00\x00\x00abcd"


def api_input(options: int, data: bytes, index: bytes) -> bytes:
    """Input of the target `api`: api.py says what the options are."""
    return bytes([options]) + len(data).to_bytes(3, "little") + data + index


def api_seeds() -> Iterator[tuple[str, bytes]]:
    for codec, datz in ((NONE, 0), (ZLIB, 1)):
        for name, writer in [
            ("closed", planted(codec)),
            ("frames", planted(codec, frames=2)),
            ("repeated", planted(codec, frames=2, repeated=True, slots=0)),
        ]:
            yield f"format2-{codec}-{name}", api_input(datz | 2 | 4, bytes(writer.data), bytes(writer.index))
            yield f"format2-{codec}-{name}-damaged", api_input(datz | 2, bytes(writer.data[:-9]), bytes(writer.index))
        yield f"format2-{codec}-no-index", api_input(datz | 4, bytes(planted(codec).data), b"")
        data, index = format1.write(BLOCKS, compressed=codec == ZLIB)
        yield f"format1-{codec}", api_input(datz | 2, data, index)
        yield f"format1-{codec}-torn", api_input(datz | 2, data[:-3], index[:-3])
    for codec, compress in ((ZSTD, zstd.compress), (LZ4, lambda raw: lz4.block.compress(raw, store_size=False))):
        writer = planted(codec, compress=compress)
        yield f"format2-{codec}-closed", api_input(1 | 2 | 4, bytes(writer.data), bytes(writer.index))
        yield f"format2-{codec}-no-index", api_input(1, bytes(writer.data), b"")
    writer = with_dictionaries()
    yield "format2-dictionaries", api_input(1 | 2 | 4, bytes(writer.data), bytes(writer.index))
    yield "format2-dictionaries-no-index", api_input(1 | 4, bytes(writer.data), b"")
    yield "format2-strange", api_input(2 | 4, bytes(strange().data), bytes(strange().index))
    yield "format2-pages", api_input(2, bytes(several_pages().data), bytes(several_pages().index))


SEEDS: dict[str, Callable[[], Iterator[tuple[str, bytes]]]] = {
    "index": index_seeds,
    "record": record_seeds,
    "head": head_seeds,
    "inflate": inflate_seeds,
    "zstd": zstd_seeds,
    "api": api_seeds,
}


def main() -> None:
    shutil.rmtree(CORPUS, ignore_errors=True)
    for target, seeds in SEEDS.items():
        (CORPUS / target).mkdir(parents=True)
        for name, content in seeds():
            (CORPUS / target / name).write_bytes(content)


if __name__ == "__main__":
    main()
