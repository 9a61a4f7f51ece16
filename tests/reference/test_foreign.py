"""Files that smartpipe never writes, with right crcs, as other versions and other hands may write them."""

from __future__ import annotations

import warnings
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import smartpipe

from . import format2
from .format2 import Corrupt, Refused
from .format2_writer import Writer
from .test_damage import read_plain, read_smartpipe, save

FILE_ID = 9
Change = Callable[[bytearray, bytearray], None]


@pytest.fixture(autouse=True)
def _no_surprise() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", smartpipe.PipeWarning)
        yield


def write() -> tuple[Writer, int]:
    """A pipe of two blocks and its index; the offset of the second, which has one small and one large value."""
    writer = Writer(FILE_ID, codec=format2.ZLIB, large=30)
    writer.write(b"first", [(b"k", b"v")])
    offset = writer.write(b"second", [(b"small", b"s"), (b"large", b"x" * 40)])
    writer.write(b"third", [])
    return writer, offset


def file_header(place: int, value: int) -> Change:
    """A changed byte of the file header."""

    def change(data: bytearray, _: bytearray) -> None:
        data[place] = value
        data[28:32] = format2.U32.pack(zlib.crc32(data[:28]))

    return change


def record_header(place: int, value: int) -> Change:
    """A changed byte of the second record's header."""

    def change(data: bytearray, _: bytearray) -> None:
        offset = write()[1]
        data[offset + place] = value
        seal_record(data, offset)

    return change


def seal_record(data: bytearray, offset: int) -> None:
    crc = format2.bound_crc(FILE_ID, offset, bytes(data[offset + 8 : offset + 64]))
    data[offset + 4 : offset + 8] = format2.U32.pack(crc)


def directory(place: int, value: int) -> Change:
    """A changed byte of the second record's directory."""

    def change(data: bytearray, _: bytearray) -> None:
        offset = write()[1]
        data[offset + 64 + place] = value
        crc = zlib.crc32(data[offset + 64 : offset + 64 + 16 + len(b"second")])
        data[offset + 52 : offset + 56] = format2.U32.pack(crc)
        seal_record(data, offset)

    return change


def head(place: int, value: int) -> Change:
    """A changed byte of the second record's head, which is stored as it is."""

    def change(data: bytearray, _: bytearray) -> None:
        offset = write()[1]
        begin = offset + 64 + 16 + len(b"second")
        length = 16 + len(b"smalllarges")
        assert data[begin : begin + 4] == format2.U32.pack(len(b"small"))
        data[begin + place] = value
        data[offset + 48 : offset + 52] = format2.U32.pack(zlib.crc32(data[begin : begin + length]))
        seal_record(data, offset)

    return change


def index_header(place: int, value: int) -> Change:
    def change(_: bytearray, index: bytearray) -> None:
        index[place] = value
        index[60:64] = format2.U32.pack(zlib.crc32(index[:60]))

    return change


def frame_header(place: int, value: int) -> Change:
    def change(_: bytearray, index: bytearray) -> None:
        index[64 + place] = value
        seal_frame(index)

    return change


def frame_body(place: int, value: int) -> Change:
    """A changed byte behind the sums of the only frame."""

    def change(_: bytearray, index: bytearray) -> None:
        body = 64 + 128 + 8
        index[body + place] = value
        index[64 + 128 : body] = format2.make_sums(bytes(index[body:]))
        index[64 + 116 : 64 + 120] = format2.U32.pack(zlib.crc32(index[64 + 128 : body]))
        seal_frame(index)

    return change


def seal_frame(index: bytearray) -> None:
    crc = format2.bound_crc(FILE_ID, 64, bytes(index[64 + 8 : 64 + 128]))
    index[64 + 4 : 64 + 8] = format2.U32.pack(crc)


