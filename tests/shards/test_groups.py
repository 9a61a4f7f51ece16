"""Small values that are stored many at once, compressed together: found, kept, deleted, compacted, and damaged."""

from __future__ import annotations

import json
import os
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from reference import format2
from reference import store as plain

import smartpipe
from smartpipe import ShardStore

from .planted import Writer, flip, plant, shard


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "store"


def value(number: int) -> bytes:
    return json.dumps({"url": f"https://example.org/{number}", "status": 200, "title": f"Page {number}"}).encode()


def values(count: int) -> dict[bytes, bytes]:
    return {b"key %04d" % number: value(number) for number in range(count)}


def records(path: Path) -> list[format2.Record]:
    """The records of all shards, by the plain reader."""
    found = []
    for file in sorted(path.glob("*.dat*")):
        data = file.read_bytes()
        found += format2.scan(data, format2.read_file_header(data, shard=True).file_id, shard=True).records
    return found


def kinds(path: Path) -> Counter[int]:
    return Counter(record.kind for record in records(path))


def content(store: ShardStore) -> dict[bytes, bytes]:
    """All that counts, in each way to ask for it."""
    found = {key: block[b""] for key, block in store.items()}
    assert found == {key: block[b""] for key, block in store.items(threads=2)}
    assert found == {key: block[b""] for key, block in store.get_many(list(found)) if block is not None}
    assert found == {key: store.get_bytes(key) for key in found}
    assert len(store) == len(found)
    assert sorted(store.keys()) == sorted(entry.key for entry in store.entries()) == sorted(found)
    return found


@pytest.mark.parametrize("compress", ["zlib", "zstd", "lz4"])
def test_small_values_are_compressed_together(compress: Any, path: Path) -> None:
    model = values(1000)
    with ShardStore(path, compress=compress) as store:
        assert store.put_many(model) == 1000
        assert content(store) == model
        stats = store.stats()
        assert (stats["keys"], stats["dead_bytes"]) == (1000, 32)  # the header of the file
        assert sum(entry.stored for entry in store.entries()) == stats["live_bytes"]
        assert {(entry.pairs, entry.raw) for entry in store.entries()} == {
            (1, 8 + len(each)) for each in model.values()
        }
        assert store.verify().ok
        assert store.verify().blocks == 1000
    assert set(kinds(path)) == {format2.GROUP}
    assert len(records(path)) < 10
    with ShardStore(path, mode="r") as store:
        assert content(store) == model
    assert {key: [(b"", each)] for key, each in model.items()} == plain.read(path)


def test_compressed_together_they_are_far_smaller(tmp_path: Path) -> None:
    model = values(1000)
    with ShardStore(tmp_path / "one by one", compress="zlib") as store:
        for key, each in model.items():
            store.put_bytes(key, each)
        alone = store.stats()["data_bytes"]
    with ShardStore(tmp_path / "many", compress="zlib") as store:
        store.put_many(model)
        assert store.stats()["data_bytes"] < alone / 3


def test_what_is_no_small_value_has_a_record_of_its_own(path: Path) -> None:
    model: dict[bytes, Any] = {
        b"large": b"x" * 4096,
        b"pairs": {b"raw": b"1", b"log": b"2"},
        b"none": [],
        b"k" * 5000: b"under a long key",
        b"one pair": {b"raw": b"1"},
    }
    with ShardStore(path, compress="zlib") as store:
        store.put_many(model)
        store.put_bytes(b"single", value(1))
        store.put_many({b"alone": value(2)})
        assert store.verify().ok
    assert kinds(path) == {format2.BLOCK: len(model) + 2}


def test_without_a_codec_there_are_no_groups(path: Path) -> None:
    with ShardStore(path) as store:
        store.put_many(values(50))
    assert kinds(path) == {format2.BLOCK: 50}


