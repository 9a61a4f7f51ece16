"""The codecs zstd and lz4 beside zlib: what they hold, what is refused, and what a missing engine leads to."""

from __future__ import annotations

import argparse
import os
import tempfile
import typing
import zlib
from collections.abc import Callable
from pathlib import Path
from random import Random

import lz4.block
import pytest
from backports import zstd
from reference import format2, format2_writer

import smartpipe

from .pipes import FILE_ID, PAGES, Blocks, index, read
from .process import run

CODECS = ["zlib", "zstd", "lz4"]
every_codec = pytest.mark.parametrize("codec", CODECS)
NUMBERS = {"zlib": format2.ZLIB, "zstd": format2.ZSTD, "lz4": format2.LZ4}
COMPRESS: dict[str, Callable[[bytes], bytes]] = {
    "zlib": zlib.compress,
    "zstd": lambda raw: zstd.compress(raw, 3),
    "lz4": lambda raw: lz4.block.compress(raw, store_size=False),
}

CHANCE = Random(4)
WORDS = [CHANCE.randbytes(CHANCE.randrange(2, 9)) for _ in range(300)]
# Nothing, what does not shrink, what shrinks to almost nothing, and words; each as a small value and a large one.
HARD: Blocks = [
    (b"nothing", [(b"", b""), (b"k", b"")]),
    (b"random", [(b"small", CHANCE.randbytes(3000)), (b"large", CHANCE.randbytes(70_000))]),
    (b"zeros", [(b"small", bytes(4000)), (b"large", bytes(3_000_000))]),
    (b"words", [(b"%d" % n, b" ".join(CHANCE.choices(WORDS, k=n))) for n in (1, 10, 700, 20_000, 60_000)]),
    (b"at the border", [(b"%d" % size, (b"ab" * size)[:size]) for size in (4095, 4096, 4097)]),
]


def write(prefix: str, blocks: Blocks, codec: str, level: int = 6, **options: object) -> None:
    with smartpipe.open(prefix, "w", compress=codec, level=level, **options) as pipe:  # type: ignore[call-overload]
        for key, pairs in blocks:
            pipe.write(key, pairs)


@pytest.mark.parametrize("level", range(1, 10))
@every_codec
def test_what_is_written_is_read(codec: str, level: int, prefix: str) -> None:
    blocks = PAGES + HARD
    write(prefix, blocks, codec, level, verify=True)
    assert read(prefix) == blocks
    with smartpipe.open(prefix) as pipe:
        assert pipe.codec == codec and pipe.data_path == prefix + ".datz"
        assert pipe[b"zeros"].get(b"large") == bytes(3_000_000)
    data = Path(prefix + ".datz").read_bytes()
    assert format2.read(data, index(prefix).read_bytes()).blocks == blocks
    assert {record.codec for record in format2.scan(data, format2.read_file_header(data).file_id).records} == {
        NUMBERS[codec]
    }
    assert smartpipe.verify(prefix).ok


@every_codec
def test_pipes_of_others_are_read(codec: str, prefix: str) -> None:
    writer = format2_writer.Writer(FILE_ID, codec=NUMBERS[codec], large=32, deflate=COMPRESS[codec])
    for key, pairs in PAGES + HARD:
        writer.write(key, pairs)
    writer.frame(closed=True)
    writer.save(prefix)
    assert read(prefix) == PAGES + HARD


@every_codec
def test_a_pipe_is_gone_on_with_as_it_is(codec: str, prefix: str) -> None:
    write(prefix, PAGES[:2], codec)
    with smartpipe.open(prefix, "a") as pipe:
        assert pipe.codec == codec
        pipe.write(*PAGES[2])
    with smartpipe.open(prefix, "a", compress=codec) as pipe:  # type: ignore[call-overload]
        pipe.write(*PAGES[3])
    assert read(prefix) == PAGES
    for other in [name for name in CODECS if name != codec]:
        with pytest.raises(ValueError, match=f"has the codec {codec}, and compress asks for {other}"):
            smartpipe.open(prefix, "a", compress=other)  # type: ignore[call-overload]
    with pytest.raises(ValueError, match="compressed"):
        smartpipe.open(prefix, "a", compress=False)
    assert read(prefix) == PAGES


