"""Both bindings of the engine, C functions and Python API: the same bytes, and each reads the other's."""

from __future__ import annotations

import os
import zlib
from pathlib import Path

import pytest

import smartpipe

from .pipes import KINDS, PAGES, Kind, every_kind, index, plant, read, write
from .process import run

HERE = smartpipe.engines()["zlib"]["binding"]

WRITING = """
import random, smartpipe, sys
path, format, compress, level = sys.argv[1], *map(int, sys.argv[2:])
chance = random.Random(9)
with smartpipe.open(path, "w", format=format, compress=bool(compress), level=level) as pipe:
    for number in range(60):
        size = chance.choice([0, 1, 50, 4095, 4096, 30_000])
        unit = chance.randbytes(chance.choice([1, 7, 5000]))
        value = (unit * (size // len(unit) + 1))[:size]
        pipe.write(b"%d" % number, [(b"k", value), (b"n", b"%d" % number)] * (number % 3))
print(smartpipe.engines()["zlib"]["binding"])
"""

READING = """
import smartpipe, sys, zlib
crc = count = 0
with smartpipe.open(sys.argv[1]) as pipe:
    for key, block in pipe.items():
        for name, value in block:
            crc = zlib.crc32(name + b"/" + value, zlib.crc32(key, crc))
            count += 1
    for key in pipe:
        assert list(pipe[key]) == [(name, value) for name, value in zip(pipe[key].keys(), (v for _, v in pipe[key]))]
print(crc, count, smartpipe.engines()["zlib"]["binding"])
"""


def other() -> dict[str, str]:
    """The environment in which the other binding is used."""
    return {"SMARTPIPE_ENGINE": "python" if HERE == "c" else ""}


def test_engines_tells_what_is_in_use() -> None:
    engines = smartpipe.engines()
    assert engines.keys() == {"zlib", "zstd", "lz4"}
    assert engines["zlib"]["engine"] == ("libdeflate" if HERE == "c" else "zlib-ng")
    assert engines["zstd"]["engine"] == "zstd" and engines["lz4"]["engine"] == "lz4"
    for codec in engines.values():
        assert list(codec["levels"]) == list(range(1, 10))
        for engine in codec["levels"].values():
            assert engine["binding"] == codec["binding"] == HERE
            assert engine["version"][0].isdigit() and "." in engine["version"]
            assert engine["engine"] in ("libdeflate", "ISA-L", "zlib-ng", "zstd", "lz4")


def test_the_environment_chooses_zlib_ng_alone() -> None:
    code = """
import smartpipe
zlib = smartpipe.engines()["zlib"]
print(zlib["engine"], {level["engine"] for level in zlib["levels"].values()})
"""
    assert run(code, SMARTPIPE_ENGINE="zlib-ng") == "zlib-ng {'zlib-ng'}\n"


def test_the_environment_chooses_the_python_api() -> None:
    code = "import smartpipe; print(smartpipe.engines()['zlib']['binding'])"
    assert run(code, SMARTPIPE_ENGINE="python") == "python\n"
    if os.environ.get("SMARTPIPE_ENGINE") != "python" and HERE == "c":
        assert run(code, SMARTPIPE_ENGINE="") == "c\n"


@pytest.mark.parametrize("level", [1, 3, 6, 9])
@every_kind
def test_both_bindings_of_zlib_ng_write_the_same(kind: Kind, level: int, prefix: str) -> None:
    bindings = []
    for name, engine in (("1", "zlib-ng"), ("2", "python")):
        said = run(WRITING, prefix + name, kind.format, int(kind.compress), level, SMARTPIPE_ENGINE=engine)
        bindings.append(said.strip())
    if HERE == "c":
        assert bindings == ["c", "python"]
    first, second = kind.data(prefix + "1").read_bytes(), kind.data(prefix + "2").read_bytes()
    if kind.format == 1:
        assert first == second
        assert index(prefix + "1").read_bytes() == index(prefix + "2").read_bytes()
    else:
        # The id and the stamps differ, and with them the checksums of the headers; nothing else does.
        assert len(first) == len(second)
        with smartpipe.open(prefix + "1") as one, smartpipe.open(prefix + "2") as two:
            entries = list(one.entries())
            others = [entry._replace(stamp=0) for entry in two.entries()]
            assert [entry._replace(stamp=0) for entry in entries] == others
        for entry in entries:
            record = slice(entry.offset + 16, entry.offset + entry.stored)
            assert first[record] == second[record]
    assert read(prefix + "1") == read(prefix + "2")


@every_kind
def test_each_reads_what_the_other_wrote(kind: Kind, prefix: str) -> None:
    run(WRITING, prefix, kind.format, int(kind.compress), 6)
    here = run(READING, prefix)
    there = run(READING, prefix, **other())
    assert here.split()[:2] == there.split()[:2]
    run(WRITING, prefix, kind.format, int(kind.compress), 6, **other())
    assert run(READING, prefix).split()[:2] == here.split()[:2]


