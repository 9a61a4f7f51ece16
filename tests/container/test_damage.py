"""Every bit of a pipe flipped: what is given is right, or an error or a warning of ours says that something is not.

In format 2 damage of a record costs this block only, and damage of the index costs nothing. Format 1 has no checksums
of its own: what its offsets, lengths and streams tell is expected to be told.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from reference import format2

import smartpipe

from .pipes import (
    FILE_ID,
    SMALL,
    Blocks,
    Kind,
    every_kind,
    every_kind_of_format1,
    every_kind_of_format2,
    index,
    plant,
    planter,
    read,
    warned,
    write,
)

FILE_HEADER = 32


def flips(path: Path, bits: Any = range(8)) -> Iterator[int]:
    """Flip each bit of a file in turn; gives the offset of its byte, and puts the file right at the end."""
    data = path.read_bytes()
    for offset in range(len(data)):
        for bit in bits(offset) if callable(bits) else bits:
            damaged = bytearray(data)
            damaged[offset] ^= 1 << bit
            path.write_bytes(damaged)
            yield offset
    path.write_bytes(data)


def one_bit(offset: int) -> list[int]:
    """One bit of each byte, another one from byte to byte."""
    return [offset * 5 % 8]


def by_key(pipe: smartpipe.Reader) -> dict[bytes, Any]:
    """Each block, or the type of the error that it gives."""
    found: dict[bytes, Any] = {}
    for key in pipe:
        try:
            found[key] = list(pipe[key])
        except smartpipe.SmartPipeError as error:
            assert error.path == pipe.data_path
            assert error.offset is not None
            found[key] = type(error)
    return found


def by_items(pipe: smartpipe.Reader) -> list[Any]:
    """The blocks that items gives, and the types of the errors between them."""
    found: list[Any] = []
    items = pipe.items()
    while True:
        try:
            key, block = next(items)
            found.append((key, list(block)))
        except StopIteration:
            return found
        except smartpipe.SmartPipeError as error:
            found.append(type(error))
        assert items.position == len(found)


def places(data: bytes) -> list[range]:
    return [range(record.offset, record.end) for record in format2.scan(data, FILE_ID).records]


def damaged_block(records: list[range], offset: int) -> int | None:
    return next((number for number, place in enumerate(records) if offset in place), None)


# Format 2, data


@every_kind_of_format2
def test_a_flipped_bit_of_a_record_costs_this_block_only(kind: Kind, scratch: str) -> None:
    plant(scratch, SMALL, kind)
    path = kind.data(scratch)
    records = places(path.read_bytes())
    for offset in flips(path):
        number = damaged_block(records, offset)
        with warned() as messages:
            if number is None:
                # The file header.
                with pytest.raises(smartpipe.SmartPipeError) as caught:
                    smartpipe.open(scratch)
                assert isinstance(caught.value, smartpipe.FormatError | smartpipe.CorruptError)
                continue
            with smartpipe.open(scratch) as pipe:
                found, listed = by_key(pipe), by_items(pipe)
        hurt = SMALL[number][0]
        assert not messages
        assert list(found) == [key for key, _ in SMALL]
        assert {key: pairs for key, pairs in found.items() if key != hurt} == {k: p for k, p in SMALL if k != hurt}
        assert issubclass(found[hurt], smartpipe.CorruptError)
        assert listed == [(*SMALL[:number], found[hurt], *SMALL[number + 1 :])[n] for n in range(len(SMALL))]


@every_kind_of_format2
def test_a_flipped_bit_of_data_without_an_index(kind: Kind, scratch: str) -> None:
    plant(scratch, SMALL, kind)
    index(scratch).unlink()
    path = kind.data(scratch)
    records = places(path.read_bytes())
    for offset in flips(path):
        number = damaged_block(records, offset)
        with warned() as messages:
            try:
                with smartpipe.open(scratch) as pipe:
                    found, listed = by_key(pipe), by_items(pipe)
            except smartpipe.SmartPipeError:
                assert number is None
                continue
        assert number is not None
        hurt = SMALL[number][0]
        assert messages
        others = [block for block in SMALL if block[0] != hurt]
        assert [(key, pairs) for key, pairs in found.items() if isinstance(pairs, list)] == others
        assert [block for block in listed if isinstance(block, tuple)] == others
        if hurt not in found and number < len(SMALL) - 1:
            # With something good behind it, it is known to be damage and not the end.
            assert any("damaged" in message for message in messages)


def append_new(kind: Kind, prefix: str, number: int | None) -> tuple[Any, dict[bytes, Any]] | None:
    """Append a block to SMALL, of which block `number` is damaged: gives what was recovered, and all there is then.

    Where it is None the file header is damaged: nothing is appended, and None comes back.
    """
    damaged = kind.data(prefix).read_bytes()
    try:
        with smartpipe.open(prefix, "a") as pipe:
            recovered = pipe.recovered
            pipe.write(b"new", {b"k": b"v"})
    except smartpipe.SmartPipeError:
        assert number is None
        assert kind.data(prefix).read_bytes() == damaged
        return None
    assert number is not None
    with smartpipe.open(prefix) as pipe:
        found = by_key(pipe)
    good = [block for place, block in enumerate(SMALL) if place != number]
    assert [block for block in found.items() if isinstance(block[1], list)] == [*good, (b"new", [(b"k", b"v")])]
    return recovered, found


@every_kind_of_format2
def test_append_behind_a_flipped_bit_loses_no_other_block(kind: Kind, scratch: str) -> None:
    # Below what had reached the disk nothing is ever cut: also not the last record, though nothing good is behind it.
    plant(scratch, SMALL, kind)
    path = kind.data(scratch)
    records = places(path.read_bytes())
    size = path.stat().st_size
    listed = index(scratch).read_bytes()
    for offset in flips(path, one_bit):
        index(scratch).write_bytes(listed)
        number = damaged_block(records, offset)
        damaged = path.read_bytes()
        with warned():
            appended = append_new(kind, scratch, number)
        if appended is None:
            continue
        recovered, found = appended
        assert recovered is None
        assert path.read_bytes()[:size] == damaged
        assert SMALL[number][0] in found


@every_kind_of_format2
@pytest.mark.parametrize("synced", [True, False])
def test_append_without_an_index_behind_a_flipped_bit(kind: Kind, synced: bool, scratch: str) -> None:
    writer = planter(kind)
    for key, pairs in SMALL:
        writer.write(key, pairs)
        if synced:
            writer.sync()
    path = kind.data(scratch)
    path.write_bytes(writer.data)
    records = places(bytes(writer.data))
    for offset in flips(path, one_bit):
        index(scratch).unlink(missing_ok=True)
        number = damaged_block(records, offset)
        damaged = path.read_bytes()
        with warned() as messages:
            appended = append_new(kind, scratch, number)
        if appended is None:
            continue
        recovered, _ = appended
        assert messages
        if number < len(SMALL) - 1:
            # Good records follow: it is damage, and is kept.
            assert recovered is None
            assert path.read_bytes()[: records[-1].stop] == damaged
        else:
            # Nothing good follows, and nothing says that it had reached the disk: a torn tail.
            assert recovered is not None


@every_kind_of_format2
def test_only_what_is_selected_is_checked(kind: Kind, scratch: str) -> None:
    blocks: Blocks = [
        (b"%d" % n, [(b"small", b"s%d" % n), (b"large", b"l" * 500), (b"more", b"m" * 600)]) for n in range(9)
    ]
    plant(scratch, blocks, kind)
    path = kind.data(scratch)
    data = bytearray(path.read_bytes())
    records = places(bytes(data))
    data[records[4].stop - 1] ^= 1  # the last large value
    path.write_bytes(data)
    with smartpipe.open(scratch) as pipe:
        for select in ([b"small"], [b"large"], [b"small", b"large"], []):
            expected = [(key, [pair for pair in pairs if pair[0] in select]) for key, pairs in blocks]
            assert [(key, list(block)) for key, block in pipe.items(select=select)] == expected
        for options in ({}, {"select": [b"more"]}):
            items = pipe.items(**options)
            assert [next(items)[0] for _ in range(4)] == [b"0", b"1", b"2", b"3"]
            with pytest.raises(smartpipe.CorruptError) as caught:
                next(items)
            assert caught.value.block == b"4"
            assert [key for key, _ in items] == [b"5", b"6", b"7", b"8"]
        block = pipe[b"4"]
        assert block[b"small"] == b"s4"
        assert block[b"large"] == b"l" * 500
        assert block.sizes() == [(b"small", 2), (b"large", 500), (b"more", 600)]
        for call in (
            lambda: block[b"more"],
            lambda: list(block),
            lambda: block[-1],
            lambda: list(pipe.pull_block(b"4")),
        ):
            with pytest.raises(smartpipe.CorruptError) as caught:
                call()
            assert caught.value.block == b"4"
            assert caught.value.path == str(path)
            assert caught.value.offset in records[4]
        assert block[b"large"] == b"l" * 500


@every_kind
def test_blocks_around_damaged_ones_are_given_once(kind: Kind, scratch: str) -> None:
    blocks: Blocks = [(b"%d" % n, [(b"k", random.Random(n).randbytes(400))]) for n in range(60)]
    plant(scratch, blocks, kind)
    path = kind.data(scratch)
    data = bytearray(path.read_bytes())
    with smartpipe.open(scratch) as pipe:
        entries = list(pipe.entries())
    for hurt in ({0}, {59}, {0, 1, 2}, {30}, {0, 59}, {10, 11, 40}, set(range(60)), set(range(0, 60, 2))):
        damaged = bytearray(data)
        for number in hurt:
            # In format 1 without compression only a length tells: that of the pair key.
            damaged[entries[number].offset + (2 if kind == Kind(1, False) else entries[number].stored - 1)] ^= 0x10
        path.write_bytes(damaged)
        with smartpipe.open(scratch) as pipe:
            found = by_items(pipe)
            assert len(found) == 60
            for number, block in enumerate(found):
                if number in hurt:
                    assert issubclass(block, smartpipe.CorruptError)
                else:
                    assert block == blocks[number]
            assert by_key(pipe) == {key: found[n] if n in hurt else pairs for n, (key, pairs) in enumerate(blocks)}
            many = pipe.get_many([key for n, (key, _) in enumerate(blocks) if n not in hurt])
            assert [key for key, _ in many] == [key for n, (key, _) in enumerate(blocks) if n not in hurt]


@every_kind_of_format2
@pytest.mark.parametrize("place", [0, 2, 4])
@pytest.mark.parametrize("listed", [True, False])
def test_a_flipped_bit_of_the_metadata(kind: Kind, place: int, listed: bool, scratch: str) -> None:
    metadata = {b"by": b"test", b"large": b"x" * 50}
    writer = planter(kind)
    for number in range(5):
        if number == place:
            begin = writer.metadata(metadata)
            end = len(writer.data)
        if number < 4:
            writer.write(*SMALL[number])
    writer.sync()
    writer.frame(closed=True)
    writer.save(scratch, index=listed)
    for at in range(begin, end):
        for bit in one_bit(at):
            damaged = bytearray(writer.data)
            damaged[at] ^= 1 << bit
            kind.data(scratch).write_bytes(damaged)
            with warned() as messages, smartpipe.open(scratch) as pipe:
                assert by_key(pipe) == dict(SMALL)
                try:
                    found = pipe.metadata
                except smartpipe.CorruptError as error:
                    assert error.offset in range(begin, end)
                    continue
            assert found == metadata or (found == {} and messages and not listed)


# Format 2, index


@every_kind_of_format2
def test_a_flipped_bit_of_the_index_loses_and_changes_nothing(kind: Kind, scratch: str) -> None:
    plant(scratch, SMALL, kind)
    for _ in flips(index(scratch)):
        with warned() as messages:
            assert read(scratch) == SMALL
            with smartpipe.open(scratch) as pipe:
                assert by_key(pipe) == dict(SMALL)
                assert b"absent" not in pipe
                assert len(list(pipe.entries())) == 4
        if messages:
            assert all("pipe.idx" in message for message in messages)


@every_kind_of_format2
def test_append_behind_a_flipped_bit_of_the_index(kind: Kind, scratch: str) -> None:
    plant(scratch, SMALL, kind)
    data = kind.data(scratch).read_bytes()
    for _ in flips(index(scratch), one_bit):
        kind.data(scratch).write_bytes(data)
        with warned(), smartpipe.open(scratch, "a") as pipe:
            assert pipe.recovered is None
            for key, _ in SMALL:
                with pytest.raises(smartpipe.DuplicateKeyError):
                    pipe.write(key, {})
            pipe.write(b"new", {b"k": b"v"})
        # And what it leaves is a good index again.
        assert read(scratch) == [*SMALL, (b"new", [(b"k", b"v")])]
        with smartpipe.open(scratch) as pipe:
            assert by_key(pipe) == {**dict(SMALL), b"new": [(b"k", b"v")]}


MANY: Blocks = [(b"key %d" % number, [(b"n", b"%d" % number)]) for number in range(400)]


@pytest.mark.parametrize("frames", [1, 3])
def test_damage_anywhere_in_an_index_of_many_pages(frames: int, scratch: str) -> None:
    writer = planter(Kind(2, False))
    for number, (key, pairs) in enumerate(MANY):
        writer.write(key, pairs)
        if frames == 3 and number in (50, 200):
            writer.frame(slots=0 if number == 50 else None)
    writer.sync()
    writer.frame(closed=True)
    writer.save(scratch)
    assert len(writer.index) > 6 * 4096
    for offset in range(0, len(writer.index), 131):
        damaged = bytearray(writer.index)
        damaged[offset] ^= 0x40
        index(scratch).write_bytes(damaged)
        # Whatever comes first finds it: a look-up, a miss, an iteration.
        with warned():
            for first in (
                lambda pipe: list(pipe),
                lambda pipe: b"absent" in pipe,
                lambda pipe: list(pipe[b"key 399"]),
                lambda pipe: list(pipe.get_many(key for key, _ in MANY)),
                lambda pipe: [list(pipe.pull_block()) for _ in MANY],
                lambda pipe: pipe.splits(7),
                lambda pipe: list(pipe.entries()),
                lambda pipe: pipe.items(start=b"key 200"),
            ):
                with smartpipe.open(scratch) as pipe:
                    first(pipe)
                    assert len(pipe) == 400
                    assert [key for key in pipe] == [key for key, _ in MANY]  # noqa: C416 - by the iterator
                    assert all(pipe[key][0] == pairs[0] for key, pairs in MANY[offset % 7 :: 7])
                    assert b"key 400" not in pipe
            assert read(scratch) == MANY


@pytest.mark.parametrize("record", [3, 250, 399])
@pytest.mark.parametrize("page", [0, 3, 5])
def test_damage_of_the_index_and_of_the_data_at_once(record: int, page: int, scratch: str) -> None:
    # When the index has to be made anew, a record that can not be read any more has no place in it.
    writer = planter(Kind(2, False))
    offsets = [writer.write(key, pairs) for key, pairs in MANY]
    writer.sync()
    writer.frame(closed=True)
    writer.save(scratch)
    writer.data[offsets[record] + 20] ^= 1
    Path(scratch + ".dat").write_bytes(writer.data)
    sums = 64 + 128
    body = sums + -(-4 * -(-(len(writer.index) - sums) // 4096) // 8) * 8
    writer.index[body + 4096 * page + 100] ^= 1
    index(scratch).write_bytes(writer.index)
    others = [block for number, block in enumerate(MANY) if number != record]

    def pulled(pipe: smartpipe.Reader) -> list[Any]:
        found: list[Any] = []
        while (key := pipe.get_next_block_key()) is not None:
            try:
                found.append((key, list(pipe.pull_block())))
            except smartpipe.CorruptError as error:
                found.append(type(error))
        return found

    def keys(pipe: smartpipe.Reader) -> list[bytes]:
        return [key for key in pipe if key != MANY[record][0]]

    def in_splits(pipe: smartpipe.Reader) -> list[Any]:
        found = []
        for part in pipe.splits(3):
            with smartpipe.open(part) as reader:
                found += by_items(reader)
        return found

    with warned():
        for first in (by_items, pulled, in_splits):
            with smartpipe.open(scratch) as pipe:
                found = first(pipe)
                assert [block for block in found if isinstance(block, tuple)] == others
        for ask in (keys, lambda pipe: [entry.key for entry in pipe.entries() if entry.key != MANY[record][0]]):
            with smartpipe.open(scratch) as pipe:
                assert ask(pipe) == [key for key, _ in others]
                assert [key for key in pipe if pipe.get_next_block_key() and key != MANY[record][0]] == keys(pipe)
        with smartpipe.open(scratch) as pipe:
            assert {key: list(pipe[key]) for key, _ in others} == dict(others)


def test_append_with_damage_anywhere_in_an_index_of_many_pages(scratch: str) -> None:
    plant(scratch, MANY, Kind(2, False))
    data, listed = Path(scratch + ".dat").read_bytes(), index(scratch).read_bytes()
    for offset in range(0, len(listed), 1531):
        Path(scratch + ".dat").write_bytes(data)
        damaged = bytearray(listed)
        damaged[offset] ^= 0x40
        index(scratch).write_bytes(damaged)
        with warned(), smartpipe.open(scratch, "a") as pipe:
            assert len(pipe) == 400
            for key, _ in MANY:
                assert key in pipe
                with pytest.raises(smartpipe.DuplicateKeyError):
                    pipe.write(key, {})
            assert b"new" not in pipe
            pipe.write(b"new", {})
        assert read(scratch) == [*MANY, (b"new", [])]


# An index that is too large to be checked as a whole when it is opened: its pages are checked as they are touched.

LONG: Blocks = [(b"%d" % number * 250, [(b"n", b"%d" % number)]) for number in range(5000)]


@pytest.fixture(scope="module")
def large_pipe(tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, bytes]:
    """Data and index of a pipe whose index has more than 4 MiB."""
    prefix = tmp_path_factory.mktemp("large") / "pipe"
    write(prefix, LONG, Kind(2, False))
    listed = index(prefix).read_bytes()
    assert len(listed) > 4 << 20
    return Path(f"{prefix}.dat").read_bytes(), listed


@pytest.mark.parametrize("place", range(8))
def test_a_page_of_a_large_index(place: int, large_pipe: tuple[bytes, bytes], scratch: str) -> None:
    data, listed = large_pipe
    Path(scratch + ".dat").write_bytes(data)
    damaged = bytearray(listed)
    damaged[len(listed) * place // 8 + 7000] ^= 0x10
    index(scratch).write_bytes(damaged)
    keys = [key for key, _ in LONG]
    with warned() as messages:
        for first in (
            lambda pipe: list(pipe) == keys,
            lambda pipe: b"absent" not in pipe,
            lambda pipe: all(key in pipe for key in reversed(keys)),
            lambda pipe: [key for key, _ in pipe.items()] == keys,
            lambda pipe: [key for key, _ in pipe.get_many(keys[::-1])] == keys,
            lambda pipe: [entry.key for entry in pipe.entries()] == keys,
            lambda pipe: sum(part.stop - part.start for part in pipe.splits(9)) == len(keys),
        ):
            with smartpipe.open(scratch) as pipe:
                assert first(pipe)
                assert len(pipe) == len(LONG)
                assert [(key, list(block)) for key, block in pipe.items(start=keys[-3])] == LONG[-3:]
                assert list(pipe[keys[2500]]) == LONG[2500][1]
        with smartpipe.open(scratch, "a") as pipe:
            assert all(key in pipe for key in keys)
            pipe.write(b"new", {})
    assert messages
    assert read(scratch) == [*LONG, (b"new", [])]


@pytest.mark.parametrize("record", [3, 4990])
def test_a_page_of_a_large_index_and_a_record(record: int, large_pipe: tuple[bytes, bytes], scratch: str) -> None:
    # The index that is made anew lacks that record. Who counts blocks is told, and skips none.
    data, listed = large_pipe
    Path(scratch + ".dat").write_bytes(data)
    index(scratch).write_bytes(listed)
    with smartpipe.open(scratch) as pipe:
        offset = next(entry.offset for entry in pipe.entries() if entry.number == record)
    hurt = bytearray(data)
    hurt[offset + 20] ^= 1
    Path(scratch + ".dat").write_bytes(hurt)
    damaged = bytearray(listed)
    damaged[len(listed) // 30] ^= 0x10  # among the entries, which come first
    index(scratch).write_bytes(damaged)
    expected = [block for number, block in enumerate(LONG) if number != record]
    with warned(), smartpipe.open(scratch) as pipe:
        items, found = pipe.items(), []
        for _ in range(len(LONG) + 1):
            try:
                key, block = next(items)
                found.append((key, list(block)))
            except StopIteration:
                break
            except smartpipe.CorruptError as error:
                if error.path == str(index(scratch)):
                    assert found == expected[: len(found)]
                    return
        assert found == expected


# Format 1


@every_kind_of_format1
def test_a_flipped_bit_of_data_of_format_1(kind: Kind, scratch: str) -> None:
    plant(scratch, SMALL, kind)
    path = kind.data(scratch)
    with smartpipe.open(scratch) as pipe:
        records = [range(entry.offset, entry.offset + entry.stored) for entry in pipe.entries()]
    for offset in flips(path):
        number = damaged_block(records, offset)
        assert number is not None
        with smartpipe.open(scratch) as pipe:
            found, listed = by_key(pipe), by_items(pipe)
        hurt = SMALL[number][0]
        assert {key: pairs for key, pairs in found.items() if key != hurt} == {k: p for k, p in SMALL if k != hurt}
        assert [block if isinstance(block, type) else block[1] for block in listed] == list(found.values())
        if kind.compress:
            # The stream has a checksum; but a bit or two of its header say nothing to who inflates.
            assert found[hurt] == SMALL[number][1] or issubclass(found[hurt], smartpipe.CorruptError)


@every_kind_of_format1
def test_a_flipped_bit_of_an_index_of_format_1(kind: Kind, scratch: str) -> None:
    # Keys have no checksum; a key of another length takes what is behind it for its offsets.
    plant(scratch, SMALL, kind)
    keys_and_lengths: set[int] = set()
    position = 0
    for key, _ in SMALL:
        keys_and_lengths |= set(range(position, position + 4 + len(key)))
        position += 20 + len(key)
    original = dict(SMALL)
    for offset in flips(index(scratch)):
        with warned() as messages:
            try:
                with smartpipe.open(scratch) as pipe:
                    found = by_key(pipe)
                    listed = by_items(pipe)
            except smartpipe.SmartPipeError as error:
                assert error.path == str(index(scratch))
                continue
        assert len(listed) >= len(found)
        if offset not in keys_and_lengths:
            assert list(found) == list(original)
        for key, pairs in found.items():
            if isinstance(pairs, list) and key in original and not messages:
                assert pairs == original[key]


@every_kind_of_format1
def test_an_index_of_format_1_out_of_order(kind: Kind, scratch: str) -> None:
    plant(scratch, SMALL, kind)
    listed = index(scratch).read_bytes()
    last = 20 + len(SMALL[3][0])
    third = 20 + len(SMALL[2][0])
    index(scratch).write_bytes(listed[: -last - third] + listed[-last:] + listed[-last - third : -last])
    with pytest.raises(smartpipe.CorruptError) as caught:
        smartpipe.open(scratch)
    assert caught.value.path == str(index(scratch))
    assert caught.value.block == b"third"
    assert caught.value.offset == len(listed) - third


@every_kind_of_format1
def test_append_behind_a_damaged_last_block_of_format_1_cuts_nothing(kind: Kind, scratch: str) -> None:
    # It is not unfinished: with the same number of bytes its lengths, or its stream, are wrong.
    plant(scratch, SMALL, kind)
    path = kind.data(scratch)
    with smartpipe.open(scratch) as pipe:
        last = list(pipe.entries())[-1]
    data = bytearray(path.read_bytes())
    data[last.offset + (last.stored // 2 if kind.compress else 0)] ^= 0x02
    path.write_bytes(data)
    before = index(scratch).read_bytes()
    with warned():
        try:
            with smartpipe.open(scratch, "a") as pipe:
                pipe.write(b"new", {b"k": b"v"})
        except smartpipe.CorruptError:
            assert path.read_bytes() == data
            assert index(scratch).read_bytes() == before
            return
        assert dict(read(scratch))[b"new"] == [(b"k", b"v")]


# Copies and other histories


@every_kind_of_format2
def test_an_index_of_another_pipe_is_stale(kind: Kind, scratch: str, tmp_path: Path) -> None:
    plant(scratch, SMALL, kind)
    other = planter(kind)
    other = type(other)(FILE_ID + 1)
    other.write(b"other", {b"k": b"v"})
    other.frame(closed=True)
    index(scratch).write_bytes(other.index)
    with pytest.warns(smartpipe.PipeWarning, match=r"pipe\.idx.*stale"):
        assert read(scratch) == SMALL
    with warned(), smartpipe.open(scratch, "a") as pipe:
        assert pipe.recovered is None
        assert b"other" not in pipe
        pipe.write(b"new", {})
    assert read(scratch) == [*SMALL, (b"new", [])]


@every_kind_of_format2
def test_the_index_of_a_copy_that_went_on_differently(kind: Kind, scratch: str) -> None:
    # The same id and the same sizes; only the header of the last record tells.
    first, second = planter(kind), planter(kind)
    for number, writer in enumerate((first, second)):
        writer.write(b"common", {b"k": b"v"})
        writer.frame()
        writer.stamp += number
        writer.write(b"own %d" % number, {b"k": b"%d" % number})
        writer.sync()
        writer.frame(closed=True)
    assert len(first.data) == len(second.data)
    first.save(scratch)
    index(scratch).write_bytes(second.index)
    expected = [(b"common", [(b"k", b"v")]), (b"own 0", [(b"k", b"0")])]
    with pytest.warns(smartpipe.PipeWarning, match=r"pipe\.idx"):
        assert read(scratch) == expected
    with warned(), smartpipe.open(scratch) as pipe:
        assert b"own 1" not in pipe
        assert b"own 0" in pipe
    with warned(), smartpipe.open(scratch, "a") as pipe:
        pipe.write(b"own 1", {})
    assert read(scratch) == [*expected, (b"own 1", [])]


@every_kind_of_format2
def test_a_pipe_inside_a_value_is_not_taken_for_records(kind: Kind, scratch: str, tmp_path: Path) -> None:
    # Even a copy of this very file, with its id, behind damage that makes the scan search.
    plant(tmp_path / "inner", SMALL, kind)
    inner = kind.data(tmp_path / "inner").read_bytes()
    writer = planter(kind)
    writer.deflate = lambda raw: raw
    writer.write(b"outer", {b"copy": inner, b"again": inner * 3})
    writer.write(b"behind", {b"k": b"v"})
    writer.save(scratch, index=False)
    with warned():
        assert [key for key, _ in read(scratch)] == [b"outer", b"behind"]
    data = bytearray(writer.data)
    data[FILE_HEADER + 30] ^= 1
    kind.data(scratch).write_bytes(data)
    with warned() as messages:
        assert read(scratch) == [(b"behind", [(b"k", b"v")])]
    assert any("damaged" in message for message in messages)
