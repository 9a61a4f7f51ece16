"""rebuild_index: the data stays as it is, and the index says of it what it should."""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest
from reference import format2

import smartpipe
from smartpipe._platform import disk

from .pipes import (
    FILE_ID,
    KINDS,
    PAGES,
    SMALL,
    Kind,
    every_kind,
    every_kind_of_format1,
    every_kind_of_format2,
    files,
    index,
    plant,
    planter,
    read,
    warned,
    write,
)

BLOCK = [(b"raw", b"x" * 60), (b"log", b"ok")]


def listed(prefix: str, kind: Kind) -> format2.Index:
    """The index as the plain reader reads it."""
    found = format2.read_index(index(prefix).read_bytes(), kind.data(prefix).read_bytes(), FILE_ID)
    assert found is not None
    return found


@every_kind_of_format2
@pytest.mark.parametrize("was", ["good", "missing", "empty", "damaged", "stale", "frames"])
def test_the_index_is_as_its_writer_had_made_it(kind: Kind, was: str, prefix: str) -> None:
    writer = planter(kind)
    writer.metadata({b"by": b"me"})
    for key, pairs in SMALL:
        writer.write(key, pairs)
        if was == "frames":
            writer.frame(slots=0)
    writer.sync()
    writer.frame(closed=True)
    writer.save(prefix)
    before = listed(prefix, kind)
    if was == "missing":
        index(prefix).unlink()
    elif was == "empty":
        index(prefix).write_bytes(b"")
    elif was in ("damaged", "stale"):
        content = bytearray(index(prefix).read_bytes())
        content[100 if was == "damaged" else 9] ^= 1
        index(prefix).write_bytes(content)
    report = smartpipe.rebuild_index(prefix)
    assert (report.path, report.blocks, report.closed, report.damage) == (str(index(prefix)), 4, True, [])
    assert kind.data(prefix).read_bytes() == writer.data
    assert set(files(prefix)) == {kind.data(prefix).name, "pipe.idx"}
    [frame] = listed(prefix, kind).frames
    last = before.frames[-1]
    assert frame.entries == [entry for part in before.frames for entry in part.entries]
    assert (frame.to, frame.synced, frame.closed) == (last.to, last.synced, True)
    assert (frame.blocks, frame.pairs, frame.raw) == (last.blocks, last.pairs, last.raw)
    assert (frame.stamp, frame.metadata, frame.last_crc) == (last.stamp, last.metadata, last.last_crc)
    assert smartpipe.verify(prefix).ok
    assert read(prefix) == SMALL


@every_kind_of_format2
@pytest.mark.parametrize("behind", [False, True])
def test_an_unfinished_block_at_the_end_stays_and_the_index_ends_before_it(
    kind: Kind, behind: bool, prefix: str
) -> None:
    writer = planter(kind)
    for key, pairs in SMALL:
        writer.write(key, pairs)
    if behind:
        writer.frame()
    begin = writer.write(b"unfinished", BLOCK)
    del writer.data[begin + 70 :]
    writer.save(prefix)
    report = smartpipe.rebuild_index(prefix)
    assert (report.blocks, report.closed) == (4, False)
    assert [(damage.what, damage.offset, damage.size) for damage in report.damage] == [("torn", begin, 70)]
    assert kind.data(prefix).read_bytes() == writer.data
    [frame] = listed(prefix, kind).frames
    assert (frame.to, frame.closed) == (begin, False)
    with warned(), smartpipe.open(prefix, "a") as pipe:
        assert pipe.recovered is not None
    assert smartpipe.verify(prefix).ok


@every_kind_of_format2
def test_damage_is_reported_and_never_taken_for_an_unfinished_block(kind: Kind, prefix: str) -> None:
    for hit in range(4):
        for listing in ("synced", "frame"):
            writer = planter(kind)
            for key, pairs in SMALL:
                writer.write(key, pairs)
            if listing == "synced":
                writer.sync()
            writer.frame()
            places = [(record.offset, record.end) for record in format2.scan(bytes(writer.data), FILE_ID).records]
            writer.data[places[hit][0] + 20] ^= 1
            writer.save(prefix)
            report = smartpipe.rebuild_index(prefix)
            assert report.blocks == 3
            assert [(d.what, d.offset, d.size) for d in report.damage] == [
                ("damaged", places[hit][0], places[hit][1] - places[hit][0])
            ], (hit, listing)
            assert kind.data(prefix).read_bytes() == writer.data
            with warned(), smartpipe.open(prefix, "a") as pipe:
                assert pipe.recovered is None
                pipe.write(b"new", BLOCK)
            assert kind.data(prefix).read_bytes()[: len(writer.data)] == writer.data
            with warned():
                assert read(prefix) == [*(block for n, block in enumerate(SMALL) if n != hit), (b"new", BLOCK)]