def test_sizes_at_their_limits(path: Path) -> None:
    model = {b"": b"empty key", b"e": b"", b"k" * 4095: b"v", b"4095": b"v" * 4095, **values(20)}
    model |= {b"%05d" % number: b"" for number in range(5000)}  # more than are written together
    model |= {b"random %d" % number: os.urandom(4000) for number in range(10)}  # which no codec makes smaller
    with ShardStore(path, compress="zlib", level=9) as store:
        assert store.put_many(model) == len(model)
        assert content(store) == model
        assert store.verify().ok
    assert max(record.head_raw + record.key_length for record in records(path)) <= 16 << 10
    assert plain.read(path) == {key: [(b"", each)] for key, each in model.items()}


def test_a_group_is_no_larger_than_a_block_may_be(path: Path) -> None:
    with ShardStore(path, compress="zlib", max_block_size=200) as store:
        store.put_many(values(50))
        with pytest.raises(smartpipe.BlockTooLargeError):
            store.put_many({b"a": b"x" * 10, b"large": b"x" * 200})
        assert content(store) == values(50)
    assert max(record.head_raw for record in records(path)) <= 200
    with ShardStore(path, compress="zlib") as store:
        store.put_many({b"more %d" % number: value(number) for number in range(50)})
    # Of whom smaller blocks are wanted can read a member of a larger group.
    with ShardStore(path, "r", max_block_size=200) as store:
        assert len(content(store)) == 100
    with ShardStore(path, "r", max_block_size=50) as store:
        with pytest.raises(smartpipe.BlockTooLargeError) as caught:
            store.get_bytes(b"more 7")
        assert caught.value.block == b"more 7"


def test_putting_again(path: Path) -> None:
    model = values(300)
    with ShardStore(path, compress="zlib") as store:
        store.put_many(model)
        before = store.stats()["data_bytes"]
        assert store.put_many(model) == 0
        assert store.stats()["data_bytes"] == before
        more = {**values(320), b"key 0007": value(7)}
        assert store.put_many(more) == 20
        assert content(store) == more
        with pytest.raises(smartpipe.CollisionError) as caught:
            store.put_many({b"new": b"1", b"key 0007": b"another", b"newer": b"2"})
        assert caught.value.block == b"key 0007"
        assert content(store) == more
        # One of a group that is new, and one of its own record.
        assert store.put_many({b"key 0001": value(1), b"new": b"1"}) == 1
        assert store.put_many({b"key 0001": value(1), b"new": b"1", b"a": b"2", b"b": b"3"}) == 2
        assert content(store) == {**more, b"new": b"1", b"a": b"2", b"b": b"3"}
        assert store.verify().ok


def test_overwriting_and_deleting(path: Path) -> None:
    model = values(200)
    with ShardStore(path, compress="zlib") as store, ShardStore(path, compress="zlib") as other:
        store.put_many(model)
        again = dict.fromkeys(list(model)[::3], b"again")
        other.put_many(again, overwrite=True)
        model |= again
        for key in list(model)[::2]:
            store.delete(key)
            del model[key]
        store.put_bytes(b"key 0001", b"once more", overwrite=True)
        model[b"key 0001"] = b"once more"
        for each in (store, other):
            assert content(each) == model
        assert sum(entry.stored for entry in store.entries()) == store.stats()["live_bytes"]
    with ShardStore(path) as store:
        assert content(store) == model


def test_a_put_of_many_has_one_stamp_that_is_later_than_all_it_replaces(path: Path) -> None:
    future = 1 << 63
    writer = shard(1, stamp=future, codec=format2.ZLIB)
    writer.group([(b"a", b"old"), (b"b", b"old")], [future - 7, future])
    writer.frame(closed=True)
    plant(path, writer)
    with ShardStore(path, compress="zlib") as store:
        assert content(store) == {b"a": b"old", b"b": b"old"}
        store.put_many({b"c": b"new", b"a": b"new", b"b": b"new"}, overwrite=True)
        stamps = {entry.stamp for entry in store.entries()}
        assert len(stamps) == 1
        assert min(stamps) > future
    with ShardStore(path, "r") as store:
        assert content(store) == {b"a": b"new", b"b": b"new", b"c": b"new"}


# Compaction