REFUSING = """
import smartpipe, sys

def judge():
    with smartpipe.open(path) as pipe:
        for key in pipe:
            try:
                print(list(pipe[key]))
            except smartpipe.SmartPipeError as error:
                print(type(error))

path = sys.argv[1]
with open(path, "rb") as file:
    data = file.read()
changed = [data[:size] for size in range(len(data))]
changed += [data[:at] + bytes([data[at] ^ 0x24]) + data[at + 1 :] for at in range(len(data))]
for content in changed:
    with open(path, "wb") as file:
        file.write(content)
    judge()
with open(path, "wb") as file:
    file.write(data)
"""


def test_both_bindings_judge_damaged_streams_alike(prefix: str) -> None:
    # In format 1 only the stream tells.
    plant(prefix, [(b"%d" % n, [(b"k", b"v" * n * 20 + b"%d" % n)]) for n in range(1, 5)], Kind(1, True))
    path = Path(prefix + ".datz")
    here = run(REFUSING, path)
    assert here == run(REFUSING, path, **other())
    assert "CorruptError" in here and "TruncatedError" in here


BOUNDARIES = """
import smartpipe, sys
path, limit = sys.argv[1], int(sys.argv[2])
with smartpipe.open(path, max_block_size=limit) as pipe:
    for key in pipe:
        try:
            print(sum(len(value) for _, value in pipe[key]))
        except smartpipe.BlockTooLargeError:
            print("large")
"""


@pytest.mark.parametrize("size", [1000, 65_536, 70_000])
def test_both_bindings_end_at_the_limit(size: int, prefix: str) -> None:
    # The size of the last block of a .datz of format 1 is only known when it is inflated.
    for raw, expected in ((size, f"{size - 8}\n"), (size + 1, "large\n"), (size - 1, f"{size - 9}\n")):
        plant(prefix, [(b"key", [(b"", bytes(raw - 8))])], Kind(1, True))
        assert run(BOUNDARIES, prefix, size) == run(BOUNDARIES, prefix, size, **other()) == expected


def test_streams_of_another_zlib_can_be_read(prefix: str) -> None:
    # Stored, with fixed codes, with a small window, and with the best and the fastest of the standard library.
    raw = b"".join(b"%d " % (n % 700) for n in range(9000))
    pairs = len(b"k").to_bytes(4, "little") + b"k" + len(raw).to_bytes(4, "little") + raw
    streams = [zlib.compress(pairs, level) for level in (0, 1, 9)]
    ways = [(zlib.Z_FIXED, 15), (zlib.Z_HUFFMAN_ONLY, 15), (zlib.Z_RLE, 12), (zlib.Z_DEFAULT_STRATEGY, 9)]
    for strategy, bits in ways:
        stream = zlib.compressobj(6, zlib.DEFLATED, bits, 1, strategy)
        streams.append(stream.compress(pairs) + stream.flush())
    listed = data = b""
    for number, compressed in enumerate(streams):
        key = b"%d" % number
        listed += len(key).to_bytes(4, "little") + key
        listed += len(data).to_bytes(8, "little") + (number * len(pairs)).to_bytes(8, "little")
        data += compressed
    Path(prefix + ".datz").write_bytes(data)
    index(prefix).write_bytes(listed)
    assert read(prefix) == [(b"%d" % number, [(b"k", raw)]) for number in range(len(streams))]


def test_a_stream_with_a_dictionary_is_refused(prefix: str) -> None:
    stream = zlib.compressobj(zdict=b"dictionary")
    data = stream.compress(bytes(20)) + stream.flush()
    Path(prefix + ".datz").write_bytes(data)
    index(prefix).write_bytes((1).to_bytes(4, "little") + b"a" + bytes(16))
    with smartpipe.open(prefix) as pipe, pytest.raises(smartpipe.CorruptError):
        pipe[b"a"]


def test_pages_with_every_level(prefix: str) -> None:
    for level in range(1, 10):
        for kind in (KINDS[1], KINDS[3]):
            write(prefix, PAGES, kind, level=level)
            assert read(prefix) == PAGES


WITHOUT_CTYPES = """
import sys
sys.modules["ctypes"] = None
import smartpipe
print(smartpipe.engines()["zlib"]["binding"])
"""


def test_without_ctypes_python_apis_are_called() -> None:
    assert run(WITHOUT_CTYPES, SMARTPIPE_ENGINE="") == "python\n"


UNKNOWN = """
import sys
import smartpipe

def said(action):
    try:
        return action()
    except smartpipe.EngineError as error:
        return str(error)

print(said(smartpipe.engines))
print(said(lambda: smartpipe.open(sys.argv[1] + "-new", "w", compress=True)))
with smartpipe.open(sys.argv[1]) as pipe:
    print(said(lambda: list(pipe.items(on_error="skip"))))
"""


def test_an_engine_that_is_not_known_is_refused(prefix: str) -> None:
    write(prefix, PAGES, KINDS[1])
    said = run(UNKNOWN, prefix, SMARTPIPE_ENGINE="pyhton").splitlines()
    assert said == ["SMARTPIPE_ENGINE is 'pyhton', not c, python or zlib-ng"] * 3
    assert not Path(prefix + "-new.datz").exists()