@pytest.mark.parametrize("codec", ["zstd", "lz4"])
def test_format1_has_zlib_only(codec: str, prefix: str) -> None:
    with pytest.raises(ValueError, match=f"format 1 has no codec {codec}"):
        smartpipe.open(prefix, "w", format=1, compress=codec)  # type: ignore[call-overload]
    assert not os.path.exists(prefix + ".datz")
    with smartpipe.open(prefix, "w", format=1, compress=True) as pipe:
        pipe.write(b"k", {b"a": b"b"})
    with pytest.raises(ValueError, match="has the codec zlib"):
        smartpipe.open(prefix, "a", compress=codec)  # type: ignore[call-overload]
    write(prefix, PAGES, codec)
    assert smartpipe.convert(prefix, prefix + "1", format=1)["blocks"] == len(PAGES)
    with smartpipe.open(prefix + "1") as reader:
        assert (reader.format, reader.codec) == (1, "zlib")


@every_codec
def test_the_codec_is_carried_over(codec: str, prefix: str) -> None:
    write(prefix, PAGES, codec)
    smartpipe.convert(prefix, prefix + "-converted")
    smartpipe.recover(prefix, prefix + "-recovered")
    smartpipe.extract(prefix, prefix + "-folder")
    smartpipe.import_folder(prefix + "-folder", prefix + "-imported")
    for name in ("converted", "recovered", "imported"):
        with smartpipe.open(f"{prefix}-{name}") as reader:
            assert reader.codec == codec
        assert read(f"{prefix}-{name}") == PAGES
    os.unlink(index(prefix))
    smartpipe.rebuild_index(prefix)
    assert read(prefix) == PAGES
    with smartpipe.open(prefix, "a") as pipe:
        assert pipe.codec == codec


def test_the_name_of_a_file_allows_every_codec(prefix: str) -> None:
    for codec in CODECS:
        write(prefix + codec + ".datz", PAGES, codec)
        with smartpipe.open(prefix + codec) as reader:
            assert reader.codec == codec
        with pytest.raises(ValueError, match="contradicts the name"):
            write(prefix + codec + ".dat", PAGES, codec)


@every_codec
def test_sizes_fall_with_the_level(codec: str, prefix: str) -> None:
    texts = [Path(module.__file__).read_bytes() for module in (os, argparse, typing, tempfile)]
    sizes = []
    for level in range(1, 10):
        write(prefix, [(b"%d" % number, [(b"raw", text)]) for number, text in enumerate(texts)], codec, level)
        sizes.append(os.path.getsize(prefix + ".datz"))
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[0] < sum(map(len, texts)) / 2


def with_segment(prefix: str, codec: str, raw: bytes, stored: bytes) -> None:
    """A pipe whose second block has a large value that is stored like this, with a crc that is right."""
    streams = {raw: stored}
    writer = format2_writer.Writer(FILE_ID, codec=NUMBERS[codec], large=100, deflate=lambda raw: streams.get(raw, raw))
    writer.write(b"first", [(b"k", b"v")])
    writer.write(b"second", [(b"k", raw)])
    writer.write(b"third", [(b"k", b"w")])
    writer.frame(closed=True)
    writer.save(prefix)


RAW = b"".join(b"%d " % (n * n) for n in range(3000))
FRAME = zstd.compress(RAW, 3)
BLOCK = lz4.block.compress(RAW, store_size=False)
BLOCK_HEADER = 5 + (2, 4)[FRAME[4] >> 6 == 2]  # behind a descriptor and the size of the content
SKIPPABLE = b"\x50\x2a\x4d\x18\x04\x00\x00\x00abcd"


def no_size(raw: bytes) -> bytes:
    compressor = zstd.ZstdCompressor(options={zstd.CompressionParameter.content_size_flag: 0})
    return compressor.compress(raw, compressor.FLUSH_FRAME)


def long_window(raw: bytes) -> bytes:
    """The same frame with a window of 256 MiB in its header."""
    small = zstd.ZstdCompressor(options={zstd.CompressionParameter.window_log: 10})
    frame = bytearray(small.compress(raw, small.FLUSH_FRAME))
    assert frame[4] & 0x20 == 0
    frame[5] = (28 - 10) << 3
    return bytes(frame)