def test_compaction_groups_small_values(path: Path) -> None:
    model = values(400)
    with ShardStore(path, compress="zlib") as store:
        for key, each in model.items():
            store.put_bytes(key, each)
        store.put(b"pairs", {b"raw": b"1"})
        store.put_bytes(b"large", b"x" * 5000)
        store.put_bytes(b"dead", b"")
        store.delete(b"dead")
        stamps = {entry.key: entry.stamp for entry in store.entries()}
        before = store.stats()["data_bytes"]
        store.compact()
        store.gc(grace=0)
        assert {entry.key: entry.stamp for entry in store.entries()} == stamps
        assert store.stats()["data_bytes"] < before / 3
        assert {key: store.get_bytes(key) for key in model} == model
        assert store.verify().ok
    assert kinds(path)[format2.BLOCK] == 2
    assert 1 <= kinds(path)[format2.GROUP] < 10
    assert plain.read(path)[b"key 0003"] == [(b"", value(3))]


def test_compaction_copies_whole_groups_as_they_are(path: Path) -> None:
    model = values(2000)
    with ShardStore(path, compress="zlib", level=1) as store:
        store.put_many(model)
        groups = [record for record in records(path) if record.kind == format2.GROUP]
        for number in range(200):  # the first group, and a part of the second
            store.delete(b"key %04d" % number)
            del model[b"key %04d" % number]
    assert groups[0].pairs < 200 < groups[0].pairs + groups[1].pairs
    whole = {record.head_crc for record in groups[2:] if record.head_raw >= 8 << 10}
    assert len(whole) > 5
    with ShardStore(path, level=9) as store:
        store.compact()
        store.gc(grace=0)
        assert content(store) == model
        assert store.verify().ok
        assert store.stats()["dead_bytes"] == 32
    assert {record.head_crc for record in groups} & {record.head_crc for record in records(path)} == whole


def test_compaction_again_and_again_makes_no_small_groups(path: Path) -> None:
    model = values(2000)
    with ShardStore(path, compress="zlib") as store:
        store.put_many(model)
    for turn in range(6):
        with ShardStore(path) as store:
            for key in list(model)[turn::7]:
                store.delete(key)
                del model[key]
            store.compact()
            store.gc(grace=0)
            assert content(store) == model
    sizes = [record.head_raw + record.key_length for record in records(path)]
    assert len([size for size in sizes if size < 8 << 10]) <= 1


def test_compaction_of_a_group_with_values_that_are_not_small(path: Path) -> None:
    """No writer of ours makes one, but the format has it."""
    writer = shard(1, codec=format2.ZLIB)
    writer.large = 1 << 20
    model = {b"small": b"1", b"large": b"x" * 10_000, b"k" * 5000: b"2", b"another": b"3"}
    writer.group([*model.items(), (b"dead", b"1")])
    writer.write(b"dead", [], format2.TOMBSTONE)
    writer.frame(closed=True)
    plant(path, writer)
    with ShardStore(path) as store:
        stamps = {entry.key: entry.stamp for entry in store.entries()}
        assert store.compact().records == 4
        store.gc(grace=0)
        assert content(store) == model
        assert {entry.key: entry.stamp for entry in store.entries()} == stamps
        assert store.verify().ok
    assert kinds(path) == {format2.GROUP: 1, format2.BLOCK: 2}


def test_compaction_looks_at_each_group_anew(path: Path) -> None:
    """Also at one that was read before it was damaged."""
    with ShardStore(path, compress="zlib") as store:
        store.put_many(values(400))
        store.delete(b"key 0399")
    (record, *_) = records(path)
    (data,) = path.glob("*.datz")
    with ShardStore(path) as store:
        assert store.get_bytes(b"key 0000") == value(0)
        flip(data, record.end - 3)
        with pytest.warns(smartpipe.PipeWarning, match="damaged, and was not compacted"):
            assert store.compact().shards == 0
    assert data.exists()


