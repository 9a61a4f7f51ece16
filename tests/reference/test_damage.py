"""Damaged pipes of the plain writer: smartpipe gives, loses, keeps and cuts what the plain reader says."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

import smartpipe

from . import Blocks, format2
from .format2 import Corrupt, Refused, Truncated
from .format2_writer import Writer

FILE_ID = 9
BLOCKS: Blocks = [(b"key %d" % number, [(b"k", b"small"), (b"big", b"x" * 40)]) for number in range(3)]
ERRORS: dict[type[Exception], type[Exception]] = {
    smartpipe.CorruptError: Corrupt,
    smartpipe.FormatError: Refused,
    smartpipe.EngineError: Refused,
    smartpipe.TruncatedError: Truncated,
}


@dataclass(frozen=True)
class Planted:
    """A pipe of three blocks, which end at ends[1:]."""

    data: bytes
    index: bytes | None
    ends: list[int]


def plant(synced: int, listed: int, *, index: bool = True, closed: bool = False) -> Planted:
    """A pipe of which so many blocks had reached the disk, and are in the first frame of the index."""
    writer = Writer(FILE_ID, codec=format2.ZLIB, large=30)
    ends = [len(writer.data)]
    for number, (key, pairs) in enumerate(BLOCKS, 1):
        writer.write(key, pairs)
        ends.append(len(writer.data))
        if number == synced:
            writer.sync()
        if number == listed:
            writer.frame()
    if closed:
        writer.sync()
        writer.frame(closed=True)
    return Planted(bytes(writer.data), bytes(writer.index) if index else None, ends)


PLANTED = [
    *(plant(synced, listed) for synced in range(4) for listed in range(4)),
    *(plant(0, listed, closed=True) for listed in range(4)),
    *(plant(synced, 0, index=False) for synced in range(4)),
]


def flip(content: bytes, place: int) -> bytes:
    return content[:place] + bytes([content[place] ^ 4]) + content[place + 1 :]


def save(prefix: Path, data: bytes, index: bytes | None) -> None:
    Path(f"{prefix}.datz").write_bytes(data)
    Path(f"{prefix}.idx").unlink(missing_ok=True)
    if index is not None:
        Path(f"{prefix}.idx").write_bytes(index)


def read_plain(data: bytes, index: bytes | None) -> object:
    """The blocks and the class of the error of those that can not be read; or that of an error for all."""
    try:
        outcomes = format2.read(data, index).outcomes()
    except (Corrupt, Refused, Truncated) as error:
        return type(error)
    # Without its key a block is no block of a mapping.
    return [(key, type(pairs) if isinstance(pairs, Exception) else pairs) for key, pairs in outcomes if key is not None]


def read_smartpipe(prefix: Path) -> object:
    """The same, from smartpipe."""
    try:
        with smartpipe.open(prefix) as pipe:
            outcomes: list[object] = []
            for key in pipe:
                try:
                    outcomes.append((key, list(pipe[key])))
                except (smartpipe.CorruptError, smartpipe.FormatError, smartpipe.EngineError) as error:
                    outcomes.append((key, ERRORS[type(error)]))
            return outcomes
    except (smartpipe.CorruptError, smartpipe.FormatError, smartpipe.TruncatedError) as error:
        return ERRORS[type(error)]


@pytest.fixture(autouse=True)
def _no_surprise() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", smartpipe.PipeWarning)
        yield


@pytest.mark.parametrize("planted", PLANTED)
def test_cut_data(planted: Planted, tmp_path: Path) -> None:
    for end in range(format2.FILE_HEADER.size, len(planted.data) + 1):
        save(tmp_path / "pipe", planted.data[:end], planted.index)
        assert read_smartpipe(tmp_path / "pipe") == read_plain(planted.data[:end], planted.index), end


@pytest.mark.parametrize("planted", [planted for planted in PLANTED if planted.index])
def test_cut_index(planted: Planted, tmp_path: Path) -> None:
    assert planted.index
    for end in range(len(planted.index)):
        save(tmp_path / "pipe", planted.data, planted.index[:end])
        assert read_smartpipe(tmp_path / "pipe") == BLOCKS, end


@pytest.mark.parametrize("planted", [planted for planted in PLANTED if planted.index])
def test_flipped_bit_of_the_index(planted: Planted, tmp_path: Path) -> None:
    assert planted.index
    for place in range(len(planted.index)):
        save(tmp_path / "pipe", planted.data, flip(planted.index, place))
        assert read_smartpipe(tmp_path / "pipe") == BLOCKS, place


@pytest.mark.parametrize("planted", PLANTED)
def test_flipped_bit_of_the_data(planted: Planted, tmp_path: Path) -> None:
    for place in range(len(planted.data)):
        damaged = flip(planted.data, place)
        save(tmp_path / "pipe", damaged, planted.index)
        assert read_smartpipe(tmp_path / "pipe") == read_plain(damaged, planted.index), place


@pytest.mark.parametrize("planted", PLANTED)
@pytest.mark.parametrize("cut", [0, 7])
def test_append_cuts_torn_tails_and_nothing_else(planted: Planted, cut: int, tmp_path: Path) -> None:
    prefix = tmp_path / "pipe"
    whole = planted.data[: len(planted.data) - cut]
    # A place in the magic, synced, the directory, the key, the head and the large value of each record.
    for place in [end + part for end in planted.ends[:-1] for part in (1, 17, 70, 81, 90, -1)]:
        if not planted.ends[0] <= place < len(whole):
            continue
        damaged = flip(whole, place)
        save(prefix, damaged, planted.index)
        try:
            found = format2.findings(damaged, planted.index)
        except Truncated:
            with pytest.raises(smartpipe.TruncatedError):
                smartpipe.open(prefix, "a")
            assert Path(f"{prefix}.datz").read_bytes() == damaged
            continue
        begin = found[-1].begin if found and found[-1].what == "torn tail" else len(damaged)
        with smartpipe.open(prefix, "a") as pipe:
            pipe.write(b"new", {})
        data = Path(f"{prefix}.datz").read_bytes()
        assert data[:begin] == damaged[:begin], (place, found)
        record = format2.read_record_header(data, begin, FILE_ID)
        assert record, (place, found)
        assert format2.read_record(data, record) == (b"new", [])