WRONG = {
    "zstd, less": ("zstd", zstd.compress(RAW[:-1], 3)),
    "zstd, more": ("zstd", zstd.compress(RAW + b"!", 3)),
    "zstd, other bytes behind": ("zstd", FRAME + b"!"),
    "zstd, a frame behind": ("zstd", FRAME + zstd.compress(b"")),
    "zstd, a skippable frame behind": ("zstd", FRAME + SKIPPABLE),
    "zstd, a skippable frame before": ("zstd", SKIPPABLE + FRAME),
    "zstd, cut": ("zstd", FRAME[:-1]),
    "zstd, cut in its header": ("zstd", FRAME[:6]),
    "zstd, damaged": ("zstd", FRAME[:12] + b"\xff" * 8 + FRAME[20:]),
    "zstd, a block of no type": (
        "zstd",
        FRAME[:BLOCK_HEADER] + bytes([FRAME[BLOCK_HEADER] | 6]) + FRAME[BLOCK_HEADER + 1 :],
    ),
    "zstd, no frame": ("zstd", b"?" * 100),
    "zstd, without a size": ("zstd", no_size(RAW)),
    "zstd, a window too large": ("zstd", long_window(RAW)),
    "lz4, less": ("lz4", lz4.block.compress(RAW[:-1], store_size=False)),
    "lz4, more": ("lz4", lz4.block.compress(RAW + b"!", store_size=False)),
    "lz4, much more": ("lz4", lz4.block.compress(RAW + bytes(10_000), store_size=False)),
    "lz4, with its size": ("lz4", lz4.block.compress(RAW)),
    "lz4, cut": ("lz4", BLOCK[:-1]),
    "lz4, bytes behind": ("lz4", BLOCK + b"!"),
    "lz4, no block": ("lz4", b"\xff" * 100),
}

REFUSED = """
import smartpipe, sys
with smartpipe.open(sys.argv[1]) as pipe:
    for key in pipe:
        try:
            print(key, len(list(pipe[key])))
        except smartpipe.SmartPipeError as error:
            print(key, type(error).__name__, error.block, error.args[0])
    assert [key for key, _ in pipe.items(on_error="skip")] == [b"first", b"third"]
"""


@pytest.mark.parametrize("name", WRONG)
def test_wrong_streams_are_refused_by_both_bindings(name: str, prefix: str) -> None:
    codec, stored = WRONG[name]
    with_segment(prefix, codec, RAW, stored)
    said = run(REFUSED, prefix, SMARTPIPE_ENGINE="")
    assert said == run(REFUSED, prefix, SMARTPIPE_ENGINE="python")
    first, second, third = said.splitlines()
    assert first == "b'first' 1" and third == "b'third' 1"
    kind = "TruncatedError" if name.startswith("zstd, cut") else "CorruptError"
    assert second.startswith(f"b'second' {kind} b'second' the value of pair 0: ")
    assert not smartpipe.verify(prefix).ok


def test_frames_with_a_checksum_are_read(prefix: str) -> None:
    compressor = zstd.ZstdCompressor(options={zstd.CompressionParameter.checksum_flag: 1})
    with_segment(prefix, "zstd", RAW, compressor.compress(RAW, compressor.FLUSH_FRAME))
    assert read(prefix)[1] == (b"second", [(b"k", RAW)])


@pytest.mark.parametrize("codec, ratio", [("zstd", 32_768), ("lz4", 255), ("zlib", 1032)])
def test_more_than_a_codec_can_hold_is_corrupt(codec: str, ratio: int, prefix: str) -> None:
    stored = b"?" * 400
    allowed = {"zstd": 131_072, "lz4": 0, "zlib": 65_536}[codec] + ratio * len(stored)
    writer = format2_writer.Writer(FILE_ID, codec=NUMBERS[codec], large=100, deflate=lambda raw: stored)
    writer.write(b"can be", [(b"k", bytes(allowed))])
    writer.write(b"can not be", [(b"k", bytes(allowed + 1))])
    writer.save(prefix)
    # Both are damaged; of the second that is known before anything is inflated.
    with smartpipe.open(prefix) as pipe:
        found = {}
        for key in (b"can be", b"can not be"):
            with pytest.raises(smartpipe.CorruptError) as caught:
                list(pipe[key])
            found[key] = caught.value.args[0]
    assert "the sizes do not add up" in found[b"can not be"] and "do not add up" not in found[b"can be"]


@every_codec
def test_both_bindings_read_what_the_other_wrote(codec: str, prefix: str) -> None:
    code = """
import smartpipe, sys
with smartpipe.open(sys.argv[1]) as old, smartpipe.open(sys.argv[2], "w", compress=sys.argv[3]) as new:
    for key, block in old.items():
        new.write(key, block)
"""
    write(prefix, PAGES + HARD, codec)
    run(code, prefix, prefix + "-there", codec, SMARTPIPE_ENGINE="python")
    assert read(prefix + "-there") == PAGES + HARD
    run(code, prefix + "-there", prefix + "-back", codec, SMARTPIPE_ENGINE="")
    assert read(prefix + "-back") == PAGES + HARD
    if codec == "zstd":
        # By the same library with the same settings.
        first, second = Path(prefix + ".datz").read_bytes(), Path(prefix + "-there.datz").read_bytes()
        assert len(first) == len(second)