# What becomes of the second block: its pairs, an error of its own, nothing where it is no block, or one for the file.
READ = [(b"small", b"s"), (b"large", b"x" * 40)]
DATA: dict[str, tuple[Change, object]] = {
    "required flag": (file_header(16, 1), "file"),
    "required flag, the last": (file_header(19, 128), "file"),
    "optional flag": (file_header(20, 1), READ),
    "zeros of the file header": (file_header(26, 1), "file"),
    "kind that must be known": (record_header(60, 5), "file"),
    "kind for shard stores": (record_header(60, 1), "file"),
    "kind to skip": (record_header(60, 128), None),
    "metadata": (record_header(60, 2), None),
    "codec not known": (record_header(61, 4), Refused),
    "codec none for what was compressed": (record_header(61, 0), Corrupt),
    "dictionary not known": (record_header(62, 1), Refused),
    "one pair less": (record_header(32, 1), Corrupt),
    "one pair more": (record_header(32, 3), Corrupt),
    "large value of no pair": (directory(0, 2), Corrupt),
    "large value of the other pair": (directory(0, 0), Corrupt),
    "large value of more": (directory(4, 41), Corrupt),
    "large value stored in less": (directory(8, 11), Corrupt),
    "longer pair key": (head(0, 6), Corrupt),
    "longer value": (head(8, 2), Corrupt),
    "longer large value": (head(12, 41), Corrupt),
    "huge pair key": (head(3, 255), Corrupt),
}
INDEX: dict[str, Change] = {
    "required flag": index_header(16, 1),
    "optional flag": index_header(20, 1),
    "zeros of the header": index_header(45, 1),
    "flag of a frame": frame_header(112, 2),
    "zeros of a frame": frame_header(120, 1),
    "fewer entries": frame_header(40, 2),
    "fewer keys": frame_header(48, 15),
    "frame from elsewhere": frame_header(16, 33),
    "frame to the middle of a record": frame_header(24, 1),
    "metadata elsewhere": frame_header(96, 33),
    "crc of the last record": frame_header(108, 0),
    "zeros of an entry": frame_body(46, 1),
    "key of an entry elsewhere": frame_body(8, 200),
    "longer key of an entry": frame_body(40, 100),
    "huge key of an entry": frame_body(43, 255),
    "zeros behind the keys": frame_body(-1, 1),
}


def expected(second: object) -> object:
    if second == "file":
        return Refused
    blocks: list[object] = [(b"first", [(b"k", b"v")]), (b"second", second), (b"third", [])]
    return [block for block in blocks if block != (b"second", None)]


@pytest.mark.parametrize("name", DATA)
def test_data(name: str, tmp_path: Path) -> None:
    change, second = DATA[name]
    writer, _ = write()
    change(writer.data, writer.index)
    save(tmp_path / "pipe", bytes(writer.data), None)
    assert read_plain(bytes(writer.data), None) == expected(second)
    assert read_smartpipe(tmp_path / "pipe") == expected(second)


# What counts where an entry lists a block and the record is something else is said nowhere, so that these are left out.
@pytest.mark.parametrize("name", [name for name in DATA if not name.startswith(("kind", "metadata"))])
def test_data_with_an_index(name: str, tmp_path: Path) -> None:
    change, second = DATA[name]
    writer, _ = write()
    writer.frame(closed=True)
    change(writer.data, writer.index)
    data, index = bytes(writer.data), bytes(writer.index)
    save(tmp_path / "pipe", data, index)
    assert read_plain(data, index) == expected(second)
    assert read_smartpipe(tmp_path / "pipe") == expected(second)


@pytest.mark.parametrize("name", INDEX)
def test_index(name: str, tmp_path: Path) -> None:
    writer, _ = write()
    writer.frame(closed=True)
    INDEX[name](writer.data, writer.index)
    save(tmp_path / "pipe", bytes(writer.data), bytes(writer.index))
    assert read_plain(bytes(writer.data), bytes(writer.index)) == expected(READ)
    assert read_smartpipe(tmp_path / "pipe") == expected(READ)
