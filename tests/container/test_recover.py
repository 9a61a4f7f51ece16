"""recover: everything that can be read is brought over, nothing else, and what is lost is said."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from random import Random

import pytest
from reference import format2

import smartpipe

from .pipes import (
    FILE_ID,
    KINDS,
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

BLOCK = [(b"raw", b"x" * 60), (b"log", b"ok")]


def places(data: bytes) -> list[range]:
    return [range(record.offset, record.end) for record in format2.scan(data, FILE_ID).records]


def recovered(prefix: str, **options: object) -> tuple[smartpipe.RecoverReport, Blocks]:
    """Recover a pipe to one beside it, twice; gives the report and the blocks."""
    with warned():
        first = smartpipe.recover(prefix, prefix + "-first", mode="w", **options)
        blocks = read(prefix + "-first")
        again = smartpipe.recover(prefix, prefix + "-again", mode="w", **options)
    assert smartpipe.verify(prefix + "-first").ok
    assert read(prefix + "-again") == blocks
    assert (again.blocks, again.lost, again.torn, again.missing) == (
        first.blocks,
        first.lost,
        first.torn,
        first.missing,
    )
    assert first.blocks == len(blocks)
    assert first.pairs == sum(len(pairs) for _, pairs in blocks)
    return first, blocks


@every_kind
@pytest.mark.parametrize("target", KINDS, ids=str)
def test_a_whole_pipe_is_copied(kind: Kind, target: Kind, prefix: str) -> None:
    write(prefix, PAGES, kind)
    before = files(prefix)
    report = smartpipe.recover(prefix, prefix + "-new", **target.options)
    assert (report.blocks, report.pairs, report.lost, report.torn, report.missing) == (4, 6, [], [], 0)
    assert report.path == str(target.data(prefix + "-new"))
    assert read(prefix + "-new") == PAGES
    after = files(prefix)
    assert {name: after[name] for name in before} == before
    assert set(after) - set(before) == {target.data("pipe-new").name, "pipe-new.idx"}


@every_kind
def test_the_new_pipe_is_as_the_old_one_unless_asked(kind: Kind, prefix: str) -> None:
    write(prefix, PAGES, kind, **({"metadata": {b"by": b"me"}} if kind.format == 2 else {}))
    smartpipe.recover(prefix, prefix + "-new", metadata={b"more": b"x"})
    with smartpipe.open(prefix + "-new") as pipe:
        assert (pipe.format, pipe.codec) == (2, "zlib" if kind.compress else "none")
        assert pipe.metadata == ({b"by": b"me", b"more": b"x"} if kind.format == 2 else {b"more": b"x"})


def test_metadata_does_not_go_to_format_1(prefix: str) -> None:
    write(prefix, SMALL, KINDS[0], metadata={b"by": b"me"})
    with warned() as messages:
        smartpipe.recover(prefix, prefix + "-new", format=1)
    assert any("metadata" in message for message in messages)
    assert read(prefix + "-new") == SMALL


# Every bit, every length


@every_kind_of_format2
@pytest.mark.parametrize("listed", [True, False])
def test_a_flipped_bit_costs_one_block_at_most(kind: Kind, listed: bool, scratch: str) -> None:
    writer = planter(kind)
    for key, pairs in SMALL:
        writer.write(key, pairs)
    writer.metadata({b"by": b"me"})
    writer.sync()
    writer.frame(closed=True)
    writer.save(scratch, index=listed)
    records = places(bytes(writer.data))
    for path in [kind.data(scratch), index(scratch)][: 2 if listed else 1]:
        good = path.read_bytes()
        for offset in range(len(good)):
            damaged = bytearray(good)
            damaged[offset] ^= 1 << offset % 8
            path.write_bytes(damaged)
            report = smartpipe.recover(scratch, scratch + "-new", mode="w")
            blocks = read(scratch + "-new")
            hit = next((number for number, place in enumerate(records) if offset in place), None)
            if path == index(scratch) or hit is None:
                assert (blocks, report.lost, report.torn) == (SMALL, [], []), offset
                continue
            with smartpipe.open(scratch + "-new") as pipe:
                assert pipe.metadata == ({} if hit == 4 else {b"by": b"me"}), offset
            if hit == 4:
                assert blocks == SMALL, offset
                assert len(report.lost) + len(report.torn) == 1, offset
                assert [damage.block for damage in report.lost] in ([], [None]), offset
                continue
            key = records[hit].start + 64 + 16 * sum(len(value) >= 32 for _, value in SMALL[hit][1])
            if listed and offset in range(key, key + len(SMALL[hit][0])):
                # The index has the key, and the checksum proves that it is the right one.
                assert (blocks, report.lost) == (SMALL, []), offset
                continue
            assert blocks == [block for number, block in enumerate(SMALL) if number != hit], offset
            assert len(report.lost) == 1, offset
            assert report.missing == 1, offset
            [lost] = report.lost
            assert (lost.what, lost.offset, lost.size) == ("damaged", records[hit].start, len(records[hit])), offset
            if listed or offset >= key + len(SMALL[hit][0]):
                assert lost.block == SMALL[hit][0], offset
        path.write_bytes(good)


@every_kind_of_format2
@pytest.mark.parametrize("listed", [True, False])
def test_data_cut_anywhere(kind: Kind, listed: bool, scratch: str) -> None:
    plant(scratch, SMALL, kind)
    path = kind.data(scratch)
    data = path.read_bytes()
    if not listed:
        index(scratch).unlink()
    records = places(data)
    for size in range(len(data)):
        path.write_bytes(data[:size])
        report, blocks = recovered(scratch)
        whole = sum(place.stop <= size for place in records)
        assert blocks == SMALL[:whole], size
        if listed:
            # Though smartpipe.open refuses it: what is gone has its name in the index.
            assert [damage.block for damage in report.lost] == [key for key, _ in SMALL[whole:]], size
        else:
            assert report.lost == [], size
            assert bool(report.torn) == (32 < size != records[whole].start), size


@every_kind_of_format1
def test_format_1_cut_anywhere(kind: Kind, scratch: str) -> None:
    plant(scratch, PAGES[1:], kind)
    data, listed = kind.data(scratch).read_bytes(), index(scratch).read_bytes()
    known = dict(PAGES[1:])
    for path, content in ((kind.data(scratch), data), (index(scratch), listed)):
        for size in range(1, len(content), 1 if len(content) < 1000 else 37):
            path.write_bytes(content[:size])
            with warned():
                try:
                    report = smartpipe.recover(scratch, scratch + "-new", mode="w")
                except smartpipe.CorruptError:
                    assert path == index(scratch)
                    continue
            blocks = read(scratch + "-new")
            for key, pairs in blocks:
                if path == index(scratch) and key == blocks[-1][0]:
                    continue  # an index cut between two entries
                assert pairs == known[key][: len(pairs)], size
                if key != PAGES[-1][0]:
                    assert pairs == known[key], size
            if path != index(scratch) and len(blocks) < 3:
                gone = {damage.block for damage in (*report.lost, *report.torn)}
                assert gone | {key for key, _ in blocks} == set(known), size
        path.write_bytes(content)


@every_kind_of_format1
def test_flipped_bits_of_the_index_of_format_1(kind: Kind, scratch: str) -> None:
    blocks: Blocks = [(b"k-" + bytes([97 + n] * 3), [(b"k", b"v%d" % n * (n + 1))]) for n in range(6)]
    plant(scratch, blocks, kind)
    good = index(scratch).read_bytes()
    keys = {at for n in range(6) for at in range(n * 25 + 4, n * 25 + 9)}
    for offset in range(len(good)):
        for bit in range(8):
            damaged = bytearray(good)
            damaged[offset] ^= 1 << bit
            index(scratch).write_bytes(damaged)
            with warned():
                report = smartpipe.recover(scratch, scratch + "-new", mode="w")
            found = read(scratch + "-new")
            where = offset, bit, report
            if offset in keys:
                # A key has no checksum.
                assert [pairs for _, pairs in found] == [pairs for _, pairs in blocks], where
                continue
            assert all(block in blocks for block in found), where
            # A bad entry hides its block, and where the one before ends; of two that contradict each other nothing
            # tells which is bad.
            assert len(found) >= 3, where
            if len(found) < 6:
                assert report.lost or report.torn, where


# What is planted


@every_kind_of_format2
def test_many_damages_at_once(kind: Kind, scratch: str) -> None:
    blocks: Blocks = [(b"%d" % n, [(b"k", Random(n).randbytes(100)), (b"large", b"x" * n)]) for n in range(80)]
    plant(scratch, blocks, kind)
    path = kind.data(scratch)
    good = path.read_bytes()
    records = places(good)
    for seed in range(30):
        random = Random(seed)
        damaged = bytearray(good)
        hurt = set()
        for _ in range(random.randrange(1, 20)):
            number = random.randrange(80)
            # Header or content: a hit key is whole again.
            at = random.choice((random.randrange(64), -1))
            damaged[(records[number].start if at >= 0 else records[number].stop) + at] ^= 1 << random.randrange(8)
            hurt.add(number)
        hurt = {
            n for n in hurt if damaged[records[n].start : records[n].stop] != good[records[n].start : records[n].stop]
        }
        path.write_bytes(damaged)
        report, found = recovered(scratch)
        assert found == [block for number, block in enumerate(blocks) if number not in hurt]
        assert {lost.block for lost in report.lost} == {b"%d" % number for number in hurt}
        assert report.missing == len(hurt)


@every_kind_of_format2
@pytest.mark.parametrize("zeroed", [512, 4096])
def test_the_start_of_both_files_zeroed(kind: Kind, zeroed: int, prefix: str) -> None:
    blocks: Blocks = [(b"%d" % n, [(b"k", Random(n).randbytes(700))]) for n in range(40)]
    write(prefix, blocks, kind)
    for path in (kind.data(prefix), index(prefix)):
        path.write_bytes(bytes(zeroed) + path.read_bytes()[zeroed:])
    with pytest.raises(smartpipe.SmartPipeError):
        smartpipe.open(prefix)
    report, found = recovered(prefix)
    first = -(-(zeroed - 32) // (len(b"0") + 64 + 700 + 8 + 1))
    assert found == blocks[len(blocks) - len(found) :]
    assert len(found) in (40 - first, 40 - first - 1)
    assert report.missing == 40 - len(found)


def test_a_file_of_random_headers_is_no_pipe(prefix: str) -> None:
    Path(prefix + ".dat").write_bytes(b"\xf1SPr" * 5000)
    with pytest.raises(smartpipe.FormatError):
        smartpipe.recover(prefix, prefix + "-new")


@every_kind_of_format2
def test_a_copy_of_a_pipe_in_a_value_is_not_taken_for_it(kind: Kind, prefix: str) -> None:
    write(prefix + "-inner", [(b"%d" % n, BLOCK) for n in range(20)], KINDS[0])
    inner = KINDS[0].data(prefix + "-inner").read_bytes()
    blocks: Blocks = [(b"copy", [(b"raw", inner)]), (b"a", BLOCK), (b"b", BLOCK)]
    write(prefix, blocks, KINDS[0])
    path = KINDS[0].data(prefix)
    path.write_bytes(bytes(32) + path.read_bytes()[32:])
    index(prefix).unlink()
    report, found = recovered(prefix)
    assert found == blocks
    assert not report.lost


@every_kind
def test_of_a_key_that_occurs_twice_the_last_counts(kind: Kind, prefix: str) -> None:
    first, last = [(b"k", b"first")], [(b"k", b"last")]
    plant(prefix, [(b"a", first), (b"b", BLOCK), (b"a", BLOCK), (b"a", last), (b"c", BLOCK)], kind)
    report, found = recovered(prefix)
    assert found == [(b"b", BLOCK), (b"a", last), (b"c", BLOCK)]
    assert [(lost.what, lost.block) for lost in report.lost] == [("duplicate", b"a")] * 2
    if kind.format == 2:
        path = kind.data(prefix)
        data = bytearray(path.read_bytes())
        data[places(bytes(data))[3].stop - 1] ^= 1
        path.write_bytes(data)
        report, found = recovered(prefix)
        # The last one that is whole.
        assert found == [(b"b", BLOCK), (b"a", BLOCK), (b"c", BLOCK)]
        assert sorted(lost.what for lost in report.lost) == ["damaged", "duplicate"]


@every_kind
def test_blocks_over_the_limit_are_lost_with_the_reason(kind: Kind, prefix: str) -> None:
    write(prefix, [(b"small", BLOCK), (b"big", [(b"k", b"x" * 9000)]), (b"more", BLOCK)], kind)
    report = smartpipe.recover(prefix, prefix + "-new", max_block_size=5000)
    assert read(prefix + "-new") == [(b"small", BLOCK), (b"more", BLOCK)]
    assert [(lost.what, lost.block) for lost in report.lost] == [("unreadable", b"big")]
    assert "max_block_size" in report.lost[0].reason


@every_kind_of_format2
def test_a_torn_tail_is_not_lost(kind: Kind, prefix: str) -> None:
    writer = planter(kind)
    for key, pairs in SMALL:
        writer.write(key, pairs)
    writer.frame()
    begin = writer.write(b"unfinished", BLOCK)
    del writer.data[begin + 70 :]
    writer.save(prefix)
    report, found = recovered(prefix)
    assert found == SMALL
    assert report.lost == []
    assert [(torn.what, torn.offset, torn.size) for torn in report.torn] == [("torn", begin, 70)]


def test_records_of_kinds_that_are_not_known(prefix: str) -> None:
    writer = planter(KINDS[0])
    writer.write(b"a", BLOCK)
    writer.write(b"later", BLOCK, kind=200)
    writer.write(b"required", BLOCK, kind=5)
    writer.write(b"b", BLOCK)
    writer.save(prefix)
    report, found = recovered(prefix)
    assert found == [(b"a", BLOCK), (b"b", BLOCK)]
    assert [lost.what for lost in report.lost] == ["unreadable", "unreadable"]
    assert ["kind 200" in report.lost[0].reason, "kind 5" in report.lost[1].reason] == [True, True]


# Where it is written


@every_kind
def test_what_is_there_is_refused_or_replaced(kind: Kind, prefix: str) -> None:
    write(prefix, SMALL, kind)
    write(prefix + "-new", PAGES, KINDS[0])
    before = files(prefix)
    with pytest.raises(smartpipe.PipeExistsError):
        smartpipe.recover(prefix, prefix + "-new")
    assert files(prefix) == before
    smartpipe.recover(prefix, prefix + "-new", mode="w")
    assert read(prefix + "-new") == SMALL
    with pytest.raises(ValueError, match="mode"):
        smartpipe.recover(prefix, prefix + "-third", mode="a")  # type: ignore[arg-type]


def test_source_and_destination_that_are_the_same(prefix: str, tmp_path: Path) -> None:
    write(prefix, SMALL, KINDS[0])
    (tmp_path / "link.dat").symlink_to(prefix + ".dat")
    before = files(prefix)
    for target in (prefix, prefix + ".dat", prefix + ".idx", tmp_path / "link"):
        with pytest.raises(ValueError, match="same pipe"):
            smartpipe.recover(prefix, target, mode="w")
    write(prefix + ".new", SMALL, KINDS[0])
    with pytest.raises(ValueError, match="same pipe"):
        smartpipe.recover(prefix + ".new", prefix, mode="w")
    assert {name: content for name, content in files(prefix).items() if ".new" not in name} == before


def test_options_that_contradict_the_name(prefix: str) -> None:
    write(prefix, SMALL, KINDS[0])
    with pytest.raises(ValueError, match="contradicts"):
        smartpipe.recover(prefix, prefix + "-new.dat", compress=True)
    smartpipe.recover(prefix, prefix + "-new.datz")
    with smartpipe.open(prefix + "-new") as pipe:
        assert pipe.codec == "zlib"


@every_kind
def test_an_interrupted_recovery_publishes_nothing_and_is_done_again(kind: Kind, prefix: str) -> None:
    write(prefix, PAGES, kind)
    write(prefix + "-old", SMALL, KINDS[0])
    before = files(prefix)

    def interrupt(done: int, total: int) -> None:
        if done > total // 2:
            raise KeyboardInterrupt

    for target, mode in (("-new", "x"), ("-old", "w")):
        with pytest.raises(KeyboardInterrupt):
            smartpipe.recover(prefix, prefix + target, mode=mode, progress=interrupt)  # type: ignore[arg-type]
        assert files(prefix) == before
    smartpipe.recover(prefix, prefix + "-new")
    smartpipe.recover(prefix, prefix + "-old", mode="w")
    assert read(prefix + "-new") == read(prefix + "-old") == PAGES


@every_kind
def test_a_killed_recovery_is_done_again(kind: Kind, prefix: str) -> None:
    write(prefix, PAGES, kind)
    pid = os.fork()
    if pid == 0:
        smartpipe.recover(
            prefix,
            prefix + "-new",
            progress=lambda done, total: os.kill(os.getpid(), signal.SIGKILL) if done > total // 2 else None,
        )
        os._exit(0)
    assert os.WIFSIGNALED(os.waitpid(pid, 0)[1])
    with pytest.raises(smartpipe.PipeNotFoundError):
        smartpipe.open(prefix + "-new")
    smartpipe.recover(prefix, prefix + "-new")
    assert read(prefix + "-new") == PAGES
    assert not list(Path(prefix).parent.glob("*.new*"))


def test_two_recoveries_to_one_place(prefix: str) -> None:
    write(prefix, PAGES, KINDS[0])

    def second(done: int, total: int) -> None:
        if done == total:
            with pytest.raises(smartpipe.LockedError):
                smartpipe.recover(prefix, prefix + "-new")

    smartpipe.recover(prefix, prefix + "-new", progress=second)
    assert read(prefix + "-new") == PAGES


def test_a_pipe_that_is_being_written_is_recovered_as_far_as_it_is(prefix: str) -> None:
    with smartpipe.open(prefix, "w") as pipe:
        for key, pairs in SMALL:
            pipe.write(key, pairs)
        report = smartpipe.recover(prefix, prefix + "-new")
        assert report.blocks == 4
        pipe.write(b"more", BLOCK)
    assert read(prefix + "-new") == SMALL


def test_where_there_is_nothing_to_recover(tmp_path: Path) -> None:
    with pytest.raises(smartpipe.PipeNotFoundError):
        smartpipe.recover(tmp_path / "nowhere", tmp_path / "new")
    (tmp_path / "keys.dat").write_bytes(b"\x01\x00\x00\x00k\x01\x00\x00\x00v")
    with pytest.raises(smartpipe.FormatError):
        smartpipe.recover(tmp_path / "keys", tmp_path / "new")
    assert not list(tmp_path.glob("new*"))


@every_kind
def test_progress(kind: Kind, prefix: str) -> None:
    write(prefix, PAGES, kind)
    calls: list[tuple[int, int]] = []
    smartpipe.recover(prefix, prefix + "-new", progress=lambda done, total: calls.append((done, total)))
    assert calls == sorted(calls)
    assert len({total for _, total in calls}) == 1
    assert calls[-1][0] <= calls[-1][1]