def test_of_a_group_with_a_dictionary(path: Path) -> None:
    """No writer of ours makes one, but the format has it."""
    from backports import zstd

    text = b"".join(value(number) for number in range(50))
    writer = shard(1, codec=format2.ZSTD)
    writer.deflate = lambda raw: zstd.compress(raw, zstd_dict=zstd.ZstdDict(text, is_raw=True))
    for _ in range(2):
        writer.write(b"", [(b"", text)], format2.DICTIONARY, 1)
    members = [(key, each) for key, each in values(100).items()]
    writer.group(members, dictionary=1)
    writer.write(b"dead", [(b"", b"1")])
    writer.write(b"dead", [], format2.TOMBSTONE)
    writer.frame(closed=True)
    plant(path, writer)
    with ShardStore(path) as store:
        assert content(store) == values(100)
        store.compact()
        assert content(store) == values(100)
        assert store.verify().ok


# What a killed process leaves


def test_without_its_index_a_group_is_found(path: Path) -> None:
    model = values(500)
    with ShardStore(path, compress="zlib") as store:
        store.put_many(model)
    for index in path.glob("*.idx"):
        index.unlink()
    with pytest.warns(smartpipe.PipeWarning, match="there is no index"), ShardStore(path, "r") as store:
        assert content(store) == model
    with pytest.warns(smartpipe.PipeWarning, match="there is no index"), ShardStore(path, compress="zlib") as store:
        store.put_bytes(b"more", b"1")
        assert content(store) == {**model, b"more": b"1"}
        assert store.verify().ok


def test_a_group_that_was_cut(path: Path) -> None:
    """At each byte: the members are all there, or none is."""
    with ShardStore(path, compress="zlib", durability="none") as store:
        store.put_many({b"a": b"1", b"b": b"2"})
        store.put_many({b"c": value(3), b"d": value(4), b"e": value(5)})
    (data,) = path.glob("*.datz")
    (index,) = path.glob("*.idx")
    whole, listed = data.read_bytes(), index.read_bytes()
    end = records(path)[0].end
    index.write_bytes(listed[:64])
    for size in range(end + 1, len(whole)):
        data.write_bytes(whole[:size])
        with pytest.warns(smartpipe.PipeWarning), ShardStore(path, "r") as store:
            assert content(store) == {b"a": b"1", b"b": b"2"}, size
    data.write_bytes(whole[: len(whole) - 1])
    with (
        pytest.warns(smartpipe.PipeWarning, match="is not read"),
        pytest.warns(smartpipe.PipeWarning, match="cut off"),
        ShardStore(path, compress="zlib") as store,
    ):
        assert store.put_many({b"c": value(3), b"d": value(4), b"e": value(5)}) == 3
    with ShardStore(path, "r") as store:
        assert sorted(content(store)) == [b"a", b"b", b"c", b"d", b"e"]
        assert store.verify().ok


# Damage


def planted_groups(path: Path) -> tuple[Path, list[format2.Record], dict[bytes, bytes]]:
    """A full shard of three groups; its data file, their records, and what they hold."""
    writer = shard(1, codec=format2.ZLIB)
    model = values(30)
    members = list(model.items())
    for turn in range(3):
        writer.group(members[10 * turn : 10 * turn + 10])
    writer.frame(closed=True)
    plant(path, writer)
    return path / f"{1:016x}.datz", records(path), model


