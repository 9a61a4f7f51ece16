"""Going on with a pipe: one that was closed, one whose writer was killed, one whose index is of no use.

Files of killed writers are made in two ways: by killing one, and by cutting files at every byte. FORMAT.md, «Reading
without an index, and tails», «Files and locks» and «Format 1».
"""

from __future__ import annotations

import os
import random
from pathlib import Path
from typing import Any

import pytest
from reference import format1, format2

import smartpipe

from .pipes import (
    FILE_ID,
    PAGES,
    SMALL,
    Blocks,
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
from .process import start

NEW: tuple[bytes, list[tuple[bytes, bytes]]] = (b"new", [(b"k", b"v" * 50)])
FILE_HEADER = 32


def go_on(prefix: str, **options: Any) -> tuple[str | None, list[str]]:
    """Append a block; gives what the writer says it cut, and the warnings."""
    with warned() as messages, smartpipe.open(prefix, "a", **options) as pipe:
        recovered = pipe.recovered
        pipe.write(*NEW)
    return recovered, messages


# Pipes that were closed


@every_kind
@pytest.mark.parametrize("sessions", [2, 3, 40])
def test_sessions(kind: Kind, sessions: int, prefix: str) -> None:
    chance = random.Random(6)
    blocks: Blocks = [
        (b"%d" % number, [(b"k", chance.randbytes(chance.choice([0, 10, 5000])))]) for number in range(sessions * 3)
    ]
    for session in range(sessions):
        with smartpipe.open(prefix, "a", **kind.options) as pipe:
            assert pipe.recovered is None
            assert len(pipe) == session * 3
            for key, pairs in blocks[session * 3 : session * 3 + 3]:
                pipe.write(key, pairs)
        if session % 7 == 1:
            assert read(prefix) == blocks[: session * 3 + 3]
    with smartpipe.open(prefix) as pipe:
        assert [(key, list(block)) for key, block in pipe.items()] == blocks
        assert [(key, list(pipe[key])) for key, _ in blocks] == blocks
    if kind.format == 2:
        # FORMAT.md, «Index»: made anew when there are more than 16 frames.
        data = kind.data(prefix).read_bytes()
        listed = format2.read(data, index(prefix).read_bytes()).index
        assert listed is not None
        assert len(listed.frames) <= 17
        assert listed.frames[-1].closed


@every_kind
def test_append_to_what_another_program_wrote(kind: Kind, prefix: str) -> None:
    plant(prefix, PAGES, kind)
    data = kind.data(prefix).read_bytes()
    assert go_on(prefix) == (None, [])
    assert kind.data(prefix).read_bytes().startswith(data)
    assert read(prefix) == [*PAGES, NEW]


@every_kind_of_format1
def test_append_gives_the_same_bytes_as_writing_at_once(kind: Kind, prefix: str) -> None:
    write(prefix + "-once", [*PAGES, NEW], kind)
    plant(prefix, PAGES[:2], kind)
    for blocks in (PAGES[2:], [NEW]):
        with smartpipe.open(prefix, "a") as pipe:
            for key, pairs in blocks:
                pipe.write(key, pairs)
    assert (
        index(prefix).read_bytes()[: 20 + len(PAGES[0][0])]
        == index(prefix + "-once").read_bytes()[: 20 + len(PAGES[0][0])]
    )
    if not kind.compress:
        assert kind.data(prefix).read_bytes() == kind.data(prefix + "-once").read_bytes()
        assert index(prefix).read_bytes() == index(prefix + "-once").read_bytes()


@every_kind_of_format2
def test_appended_records_go_on_with_ordinals_stamps_and_totals(kind: Kind, prefix: str) -> None:
    writer = planter(kind)
    writer.stamp = 1 << 62  # a clock that was far ahead
    for key, pairs in SMALL:
        writer.write(key, pairs)
    writer.metadata({b"a": b"b"})
    writer.sync()
    writer.frame(closed=True)
    writer.save(prefix)
    assert go_on(prefix) == (None, [])
    data = kind.data(prefix).read_bytes()
    records = format2.scan(data, FILE_ID).records
    assert [record.ordinal for record in records] == [0, 1, 2, 3, 4, 5]
    assert records[5].stamp > records[4].stamp > 1 << 62
    assert records[5].synced == len(writer.data)
    with smartpipe.open(prefix) as pipe:
        stats = pipe.stats()
        every = [pair for _, pairs in [*SMALL, NEW] for pair in pairs]
        assert (stats["blocks"], stats["pairs"]) == (5, len(every))
        assert stats["raw_bytes"] == sum(8 + len(name) + len(value) for name, value in every)
        assert pipe.metadata == {b"a": b"b"}


# Writers that were killed

WRITING = """
import sys, smartpipe
path, begin, format, compress = sys.argv[1], *map(int, sys.argv[2:])
pipe = smartpipe.open(path, "a", format=format, compress=bool(compress))
for number in range(begin, 1 << 30):
    pipe.write(b"%d" % number, [(b"small", b"%d" % number), (b"large", (b"%d," % number) * (number * 7919 % 20000))])
    if number % 10 == 3:
        pipe.sync()
    print(number, flush=True)
"""


def block_of(number: int) -> tuple[bytes, list[tuple[bytes, bytes]]]:
    """What WRITING writes."""
    return b"%d" % number, [(b"small", b"%d" % number), (b"large", b"%d," % number * (number * 7919 % 20000))]


@every_kind
def test_kill_9_loses_no_block_that_write_had_returned_for(kind: Kind, prefix: str) -> None:
    expected: Blocks = []
    for kill in (1, 17, 40):
        process = start(WRITING, prefix, len(expected), kind.format, int(kind.compress))
        assert process.stdout is not None
        for _ in range(kill):
            acknowledged = int(process.stdout.readline())
        process.kill()
        # The last line may have been cut with the process.
        rest = process.communicate()[0].split("\n")[:-1]
        acknowledged = max([acknowledged, *map(int, rest)])
        expected += [block_of(number) for number in range(len(expected), acknowledged + 1)]
        with warned():
            if kind.format == 2:
                assert read(prefix)[: len(expected)] == expected
            with smartpipe.open(prefix, "a") as pipe:
                count = len(pipe)
            found = read(prefix)
        assert len(found) == count
        assert found[: len(expected)] == expected
        # Of the block that was being written there may be all or nothing; in format 1 also its first pairs, or none.
        assert count - len(expected) in (0, 1)
        for key, pairs in found[len(expected) :]:
            whole = block_of(len(expected))
            assert key == whole[0]
            assert pairs == whole[1] or (kind.format == 1 and pairs == whole[1][: len(pairs)])
            expected.append((key, pairs))
    with warned(), smartpipe.open(prefix, "a") as pipe:
        pipe.write(*NEW)
    assert read(prefix) == [*expected, NEW]


# Format 2: data that was cut


def unfinished(kind: Kind, listed: int) -> tuple[bytes, bytes]:
    """Data and index of a writer that was killed behind SMALL, without a sync; the index lists the first."""
    writer = planter(kind)
    for number, (key, pairs) in enumerate(SMALL):
        writer.write(key, pairs)
        if number + 1 == listed:
            writer.frame(slots=0)
    return bytes(writer.data), bytes(writer.index)


@every_kind_of_format2
@pytest.mark.parametrize("listed", [None, 0, 2, 4])
def test_data_cut_anywhere_keeps_every_whole_block(kind: Kind, listed: int | None, scratch: str) -> None:
    data, frames = unfinished(kind, listed or 0)
    ends = [FILE_HEADER, *(record.end for record in format2.scan(data, FILE_ID).records)]
    for size in range(FILE_HEADER, len(data) + 1):
        kind.data(scratch).write_bytes(data[:size])
        index(scratch).unlink(missing_ok=True)
        if listed is not None:
            index(scratch).write_bytes(frames)
        good = sum(end <= size for end in ends[1:])
        recovered, messages = go_on(scratch)
        if size in ends:
            assert recovered is None
        else:
            # What was cut is said, with its size, to who asks and to who does not.
            assert recovered is not None
            assert str(size - ends[good]) in recovered
            assert any(str(kind.data(scratch)) in message and recovered in message for message in messages)
        assert kind.data(scratch).read_bytes().startswith(data[: ends[good]])
        # Without a warning: the index is whole again.
        assert read(scratch) == [*SMALL[:good], NEW]
        with smartpipe.open(scratch) as pipe:
            assert [(key, list(pipe[key])) for key in pipe] == [*SMALL[:good], NEW]


@every_kind_of_format2
@pytest.mark.parametrize("tail", [b"x", b"\x00" * 5 + b"x", b"\xf1SPr" * 50, b"\xf1SPr" + bytes(60), b"\xff" * 70_000])
def test_a_tail_that_is_no_record(kind: Kind, tail: bytes, prefix: str) -> None:
    data, frames = unfinished(kind, 2)
    kind.data(prefix).write_bytes(data + tail)
    index(prefix).write_bytes(frames)
    recovered, messages = go_on(prefix)
    assert recovered is not None and str(len(tail)) in recovered
    assert messages
    assert read(prefix) == [*SMALL, NEW]


@every_kind_of_format2
def test_an_unfinished_block_that_holds_a_copy_of_the_pipe(kind: Kind, prefix: str) -> None:
    # What is inside looks like records of this very file, but for their place.
    writer = planter(kind)
    writer.deflate = lambda raw: raw
    for key, pairs in SMALL:
        writer.write(key, pairs)
    whole = bytes(writer.data)
    writer.write(b"backup", {b"copy": whole, b"rest": bytes(1000)})
    kind.data(prefix).write_bytes(writer.data[:-1])
    with warned():
        assert read(prefix) == SMALL
    recovered, _ = go_on(prefix)
    assert recovered is not None and str(len(writer.data) - 1 - len(whole)) in recovered
    assert kind.data(prefix).read_bytes().startswith(whole)
    assert read(prefix) == [*SMALL, NEW]


# Format 2: the index


@every_kind_of_format2
def test_an_index_cut_anywhere_is_made_whole(kind: Kind, scratch: str) -> None:
    plant(scratch, SMALL, kind)
    data, listed = kind.data(scratch).read_bytes(), index(scratch).read_bytes()
    for size in range(len(listed)):
        kind.data(scratch).write_bytes(data)
        index(scratch).write_bytes(listed[:size])
        with warned(), smartpipe.open(scratch, "a") as pipe:
            assert pipe.recovered is None
            for key, _ in SMALL:
                with pytest.raises(smartpipe.DuplicateKeyError):
                    pipe.write(key, {})
            pipe.write(*NEW)
        assert kind.data(scratch).read_bytes().startswith(data)
        assert read(scratch) == [*SMALL, NEW]
    assert sorted(files(scratch)) == ["pipe" + kind.extension, "pipe.idx"]


@every_kind_of_format2
@pytest.mark.parametrize("content", [None, b"", b"\x89SPI", b"garbage" * 100, bytes(500)], ids=str)
def test_an_index_of_no_use_is_made_anew(kind: Kind, content: bytes | None, prefix: str) -> None:
    plant(prefix, SMALL, kind)
    index(prefix).unlink()
    if content is not None:
        index(prefix).write_bytes(content)
    assert go_on(prefix)[0] is None
    assert read(prefix) == [*SMALL, NEW]


@every_kind_of_format2
def test_an_index_that_is_behind_and_one_that_is_of_a_shorter_copy(kind: Kind, prefix: str) -> None:
    writer = planter(kind)
    states = []
    for key, pairs in SMALL:
        writer.write(key, pairs)
        writer.sync()
        writer.frame(closed=True)
        states.append((bytes(writer.data), bytes(writer.index)))
    for count, (_, listed) in enumerate(states, 1):
        kind.data(prefix).write_bytes(states[-1][0])
        index(prefix).write_bytes(listed)
        with warned():
            assert read(prefix) == SMALL
        assert go_on(prefix)[0] is None
        assert read(prefix) == [*SMALL, NEW]
        # The other way round the data is what is behind: it was cut.
        if count < len(states):
            kind.data(prefix).write_bytes(states[count - 1][0])
            index(prefix).write_bytes(states[-1][1])
            before = files(prefix)
            for mode in ("r", "a"):
                with pytest.raises(smartpipe.TruncatedError):
                    smartpipe.open(prefix, mode)  # type: ignore[call-overload]
            assert files(prefix) == before


@every_kind_of_format2
def test_what_was_cut_comes_back_under_its_key(kind: Kind, prefix: str) -> None:
    data, frames = unfinished(kind, 4)
    kind.data(prefix).write_bytes(data[:-1])
    index(prefix).write_bytes(frames)
    with warned(), smartpipe.open(prefix, "a") as pipe:
        assert SMALL[-1][0] not in pipe
        pipe.write(SMALL[-1][0], {b"again": b"1"})
    assert read(prefix) == [*SMALL[:-1], (SMALL[-1][0], [(b"again", b"1")])]


# Format 1. The writer appends a block's entry of the index, and then its data.


@every_kind_of_format1
def test_data_of_format_1_cut_in_its_last_block(kind: Kind, scratch: str) -> None:
    data, listed = format1.write(SMALL, compressed=kind.compress)
    begin = format1.read_index(listed)[-1].offset
    pairs = SMALL[-1][1]
    ends = {begin + sum(8 + len(name) + len(value) for name, value in pairs[:count]): count for count in range(3)}
    if kind.compress:
        ends = {begin: 0, len(data): 2}
    for size in range(begin, len(data) + 1):
        kind.data(scratch).write_bytes(data[:size])
        index(scratch).write_bytes(listed)
        recovered, messages = go_on(scratch)
        if size in ends:
            # As a shorter block it is whole, and nothing tells. FORMAT.md, «Format 1».
            assert recovered is None and messages == []
            assert read(scratch) == [*SMALL[:-1], (SMALL[-1][0], pairs[: ends[size]]), NEW]
        else:
            assert recovered is not None
            assert repr(SMALL[-1][0]) in recovered and str(size - begin) in recovered
            assert any(recovered in message for message in messages)
            assert read(scratch) == [*SMALL[:-1], NEW]
            assert kind.data(scratch).read_bytes().startswith(data[:begin])


@every_kind_of_format1
def test_data_of_format_1_cut_before_its_last_block(kind: Kind, scratch: str) -> None:
    # Several blocks were listed, and the power failed before their data arrived.
    data, listed = format1.write(SMALL, compressed=kind.compress)
    places = [entry.offset for entry in format1.read_index(listed)]
    for size in range(places[-1]):
        index(scratch).write_bytes(listed)
        kind.data(scratch).write_bytes(data[:size])
        whole = [
            block
            for block, place, end in zip(SMALL, places, [*places[1:], len(data)], strict=True)
            if end <= size and (place < size or not block[1])
        ]
        with warned() as messages, smartpipe.open(scratch, "a") as pipe:
            recovered = pipe.recovered
            pipe.write(b"new", {b"k": b"v"})
        assert recovered is not None and recovered in messages[0]
        found = read(scratch)
        # What is cut between two pairs, or is empty, can not be told from a block.
        assert found[: len(whole)] == whole
        assert found[-1] == (b"new", [(b"k", b"v")])
        assert len(found) <= len(whole) + 2


@every_kind_of_format1
def test_an_index_of_format_1_that_ends_within_an_entry(kind: Kind, scratch: str) -> None:
    # Killed while the entry of the last block was written: of its data nothing is there.
    data, listed = format1.write(SMALL, compressed=kind.compress)
    begin = format1.read_index(listed)[-1].offset
    last = len(listed) - 20 - len(SMALL[-1][0])
    for size in range(last, len(listed)):
        kind.data(scratch).write_bytes(data[:begin])
        index(scratch).write_bytes(listed[:size])
        recovered, messages = go_on(scratch)
        if size == last:
            assert recovered is None and messages == []
        else:
            assert recovered is not None and str(size - last) in recovered
            assert any(recovered in message for message in messages)
        assert read(scratch) == [*SMALL[:-1], NEW]
        assert index(scratch).read_bytes().startswith(listed[:last])
        assert kind.data(scratch).read_bytes().startswith(data[:begin])


@every_kind_of_format1
def test_an_index_of_format_1_that_lists_nothing_of_data_that_is_there(kind: Kind, prefix: str) -> None:
    data, listed = format1.write(SMALL, compressed=kind.compress)
    for size in range(20 + len(SMALL[0][0])):
        kind.data(prefix).write_bytes(data)
        index(prefix).write_bytes(listed[:size])
        before = files(prefix)
        with pytest.raises(smartpipe.CorruptError):
            smartpipe.open(prefix, "a")
        assert files(prefix) == before


@every_kind_of_format1
def test_the_first_block_of_format_1_was_being_written(kind: Kind, prefix: str) -> None:
    data, listed = format1.write(SMALL[:1], compressed=kind.compress)
    for cut_data, cut_index in ((b"", b""), (b"", listed[:7]), (data[:5], listed)):
        kind.data(prefix).write_bytes(cut_data)
        index(prefix).write_bytes(cut_index)
        recovered, _ = go_on(prefix, **kind.options)
        assert (recovered is None) == (cut_index == b"")
        assert read(prefix) == [NEW]


@every_kind_of_format1
def test_pairs_before_the_first_checkpoint_of_the_original(kind: Kind, prefix: str) -> None:
    # The original wrote them in front of the first block, which then does not begin at 0. They have no key.
    lost, _ = format1.write([(b"", [(b"lost", b"pair")])], compressed=kind.compress)
    data, listed = format1.write(SMALL, compressed=kind.compress)
    raw = 8 + len(b"lost") + len(b"pair")
    shifted = b""
    for entry in format1.read_index(listed):
        shifted += format1.LENGTH.pack(len(entry.key)) + entry.key
        shifted += format1.OFFSETS.pack(entry.offset + len(lost), entry.raw_offset + raw)
    kind.data(prefix).write_bytes(lost + data)
    index(prefix).write_bytes(shifted)
    assert read(prefix) == SMALL
    assert go_on(prefix) == (None, [])
    assert read(prefix) == [*SMALL, NEW]
    assert kind.data(prefix).read_bytes().startswith(lost + data)


# Limits


@every_kind
def test_append_needs_no_larger_limit_than_its_own_blocks(kind: Kind, prefix: str) -> None:
    # What is there already may be larger than what may be added.
    blocks: Blocks = [(b"large", [(b"k", os.urandom(5000))]), (b"small", [(b"k", b"v")])]
    plant(prefix, blocks, kind)
    assert go_on(prefix, max_block_size=100) == (None, [])
    assert read(prefix) == [*blocks, NEW]


@every_kind_of_format2
def test_a_damaged_index_and_a_torn_tail_at_once(kind: Kind, prefix: str) -> None:
    data, frames = unfinished(kind, 2)
    kind.data(prefix).write_bytes(data[:-1])
    damaged = bytearray(frames)
    damaged[100] ^= 1
    index(prefix).write_bytes(damaged)
    recovered, messages = go_on(prefix)
    assert recovered is not None
    assert messages
    assert read(prefix) == [*SMALL[:-1], NEW]


@every_kind
def test_nothing_is_left_beside_the_pipe(kind: Kind, prefix: str) -> None:
    plant(prefix, SMALL, kind)
    path = kind.data(prefix)
    os.truncate(path, path.stat().st_size)
    for _ in range(20):
        with smartpipe.open(prefix, "a") as pipe:
            pipe.write(b"%d" % len(pipe), {})
    assert sorted(files(prefix)) == ["pipe" + kind.extension, "pipe.idx"]
    assert Path(prefix).exists() is False


@every_kind_of_format2
def test_what_a_frame_lists_is_never_cut(kind: Kind, prefix: str) -> None:
    """The power failed: the frame arrived, and the data not all, and not as it was. FORMAT.md: «unsynced loss»."""
    writer = planter(kind)
    starts = [writer.write(key, pairs) for key, pairs in SMALL]
    writer.frame()
    listed = writer.data[: starts[3] + 70]
    listed[starts[3] - 1] ^= 1  # in the last segment of the third block
    kind.data(prefix).write_bytes(listed)
    index(prefix).write_bytes(writer.index)
    recovered, messages = go_on(prefix)
    assert recovered is not None
    assert "70 bytes" in recovered
    assert messages
    assert kind.data(prefix).read_bytes().startswith(listed[: starts[3]])
    with warned(), smartpipe.open(prefix) as pipe:
        assert list(pipe) == [key for key, _ in [*SMALL[:3], NEW]]
        with pytest.raises(smartpipe.CorruptError):
            list(pipe[b"third"])
        assert [(key, list(pipe[key])) for key in (b"first", b"second", b"new")] == [*SMALL[:2], NEW]


@every_kind_of_format2
def test_what_a_damaged_index_says_was_synced_is_never_cut(kind: Kind, prefix: str) -> None:
    """A frame whose header is good says how far the data was synced, also where its entries can not be used."""
    plant(prefix, SMALL, kind)
    damaged = bytearray(kind.data(prefix).read_bytes())
    damaged[-1] ^= 1  # in the last block, behind which nothing is
    kind.data(prefix).write_bytes(damaged)
    listed = bytearray(index(prefix).read_bytes())
    listed[-1] ^= 1  # in the last page of the frame
    index(prefix).write_bytes(listed)
    recovered, messages = go_on(prefix)
    assert recovered is None
    assert messages
    assert kind.data(prefix).read_bytes().startswith(damaged)
    with warned(), smartpipe.open(prefix) as pipe:
        assert list(pipe) == [key for key, _ in [*SMALL, NEW]]
        with pytest.raises(smartpipe.CorruptError):
            list(pipe[b"last"])
        assert [(key, list(pipe[key])) for key, _ in [*SMALL[:3], NEW]] == [*SMALL[:3], NEW]


@every_kind_of_format2
def test_an_index_written_behind_a_record_that_is_skipped_is_good(kind: Kind, scratch: str) -> None:
    # FORMAT.md, «Health»: the record that an index is held against is one that it lists.
    writer = planter(kind)
    for key, pairs in SMALL:
        writer.write(key, pairs)
    writer.write(b"of a later version", [], kind=200)
    writer.save(scratch, index=False)
    with warned(), smartpipe.open(scratch, "a"):
        pass
    with warned() as messages:
        assert read(scratch) == SMALL
        with smartpipe.open(scratch, "a") as pipe:
            pipe.write(*NEW)
        assert read(scratch) == [*SMALL, NEW]
    assert not messages


@pytest.mark.parametrize("junk", [b"x", b"\x89SP2\r\n\x1a\n1234", b"\x05\0\0\0first" + bytes(15)], ids=repr)
@every_kind
def test_an_index_that_lists_nothing_beside_no_data_may_become_a_pipe_of_either_format(
    kind: Kind, junk: bytes, prefix: str
) -> None:
    # What a power loss left of files that were just created: the data is empty, the index holds anything.
    kind.data(prefix).touch()
    index(prefix).write_bytes(junk)
    with warned() as messages, smartpipe.open(prefix, "a", **kind.options) as pipe:
        assert pipe.recovered == f"cut off: {len(junk)} bytes of an index entry"
        pipe.write(*SMALL[0])
    assert len(messages) == 1
    assert read(prefix) == SMALL[:1]
