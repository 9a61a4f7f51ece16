"""Reading while a pipe is written: refresh and follow, on_error, and readers that travel to other processes."""

from __future__ import annotations

import copy
import multiprocessing
import os
import pickle
import threading
import time
from pathlib import Path
from typing import Any

import pytest

import smartpipe
from smartpipe.container import format1, opening

from .pipes import (
    PAGES,
    SMALL,
    Blocks,
    Kind,
    every_kind,
    every_kind_of_format1,
    every_kind_of_format2,
    index,
    plant,
    read,
    warned,
)
from .process import start

NEW = (b"new", [(b"k", b"v" * 5000), (b"l", b"")])


def listed(reader: smartpipe.Reader) -> Blocks:
    return [(key, list(block)) for key, block in reader.items()]


# refresh


@every_kind
def test_refresh_takes_in_what_was_written_since(kind: Kind, prefix: str) -> None:
    with smartpipe.open(prefix, "x", **kind.options) as pipe:
        pipe.write(*SMALL[0])
        with smartpipe.open(prefix) as reader:
            assert listed(reader) == SMALL[:1]
            assert reader.refresh() == 0
            pipe.write(*SMALL[2])
            pipe.write(*NEW)
            assert len(reader) == 1 and NEW[0] not in reader
            assert reader.refresh() == 2
            assert listed(reader) == [SMALL[0], SMALL[2], NEW]
            assert list(reader[NEW[0]]) == NEW[1]
            assert list(reader) == [SMALL[0][0], SMALL[2][0], NEW[0]]
            assert reader.refresh() == 0
            assert [entry.number for entry in reader.entries()] == [0, 1, 2]
            pipe.close()
            assert reader.refresh() == 0


@every_kind
def test_refresh_of_a_pipe_that_another_process_goes_on_with(kind: Kind, prefix: str) -> None:
    plant(prefix, SMALL, kind)
    with smartpipe.open(prefix) as reader:
        for number in range(3):
            with smartpipe.open(prefix, "a") as pipe:
                pipe.write(b"more %d" % number, {b"k": b"v"})
            assert reader.refresh() == 1
        assert listed(reader) == [*SMALL, *((b"more %d" % n, [(b"k", b"v")]) for n in range(3))]


@every_kind_of_format2
def test_refresh_sees_nothing_of_an_unfinished_block(kind: Kind, prefix: str) -> None:
    plant(prefix, SMALL, kind)
    with smartpipe.open(prefix, "a") as pipe:
        pipe.write(*NEW)
    whole = kind.data(prefix).read_bytes()
    with smartpipe.open(prefix) as reader:
        begin = [entry.offset for entry in reader.entries()][-1]
    plant(prefix, SMALL, kind)
    with smartpipe.open(prefix) as reader, open(kind.data(prefix), "r+b") as file:
        kind.data(prefix).write_bytes(whole[:begin])
        file.seek(begin)
        for place in range(begin, len(whole) - 1):
            os.pwrite(file.fileno(), whole[place : place + 1], place)
            assert reader.refresh() == 0
        os.pwrite(file.fileno(), whole[-1:], len(whole) - 1)
        assert reader.refresh() == 1
        assert listed(reader) == [*SMALL, NEW]


def test_format1_shows_a_block_that_ends_with_a_page_when_it_is_sure_to_be_whole(prefix: str) -> None:
    # FORMAT.md, «Format 1»: a page may end between two pairs of a block that is just being written.
    with smartpipe.open(prefix, "x", format=1) as pipe:
        pipe.write(b"a", [(b"k", b"v" * 2039)])
        pipe.write(b"b", [(b"k", b"v" * 2039)])
        assert os.path.getsize(prefix + ".dat") == 4096
        with smartpipe.open(prefix) as reader:
            assert list(reader) == [b"a"]
            assert reader.refresh() == 0
            pipe.write(b"c", [(b"k", b"v")])
            assert reader.refresh() == 2
        pipe.write(b"d", [(b"k", b"v" * 4068), (b"", b"")])
        assert os.path.getsize(prefix + ".dat") == 2 * 4096 - 1
        with smartpipe.open(prefix) as reader:
            assert list(reader) == [b"a", b"b", b"c", b"d"]
        pipe.write(b"e", [(b"k", b"v" * 4088)])
        with smartpipe.open(prefix) as reader:
            assert os.path.getsize(prefix + ".dat") % 4096 == 0
            assert b"e" not in reader
            pipe.close()
            assert reader.refresh() == 1