@pytest.mark.parametrize("mode", ["r", "a"])
@pytest.mark.parametrize("index", ["there", "missing"])
@pytest.mark.parametrize("place", ["header", "table", "keys", "head"])
def test_of_a_damaged_group_all_members_are_lost_and_no_others(place: str, index: str, mode: str, path: Path) -> None:
    data, groups, model = planted_groups(path)
    flip(
        data,
        groups[1].offset + {"header": 30, "table": 70, "keys": 64 + 16 * 10 + 5, "head": groups[1].size - 3}[place],
    )
    lost = sorted(model)[10:20]
    left = {key: each for key, each in model.items() if key not in lost}
    listed = index == "there" or place == "head"
    with ShardStore(path, mode) as store:  # type: ignore[arg-type]
        report = store.verify()
    damage = [each for each in report.damage if each.what != "index"]
    assert not report.ok
    assert (report.blocks, report.damaged) == (20, 10)
    assert [each.block for each in damage] == lost
    assert {(each.what, each.file, each.offset, each.size) for each in damage} == {
        ("damaged", str(data), groups[1].offset, groups[1].size)
    }
    if index == "missing":
        data.with_suffix(".idx").unlink()
        with pytest.warns(smartpipe.PipeWarning):
            store = ShardStore(path, mode)  # type: ignore[arg-type]
    else:
        store = ShardStore(path, mode)  # type: ignore[arg-type]
    with store:
        assert sorted(store.keys()) == (sorted(model) if listed else sorted(left))
        failed: list[Any] = []
        assert {key: block[b""] for key, block in store.items(on_error=failed.append)} == left
        found = {key: block and block[b""] for key, block in store.get_many(model, on_error=failed.append)}
        if listed:
            assert found == left
            assert sorted({error.block for error in failed}) == lost
            for key in lost:
                with pytest.raises(smartpipe.CorruptError) as caught:
                    store.get_bytes(key)
                assert (caught.value.path, caught.value.block, caught.value.offset) == (
                    str(data),
                    key,
                    groups[1].offset,
                )
        else:
            assert found == {**left, **dict.fromkeys(lost)}
        if mode == "a":
            if listed:
                with pytest.warns(smartpipe.PipeWarning, match="damaged, and was not compacted"):
                    store.delete(min(left))
                    store.compact()
                del left[min(left)]
            store.put_many(dict.fromkeys(lost, b"again"), overwrite=True)
            assert content(store) == {**left, **dict.fromkeys(lost, b"again")}


@pytest.mark.parametrize(
    ("field", "difference"), [("key", b"x"), ("stamp", -1), ("raw", 1), ("member", -1), ("pairs", 1), ("lead_size", -1)]
)
def test_an_index_that_lists_another_member(field: str, difference: Any, path: Path) -> None:
    writer = shard(1, codec=format2.ZLIB)
    writer.group([(b"a", b"1"), (b"b", b"22")])
    writer.group([(b"c", b"333"), (b"d", b"4444")])
    entry = writer._entries[1]
    wrong: Any = difference if field == "key" else getattr(entry, field) + difference
    writer._entries[1] = replace(entry, **{field: wrong})
    writer.frame(closed=True)
    plant(path, writer)
    with ShardStore(path, "r") as store:
        assert store.get_bytes(b"a") == b"1"
        assert store.get_bytes(b"d") == b"4444"
        with pytest.raises(smartpipe.CorruptError) as caught:
            store.get_bytes(b"x" if field == "key" else b"b")
        assert caught.value.offset == 32
        report = store.verify()
        assert not report.ok
        assert {damage.what for damage in report.damage} == {"index"}


def forge(what: str) -> Writer:
    """A shard with a good group, and one of which all checksums are right and something else is not."""
    writer = shard(1, codec=format2.ZLIB)
    writer.group([(b"good", b"1"), (b"better", b"2")])
    pack = format2.MEMBER.pack
    stamp = writer.stamp
    table = pack(stamp, 1, 1) + pack(stamp, 1, 2) + b"ab"
    pairs = [(b"", b"1"), (b"", b"22")]
    if what == "no members":
        table, pairs = b"", []
    elif what == "a table that ends early":
        table = table[:20]
    elif what == "keys that end early":
        table = table[:-1]
    elif what == "bytes behind the keys":
        table += b"c"
    elif what == "keys that are longer":
        table = pack(stamp, 0xFFFFFFFF, 1) + pack(stamp, 1, 2) + b"ab"
    elif what == "values that are longer":
        table = pack(stamp, 1, 2) + pack(stamp, 1, 2) + b"ab"
    elif what == "values that are exchanged":
        table = pack(stamp, 1, 2) + pack(stamp, 1, 1) + b"ab"
    elif what == "a pair with a key":
        table, pairs = pack(stamp, 1, 2) + pack(stamp, 1, 2) + b"ab", [(b"k", b"1"), (b"", b"22")]
    elif what == "a later stamp":
        table = pack(stamp + 1, 1, 1) + pack(stamp, 1, 2) + b"ab"
    elif what == "a large value":
        table, pairs = pack(stamp, 1, 1) + pack(stamp, 1, 5000) + b"ab", [(b"", b"1"), (b"", b"x" * 5000)]
    elif what == "a head that is too large":
        writer.large = 1 << 30
        table, pairs = pack(stamp, 1, 1 << 20) + b"a", [(b"", bytes(1 << 20))]
    elif what == "a table that is too large":
        table, pairs = pack(stamp, 1 << 20, 1) + bytes(1 << 20), [(b"", b"1")]
    elif what == "more members than there can be":
        table, pairs = pack(stamp, 0, 0) * 65_537, [(b"", b"")] * 65_537
    writer.write(table, pairs, format2.GROUP)
    writer.write(b"behind", [(b"", b"3")])
    return writer