MISSING = """
import glob, sys, warnings
for name in {hidden}:
    sys.modules[name] = None
import smartpipe
path, codec = sys.argv[1:]

def said(action):
    try:
        return action()
    except smartpipe.EngineError as error:
        return str(error)

assert codec not in smartpipe.engines() and "zlib" in smartpipe.engines()
print(said(lambda: smartpipe.open(path + "-new", "w", compress=codec)))
print(said(lambda: smartpipe.open(path, "a")))
with smartpipe.open(path) as pipe:
    print(pipe.codec, list(pipe)[:1], said(lambda: list(pipe[b"https://a"])))
    for skipping in (
        lambda: list(pipe.items(on_error="skip")),
        lambda: list(pipe.items(on_error="skip", threads=2)),
        lambda: list(pipe.items(on_error="skip", shuffle=1)),
        lambda: list(pipe.columns(on_error="skip")),
        lambda: pipe.to_arrow(on_error="skip"),
        lambda: list(pipe.get_many([b"https://a"], on_error="skip")),
        lambda: list(pipe.follow(timeout=0, on_error="skip")),
        lambda: smartpipe.map(path, path + "-mapped", lambda key, block: block, jobs=1),
        lambda: smartpipe.convert(path, path + "-converted", compress=False),
        lambda: smartpipe.verify(path),
        lambda: smartpipe.recover(path, path + "-saved", compress=False),
    ):
        print(said(skipping))
    assert pipe.stats()["skipped_blocks"] == 0
print(len(glob.glob(path + "-[cs]*")))
"""
HIDDEN = {
    "zstd": ["backports.zstd", "backports.zstd._zstd", "_zstd", "compression.zstd"],
    "lz4": ["lz4", "lz4.block", "lz4.block._block"],
}


@pytest.mark.parametrize("codec", ["zstd", "lz4"])
def test_a_missing_engine_is_named_with_what_to_install(codec: str, prefix: str) -> None:
    write(prefix, [(b"https://a", [(b"log", b"ok " * 200)])], codec)
    before = Path(prefix + ".datz").read_bytes()
    lines = run(MISSING.format(hidden=HIDDEN[codec]), prefix, codec).splitlines()
    needs = f"codec {codec} has no engine here: pip install 'smartpipe[{codec}]'"
    assert lines[0] == needs
    assert not os.path.exists(prefix + "-new.datz") and not os.path.exists(prefix + "-new.idx")
    assert lines[1] == f"{prefix}.datz: {needs}"
    where = f"{prefix}.datz: block b'https://a' at offset 32"
    assert lines[2] == f"{codec} [b'https://a'] {where}: the head of the record: {needs}"
    assert lines[3:14] == [f"{where}: the head of the record: {needs}"] * 11
    assert lines[14:] == ["0"]
    assert Path(prefix + ".datz").read_bytes() == before


@every_codec
def test_threads_that_need_an_engine_first_at_the_same_time(codec: str, prefix: str) -> None:
    code = """
import sys, threading
import smartpipe
path, codec = sys.argv[1:]
start = threading.Barrier(8)
done = []

def work(number):
    start.wait()
    with smartpipe.open(path) as old, smartpipe.open(f"{path}-{number}", "w", compress=codec, level=number + 1) as new:
        for key, block in old.items():
            new.write(key, block)
    done.append(number)

threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print(sorted(done))
"""
    write(prefix, PAGES + HARD, codec)
    assert run(code, prefix, codec) == "[0, 1, 2, 3, 4, 5, 6, 7]\n"
    for number in range(8):
        assert read(f"{prefix}-{number}") == PAGES + HARD


def test_without_libdeflate_and_isal_zlib_ng_does_it_all(prefix: str) -> None:
    code = """
import sys
for name in ("deflate", "deflate._deflate", "isal", "isal.isal_zlib"):
    sys.modules[name] = None
import smartpipe
zlib = smartpipe.engines()["zlib"]
print(zlib["engine"], {level["engine"] for level in zlib["levels"].values()})
with smartpipe.open(sys.argv[1]) as old, smartpipe.open(sys.argv[2], "w", compress=True, level=1) as new:
    for key, block in old.items():
        new.write(key, block)
"""
    write(prefix, PAGES + HARD, "zlib")
    assert run(code, prefix, prefix + "-new") == "zlib-ng {'zlib-ng'}\n"
    assert read(prefix + "-new") == PAGES + HARD