@every_kind_of_format2
def test_a_block_whose_content_is_damaged_keeps_its_place(kind: Kind, prefix: str) -> None:
    plant(prefix, SMALL, kind)
    path = kind.data(prefix)
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    report = smartpipe.rebuild_index(prefix)
    assert report.blocks == 4
    assert [damage.what for damage in report.damage] == ["damaged"]
    with smartpipe.open(prefix) as pipe:
        assert list(pipe) == [key for key, _ in SMALL]
        with pytest.raises(smartpipe.CorruptError):
            list(pipe[b"last"])


@every_kind_of_format2
def test_data_that_was_cut_is_refused(kind: Kind, prefix: str) -> None:
    # A new index would hide what is lost.
    plant(prefix, SMALL, kind)
    path = kind.data(prefix)
    path.write_bytes(path.read_bytes()[:-1])
    before = files(prefix)
    with pytest.raises(smartpipe.TruncatedError):
        smartpipe.rebuild_index(prefix)
    assert files(prefix) == before


@every_kind_of_format1
def test_format_1_has_its_keys_only_there(kind: Kind, prefix: str) -> None:
    plant(prefix, SMALL, kind)
    before = files(prefix)
    with pytest.raises(smartpipe.FormatError, match="keys"):
        smartpipe.rebuild_index(prefix)
    index(prefix).unlink()
    with pytest.raises(smartpipe.FormatError, match="keys"):
        smartpipe.rebuild_index(prefix)
    assert files(prefix) == {name: content for name, content in before.items() if not name.endswith(".idx")}


def test_where_there_is_no_pipe_and_where_one_is_empty(tmp_path: Path) -> None:
    with pytest.raises(smartpipe.PipeNotFoundError):
        smartpipe.rebuild_index(tmp_path / "nowhere")
    (tmp_path / "folder").mkdir()
    with pytest.raises(smartpipe.FormatError):
        smartpipe.rebuild_index(tmp_path / "folder")
    with smartpipe.open(tmp_path / "empty", "w"):
        pass
    (tmp_path / "empty.idx").unlink()
    assert smartpipe.rebuild_index(tmp_path / "empty").blocks == 0
    assert smartpipe.verify(tmp_path / "empty").ok


def test_a_destroyed_file_header_is_refused(prefix: str) -> None:
    plant(prefix, SMALL, KINDS[0])
    path = KINDS[0].data(prefix)
    data = bytearray(path.read_bytes())
    data[20] ^= 1
    path.write_bytes(data)
    with pytest.raises(smartpipe.CorruptError):
        smartpipe.rebuild_index(prefix)


@every_kind
def test_a_pipe_that_is_being_written_is_locked(kind: Kind, prefix: str) -> None:
    with smartpipe.open(prefix, "w", **kind.options) as pipe:
        pipe.write(b"a", BLOCK)
        with pytest.raises(smartpipe.LockedError):
            smartpipe.rebuild_index(prefix)
        pipe.write(b"b", BLOCK)
    assert len(read(prefix)) == 2


def test_a_relative_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write("pipe", PAGES, KINDS[0])
    os.unlink("pipe.idx")
    assert smartpipe.rebuild_index("pipe").path == "pipe.idx"
    assert smartpipe.recover("pipe", "new").path == "new.dat"
    assert smartpipe.verify("new").path == "new.dat"


@pytest.mark.parametrize("call", ["open", "write", "sync", "rename", "sync_folder"])
def test_an_error_of_the_system_leaves_the_old_index(call: str, prefix: str, monkeypatch: pytest.MonkeyPatch) -> None:
    plant(prefix, SMALL, KINDS[0])
    before = files(prefix)

    def failing(*arguments: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(disk, call, failing)
    with pytest.raises(smartpipe.StorageError) as caught:
        smartpipe.rebuild_index(prefix)
    assert caught.value.errno == 28
    monkeypatch.undo()
    after = files(prefix)
    assert after["pipe.dat"] == before["pipe.dat"]
    if call != "sync_folder":
        assert after["pipe.idx"] == before["pipe.idx"]
    assert read(prefix) == SMALL
    smartpipe.rebuild_index(prefix)
    assert set(files(prefix)) == set(before)


def test_many_blocks(prefix: str) -> None:
    keys = [b"%d" % number for number in range(20000)]
    random.Random(1).shuffle(keys)
    with smartpipe.open(prefix, "w") as pipe:
        for key in keys:
            pipe.write(key, {b"k": key})
    index(prefix).unlink()
    assert smartpipe.rebuild_index(prefix).blocks == 20000
    assert smartpipe.verify(prefix).ok
    with smartpipe.open(prefix) as pipe:
        assert list(pipe) == keys
        assert all(pipe[key][b"k"] == key for key in keys[::97])