def test_an_index_that_a_writer_begins_anew_while_it_is_read(prefix: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # What a writer leaves that was killed before its first block: the next one begins the index anew.
    Path(prefix + ".dat").touch()
    Path(prefix + ".idx").touch()
    opened = format1.open_reading

    def meanwhile(path: str) -> Any:
        file = opened(path)
        monkeypatch.undo()
        with smartpipe.open(prefix, "a", format=1) as pipe:
            pipe.write(*NEW)
        return file

    monkeypatch.setattr(format1, "open_reading", meanwhile)
    with smartpipe.open(prefix) as reader:
        assert listed(reader) == [NEW]


@every_kind
@pytest.mark.parametrize("killed", [0, 3])
def test_a_pipe_that_is_begun_while_it_is_opened(
    kind: Kind, killed: int, prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Empty files, as a writer leaves them that is killed at once, may become a pipe of either format.
    kind.data(prefix).touch()
    index(prefix).touch()
    read_layout = opening.read_layout

    def meanwhile(*arguments: Any) -> Any:
        monkeypatch.undo()
        with smartpipe.open(prefix, "a", **kind.options) as pipe:
            pipe.write(*NEW)
        os.truncate(index(prefix), index(prefix).stat().st_size - killed)
        return read_layout(*arguments)

    monkeypatch.setattr(opening, "read_layout", meanwhile)
    if killed and kind.format == 1:
        with pytest.raises(smartpipe.CorruptError, match="lists no block"):
            smartpipe.open(prefix)
        return
    with warned(), smartpipe.open(prefix) as reader:
        assert listed(reader) == [NEW]


@every_kind
@pytest.mark.parametrize("way", ["replaced", "removed", "renamed"])
def test_refresh_notices_that_the_pipe_is_another_one(kind: Kind, way: str, prefix: str) -> None:
    plant(prefix, SMALL, kind)
    with smartpipe.open(prefix) as reader:
        if way == "replaced":
            with smartpipe.open(prefix, "w", **kind.options) as pipe:
                pipe.write(*NEW)
        elif way == "removed":
            kind.data(prefix).unlink()
            index(prefix).unlink()
        else:
            os.rename(kind.data(prefix), prefix + "-old.dat")
        for _ in range(2):
            with pytest.raises(smartpipe.ReplacedError) as caught:
                reader.refresh()
            assert caught.value.path in (str(kind.data(prefix)), str(index(prefix)))
        assert listed(reader) == SMALL  # what was there can still be read
        with pytest.raises(smartpipe.ReplacedError):
            list(reader.follow(timeout=0))


@every_kind
def test_refresh_notices_that_the_end_was_cut_and_written_anew(kind: Kind, prefix: str) -> None:
    plant(prefix, SMALL, kind)
    data, entries = kind.data(prefix).read_bytes(), index(prefix).read_bytes()
    with smartpipe.open(prefix, "a") as pipe:
        pipe.write(*NEW)
    with smartpipe.open(prefix) as reader:
        for path, content in ((kind.data(prefix), data), (index(prefix), entries)):
            os.truncate(path, 0)
            path.write_bytes(content)
        with pytest.raises(smartpipe.ReplacedError):
            reader.refresh()
        with smartpipe.open(prefix, "a") as pipe:
            pipe.write(b"another", {b"k": b"v" * 20_000})
        with pytest.raises(smartpipe.ReplacedError):
            reader.refresh()


def test_a_split_does_not_grow(prefix: str) -> None:
    plant(prefix, SMALL, Kind(2, False))
    with smartpipe.open(prefix) as reader:
        part = reader.splits(1)[0]
    with smartpipe.open(part) as reader:
        for call in (reader.refresh, lambda: next(reader.follow())):
            with pytest.raises(ValueError, match="split"):
                call()


@every_kind_of_format2
def test_damage_behind_what_was_read_is_said_and_passed(kind: Kind, prefix: str) -> None:
    plant(prefix, SMALL, kind)
    with smartpipe.open(prefix) as reader:
        with smartpipe.open(prefix, "a") as pipe:
            pipe.write(*NEW)
            pipe.write(b"behind", {b"k": b"v"})
        with smartpipe.open(prefix) as other:
            offset = [entry.offset for entry in other.entries()][len(SMALL)]
        with open(kind.data(prefix), "r+b") as file:
            os.pwrite(file.fileno(), b"\xff", offset + 20)
        with warned() as messages:
            assert reader.refresh() == 1
        assert len(messages) == 1 and str(offset) in messages[0]
        assert listed(reader) == [*SMALL, (b"behind", [(b"k", b"v")])]


# follow


@every_kind
def test_follow_gives_every_block_once_and_ends_with_the_writer(kind: Kind, prefix: str) -> None:
    code = """
import smartpipe, sys, time
prefix, form, compress = sys.argv[1], int(sys.argv[2]), sys.argv[3] == "True"
with smartpipe.open(prefix, "x", format=form, compress=compress) as pipe:
    print("open", flush=True)
    for number in range(300):
        pipe.write(b"%d" % number, {b"k": b"%d" % number * 500, b"l": b"x"})
        if number % 50 == 0:
            time.sleep(0.03)
"""
    writer = start(code, prefix, kind.format, kind.compress)
    with writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "open\n"
        with smartpipe.open(prefix) as reader:
            got = [(key, list(block)) for key, block in reader.follow()]
    assert writer.returncode == 0
    assert got == [(b"%d" % n, [(b"k", b"%d" % n * 500), (b"l", b"x")]) for n in range(300)]


@every_kind
def test_follow_of_a_closed_pipe_gives_what_is_there(kind: Kind, prefix: str) -> None:
    plant(prefix, PAGES, kind)
    with smartpipe.open(prefix) as reader:
        assert [(key, list(block)) for key, block in reader.follow()] == PAGES
        assert [key for key, _ in reader.follow(start=2)] == [key for key, _ in PAGES[2:]]
        assert [key for key, _ in reader.follow(start=PAGES[1][0])] == [key for key, _ in PAGES[1:]]
        assert list(reader.follow(start=len(PAGES))) == []
        assert [block.keys() for _, block in reader.follow(select=[b"log"])] == [[b"log", b"log"], [], [], []]


@every_kind
def test_follow_ends_after_the_timeout_and_can_go_on(kind: Kind, prefix: str) -> None:
    with smartpipe.open(prefix, "x", **kind.options) as pipe:
        pipe.write(*SMALL[0])
        with smartpipe.open(prefix) as reader:
            assert [key for key, _ in reader.follow(timeout=0.05)] == [SMALL[0][0]]
            pipe.write(*SMALL[2])
            assert [key for key, _ in reader.follow(timeout=0, start=len(reader))] == [SMALL[2][0]]


def test_follow_waits_for_a_block(prefix: str) -> None:
    with smartpipe.open(prefix, "x") as pipe, smartpipe.open(prefix) as reader:
        blocks = reader.follow()
        timer = threading.Timer(0.1, pipe.write, SMALL[0])
        timer.start()
        key, block = next(blocks)
        timer.join()
        assert (key, list(block)) == SMALL[0]
        reader.close()
        with pytest.raises(smartpipe.ClosedError):
            next(blocks)


@every_kind_of_format1
def test_the_last_block_of_format_1_comes_when_it_is_known_to_be_whole(kind: Kind, prefix: str) -> None:
    with smartpipe.open(prefix, "x", **kind.options) as pipe:
        pipe.write(*SMALL[0])
        with smartpipe.open(prefix) as reader:
            pipe.write(b"empty", [])
            assert reader.refresh() == 0
            pipe.write(*SMALL[2])
            assert reader.refresh() == 2
            pipe.write(b"empty too", [])
            assert reader.refresh() == 0
            pipe.close()
            assert [key for key, _ in reader.follow(start=3)] == [b"empty too"]


@pytest.mark.parametrize("wrong", [{"timeout": -1}, {"on_error": "ignore"}, {"start": 99}, {"select": b"raw"}])
def test_follow_refuses_wrong_arguments_at_once(wrong: dict[str, Any], prefix: str) -> None:
    plant(prefix, SMALL, Kind(2, False))
    with smartpipe.open(prefix) as reader, pytest.raises((ValueError, TypeError)):
        reader.follow(**wrong)


@every_kind
@pytest.mark.parametrize("left", [b"", b"\x89SP2\r\n", bytes(40)])
def test_a_pipe_that_is_begun_after_it_was_opened(kind: Kind, left: bytes, prefix: str) -> None:
    # What a reader may find in the moment of the creation, and after a kill then.
    kind.data(prefix).write_bytes(left)
    index(prefix).write_bytes(bytes(64) if left[:1] == b"\0" else b"")
    with warned(), smartpipe.open(prefix) as reader:
        assert len(reader) == 0
        assert reader.refresh() == 0
        assert list(reader.follow(timeout=0)) == []
        blocks = reader.follow(timeout=30)
        with smartpipe.open(prefix, "a", format=kind.format) as pipe:
            pipe.write(*SMALL[0])
            pipe.write(*SMALL[2])
        assert [key for key, _ in blocks] == [SMALL[0][0], SMALL[2][0]]
        assert (reader.format, reader.codec) == (kind.format, "zlib" if kind.compress else "none")


# on_error


def damage(prefix: str, kind: Kind, numbers: list[int]) -> None:
    """Make blocks of a pipe unreadable, from their last byte."""
    with smartpipe.open(prefix) as reader:
        entries = list(reader.entries())
    with open(kind.data(prefix), "r+b") as file:
        for number in numbers:
            place = entries[number].offset + entries[number].stored - 1
            byte = os.pread(file.fileno(), 1, place)
            os.pwrite(file.fileno(), bytes([byte[0] ^ 0x55]), place)


@every_kind_of_format2
@pytest.mark.parametrize("size", [10, 20_000])
@pytest.mark.parametrize("hurt", [[0], [3, 4], [9], list(range(10))], ids=str)
def test_iterators_skip_what_is_damaged_and_count_it(kind: Kind, size: int, hurt: list[int], prefix: str) -> None:
    blocks = [(b"%d" % n, [(b"k", os.urandom(size)), (b"l", b"x")]) for n in range(10)]
    plant(prefix, blocks, kind)
    damage(prefix, kind, hurt)
    good = [block for n, block in enumerate(blocks) if n not in hurt]
    keys = [key for key, _ in blocks]
    ways: list[Any] = [
        lambda reader, on_error: reader.items(on_error=on_error),
        lambda reader, on_error: reader.follow(on_error=on_error),
        lambda reader, on_error: reader.get_many(keys, on_error=on_error),
    ]
    for way in ways:
        with smartpipe.open(prefix) as reader:
            assert reader.stats()["skipped_blocks"] == 0
            assert [(key, list(block)) for key, block in way(reader, "skip")] == good
            assert reader.stats()["skipped_blocks"] == len(hurt)
            seen: list[smartpipe.SmartPipeError] = []
            assert [key for key, _ in way(reader, seen.append)] == [key for key, _ in good]
            assert [error.block for error in seen] == [keys[n] for n in hurt]
            assert all(isinstance(error, smartpipe.CorruptError) for error in seen)
            assert reader.stats()["skipped_blocks"] == 2 * len(hurt)
            with pytest.raises(smartpipe.CorruptError):
                for _, block in way(reader, "raise"):
                    list(block)


def test_what_is_not_selected_is_not_skipped(prefix: str) -> None:
    kind = Kind(2, True)
    blocks = [(b"%d" % n, [(b"k", b"small"), (b"l", os.urandom(9000))]) for n in range(5)]
    plant(prefix, blocks, kind)
    damage(prefix, kind, [2])
    with smartpipe.open(prefix) as reader:
        assert len(list(reader.items(select=[b"k"], on_error="skip"))) == 5
        assert reader.stats()["skipped_blocks"] == 0
        assert len(list(reader.items(select=[b"l"], on_error="skip"))) == 4


def test_a_handler_that_raises_ends_the_iteration(prefix: str) -> None:
    kind = Kind(2, False)
    plant(prefix, SMALL, kind)
    damage(prefix, kind, [1])

    def handler(error: smartpipe.SmartPipeError) -> None:
        raise RuntimeError("enough") from error

    with smartpipe.open(prefix) as reader:
        items = reader.items(on_error=handler)
        assert next(items)[0] == SMALL[0][0]
        with pytest.raises(RuntimeError, match="enough"):
            next(items)
        assert [key for key, _ in items] == [key for key, _ in SMALL[2:]]


def test_a_closed_reader_is_not_skipped(prefix: str) -> None:
    plant(prefix, SMALL, Kind(2, False))
    reader = smartpipe.open(prefix)
    for blocks in (reader.items(on_error="skip"), reader.get_many([b"first"], on_error="skip")):
        reader.close()
        with pytest.raises(smartpipe.ClosedError):
            next(blocks)
        reader = smartpipe.open(prefix)
    reader.close()


# Other processes


@every_kind
def test_a_reader_that_was_pickled_shows_the_same_blocks(
    kind: Kind, prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    plant(prefix, SMALL, kind)
    monkeypatch.chdir(os.path.dirname(prefix))
    with smartpipe.open("pipe", max_block_size=1000) as reader:
        list(reader.pull_block())
        with smartpipe.open(prefix, "a") as pipe:
            pipe.write(b"more", {b"k": b"v"})
            monkeypatch.chdir("/")
            for other in (pickle.loads(pickle.dumps(reader)), copy.copy(reader)):
                assert type(other) is smartpipe.Reader
                assert len(other) == len(SMALL) and listed(other) == SMALL
                assert other.position == 1
                pipe.flush()
                assert other.refresh() == 1
                other.close()
    with pytest.raises(smartpipe.ClosedError):
        pickle.dumps(reader)


def test_a_split_travels_as_a_reader_too(prefix: str) -> None:
    plant(prefix, SMALL, Kind(2, False))
    with smartpipe.open(prefix) as reader:
        parts = reader.splits(2)
    with smartpipe.open(parts[1]) as part:
        other = pickle.loads(pickle.dumps(part))
        assert listed(other) == listed(part) == SMALL[parts[1].start :]
        other.close()


@every_kind_of_format2
def test_a_reader_of_a_pipe_that_was_replaced_does_not_come_back(kind: Kind, prefix: str) -> None:
    plant(prefix, SMALL, kind)
    with smartpipe.open(prefix) as reader:
        travelling = pickle.dumps(reader)
    with smartpipe.open(prefix, "w", **kind.options) as pipe:
        for key, pairs in [*SMALL, NEW]:
            pipe.write(key, pairs)
    with pytest.raises(smartpipe.FormatError, match="another pipe"):
        pickle.loads(travelling)


def _ask(reader: smartpipe.Reader, keys: list[bytes], answers: Any) -> None:
    answers.put([(key, list(reader[key])) for key in keys])


@every_kind
@pytest.mark.parametrize("method", ["fork", "spawn"])
@pytest.mark.filterwarnings("ignore:This process.*multi-threaded:DeprecationWarning")
def test_workers_read_with_the_reader_of_their_parent(kind: Kind, method: str, prefix: str) -> None:
    # As a DataLoader does it: the dataset has the reader, and each worker gets the dataset.
    blocks = [(b"%d" % n, [(b"k", b"%d" % n * 3000)]) for n in range(200)]
    plant(prefix, blocks, kind)
    context = multiprocessing.get_context(method)
    with smartpipe.open(prefix) as reader:
        list(reader.items())
        answers = context.SimpleQueue()
        workers = [
            context.Process(target=_ask, args=(reader, [key for key, _ in blocks[n::2]], answers)) for n in range(2)
        ]
        for worker in workers:
            worker.start()
        found = [answers.get() for _ in workers]
        for worker in workers:
            worker.join()
        assert listed(reader) == blocks
    assert sorted(found) == sorted([blocks[0::2], blocks[1::2]])


def test_a_forked_child_follows_the_pipe_of_its_parent(prefix: str) -> None:
    with smartpipe.open(prefix, "x") as pipe:
        pipe.write(*SMALL[0])
        reader = smartpipe.open(prefix)
        child = os.fork()
        if child == 0:
            code = 1
            try:
                code = 0 if [key for key, _ in reader.follow(timeout=30)] == [SMALL[0][0], NEW[0]] else 2
            finally:
                os._exit(code)
        time.sleep(0.05)
        pipe.write(*NEW)
        pipe.close()
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert len(reader) == 1
        reader.close()
    assert read(prefix) == [SMALL[0], NEW]