FORGED = [
    "no members",
    "a table that ends early",
    "keys that end early",
    "bytes behind the keys",
    "keys that are longer",
    "values that are longer",
    "values that are exchanged",
    "a pair with a key",
    "a later stamp",
    "a large value",
    "a head that is too large",
    "a table that is too large",
    "more members than there can be",
]


@pytest.mark.parametrize("what", FORGED)
def test_a_forged_group(what: str, path: Path) -> None:
    writer = forge(what)
    plant(path, writer)
    (path / f"{1:016x}.idx").unlink()
    with pytest.warns(smartpipe.PipeWarning), ShardStore(path, "r") as store:
        failed: list[Any] = []
        found = {key: block[b""] for key, block in store.items(on_error=failed.append)}
        assert found == {b"good": b"1", b"better": b"2", b"behind": b"3"}
        assert all(isinstance(error, smartpipe.CorruptError) for error in failed)
        report = store.verify()
    assert "damaged" in [damage.what for damage in report.damage]
    with pytest.raises(format2.Corrupt):
        plain.read(path)


def test_a_pipe_has_no_groups(tmp_path: Path) -> None:
    writer = Writer(1)
    writer.group([(b"a", b"1")])
    writer.save(tmp_path / "pipe", index=False)
    report = smartpipe.verify(tmp_path / "pipe")
    assert "unreadable" in [damage.what for damage in report.damage]
    with pytest.raises(smartpipe.FormatError, match="kind 4"):
        smartpipe.open(tmp_path / "pipe")
    writer.frame(closed=True)
    writer.save(tmp_path / "pipe")
    with smartpipe.open(tmp_path / "pipe") as pipe:
        for read in (lambda: pipe[b"a"], lambda: list(pipe.items()), lambda: list(pipe.get_many([b"a"]))):
            with pytest.raises(smartpipe.FormatError, match="record kind"):
                read()


# Blocks of groups


def test_a_member_is_a_block_of_one_pair(path: Path) -> None:
    with ShardStore(path, compress="zlib") as store:
        store.put_many(values(10))
        block = store[b"key 0003"]
        assert (block.key, len(block), block.keys(), block.sizes()) == (b"key 0003", 1, [b""], [(b"", len(value(3)))])
        assert (block[0], list(block), b"" in block, b"x" in block) == ((b"", value(3)), [(b"", value(3))], True, False)
        with pytest.raises(smartpipe.PairNotFound):
            block[b"raw"]
        assert [len(block) for _, block in store.items(select=[b"raw"])] == [0] * 10
        kept = [block for _, block in store.items()]
    assert [block[b""] for block in kept] == list(values(10).values())


def test_who_keeps_a_member_does_not_keep_the_group(path: Path) -> None:
    import tracemalloc

    model = {b"%04d" % number: os.urandom(20) * 100 for number in range(2000)}
    with ShardStore(path, compress="zlib") as store:
        store.put_many(model)
        list(store.items())
        tracemalloc.start()
        kept = [block for key, block in store.items() if key.endswith(b"00")]
        held = tracemalloc.get_traced_memory()[0]
        tracemalloc.stop()
        assert [block[b""] for block in kept] == [model[block.key] for block in kept]
    assert held < 20 * 2000 * 10
