"""Dictionaries of zstd: trained, kept in the pipe, found again, and what damage to them does."""

from __future__ import annotations

import json
import os
from pathlib import Path
from random import Random
from typing import Any

import pytest
from backports import zstd
from reference import format2, format2_writer

import smartpipe

from .pipes import FILE_ID, PAGES, Blocks, index, read, warned
from .process import run
from .test_columns import blocks_of

CHANCE = Random(11)
WORDS = ["page", "module", "index", "value", "error", "object", "list", "table", "python", "name", "path", "file"]


def record(number: int) -> tuple[bytes, list[tuple[bytes, bytes]]]:
    """A small block like all others."""
    content = {"id": number, "title": " ".join(CHANCE.choices(WORDS, k=4)), "score": CHANCE.random()}
    return b"item/%d" % number, [(b"result", json.dumps(content).encode()), (b"log", b"200 in %d ms" % (number % 900))]


RECORDS: Blocks = [record(number) for number in range(1500)]
MIXED: Blocks = [*RECORDS[:20], *PAGES]


@pytest.fixture(scope="module")
def dictionary(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    prefix = tmp_path_factory.mktemp("train") / "records"
    with smartpipe.open(prefix, "w") as pipe:
        for key, pairs in RECORDS:
            pipe.write(key, pairs)
    return smartpipe.train(prefix, size=4096)


def made_of(content: bytes) -> bytes:
    """A dictionary in zstd's own format that has some content."""
    samples = [value for _, pairs in RECORDS[:300] for _, value in pairs]
    return zstd.finalize_dict(zstd.ZstdDict(content, is_raw=True), samples, len(content) + 1024, 3).dict_content


def write(prefix: str, blocks: Blocks, dictionary: bytes | None, mode: str = "w", **options: object) -> None:
    with smartpipe.open(prefix, mode, compress="zstd", dictionary=dictionary, **options) as pipe:  # type: ignore[call-overload]
        for key, pairs in blocks:
            pipe.write(key, pairs)


def records(prefix: str) -> list[format2.Record]:
    data = Path(prefix + ".datz").read_bytes()
    return format2.scan(data, format2.read_file_header(data).file_id).records


def copies(prefix: str) -> list[format2.Record]:
    return [record for record in records(prefix) if record.kind == format2.DICTIONARY]


def damage(prefix: str, *which: int) -> None:
    """Flip a byte of the content of copies of dictionaries."""
    data = bytearray(Path(prefix + ".datz").read_bytes())
    for copy in [copies(prefix)[number] for number in which]:
        data[copy.end - 5] ^= 0x55
    Path(prefix + ".datz").write_bytes(data)


def test_small_similar_blocks_shrink(dictionary: bytes, prefix: str) -> None:
    assert 256 < len(dictionary) <= 4096
    write(prefix, RECORDS, dictionary)
    assert read(prefix) == RECORDS
    without = prefix + "-without"
    write(without, RECORDS, None)
    stored, before = (
        sum(record.size - 64 - record.key_length for record in records(path) if record.kind == format2.BLOCK)
        for path in (prefix, without)
    )
    assert stored < 0.6 * before


@pytest.mark.parametrize("level", [1, 6, 9])
def test_everything_reads_it(level: int, dictionary: bytes, prefix: str) -> None:
    write(prefix, MIXED, dictionary, level=level, verify=True, metadata={b"by": b"test"})
    assert read(prefix) == MIXED
    data = Path(prefix + ".datz").read_bytes()
    plain = format2.read(data, index(prefix).read_bytes())
    assert (plain.blocks, plain.metadata) == (MIXED, [(b"by", b"test")])
    assert plain.index is not None
    places = [place for frame in plain.index.frames for place in frame.dictionaries]
    assert places == [copy.offset for copy in copies(prefix)]
    assert [copy.dictionary for copy in copies(prefix)] == [1, 1]
    report = smartpipe.verify(prefix)
    assert report.ok and report.blocks == len(MIXED), report
    with smartpipe.open(prefix) as pipe:
        assert pipe.metadata == {b"by": b"test"}
        assert list(pipe[b"item/7"]) == RECORDS[7][1]
    index(prefix).unlink()
    with warned() as messages:
        assert read(prefix) == MIXED
    assert messages
    smartpipe.rebuild_index(prefix)
    assert read(prefix) == MIXED
    assert smartpipe.verify(prefix).ok


@pytest.mark.parametrize("durability", ["none", "close", "block"])
def test_threads_compress_with_it(durability: str, dictionary: bytes, prefix: str) -> None:
    write(prefix, MIXED, dictionary, threads=2, verify=True, durability=durability, metadata={b"by": b"test"})
    write(prefix, RECORDS[20:40], None, "a", threads=2, durability=durability)
    blocks = MIXED + RECORDS[20:40]
    assert read(prefix) == blocks
    assert {record.dictionary for record in records(prefix)} == {1}
    assert format2.read(Path(prefix + ".datz").read_bytes(), index(prefix).read_bytes()).blocks == blocks
    assert smartpipe.verify(prefix).ok
    with smartpipe.open(prefix) as pipe:
        assert [(key, list(block)) for key, block in pipe.items(threads=2)] == blocks


@pytest.mark.parametrize("threads", [1, 2])
def test_columns_are_read_and_written_with_it(threads: int, dictionary: bytes, prefix: str) -> None:
    write(prefix, MIXED, dictionary, threads=threads)
    copy = prefix + "-copy"
    with smartpipe.open(prefix) as pipe:
        batches = list(pipe.columns(threads=threads))
    assert [blocks for batch in batches for blocks in blocks_of(batch)] == MIXED
    with smartpipe.open(copy, "w", compress="zstd", dictionary=dictionary, threads=threads) as writer:
        for batch in batches:
            writer.write_columns(
                (batch.block_key_offsets, batch.block_keys),
                batch.block_pairs,
                (batch.key_offsets, batch.keys),
                (batch.value_offsets, batch.values),
            )
    assert {record.dictionary for record in records(copy)} == {1}
    assert read(copy) == MIXED


def test_a_pipe_goes_on_with_its_own(dictionary: bytes, prefix: str) -> None:
    write(prefix, RECORDS[:5], dictionary)
    for number in range(5, 8):
        with smartpipe.open(prefix, "a") as pipe:
            pipe.write(*RECORDS[number])
    write(prefix, RECORDS[8:9], dictionary, "a")
    assert [copy.dictionary for copy in copies(prefix)] == [1, 1]
    assert {record.dictionary for record in records(prefix)} == {1}
    other = made_of(b"another: " + RECORDS[3][1][0][1] * 4)
    write(prefix, RECORDS[9:12], other, "a")
    assert [copy.dictionary for copy in copies(prefix)] == [1, 1, 2, 2]
    with smartpipe.open(prefix, "a") as pipe:
        pipe.write(*RECORDS[12])
    assert [record.dictionary for record in records(prefix)][-4:] == [2, 2, 2, 2]
    assert read(prefix) == RECORDS[:13]
    assert smartpipe.verify(prefix).ok
    assert format2.read(Path(prefix + ".datz").read_bytes(), index(prefix).read_bytes()).blocks == RECORDS[:13]


def test_a_pipe_goes_on_without_one(dictionary: bytes, prefix: str) -> None:
    write(prefix, RECORDS[:2], dictionary)
    with smartpipe.open(prefix, "a", dictionary=False) as pipe:
        pipe.write(*RECORDS[2])
    write(prefix, RECORDS[3:4], None, "a")
    assert [record.dictionary for record in records(prefix) if record.kind == format2.BLOCK] == [1, 1, 0, 1]
    assert read(prefix) == RECORDS[:4]
    for compress in (False, "zlib", "zstd"):
        with smartpipe.open(prefix + "-new", "w", compress=compress, dictionary=False) as pipe:  # type: ignore[call-overload]
            pipe.write(*RECORDS[0])
        assert read(prefix + "-new") == RECORDS[:1]


def test_a_reader_tells_what_a_writer_goes_on_with(dictionary: bytes, prefix: str) -> None:
    write(prefix, RECORDS[:2], None)
    with smartpipe.open(prefix) as reader:
        assert reader.dictionary is None
        write(prefix, RECORDS[2:3], dictionary, "a")
        reader.refresh()
        assert reader.dictionary == dictionary
        another = made_of(b"another " + dictionary)
        write(prefix, RECORDS[3:4], another, "a")
        reader.refresh()
        assert reader.dictionary == another
    damage(prefix, 2)
    with smartpipe.open(prefix) as reader:
        assert reader.dictionary == another
    damage(prefix, 3)
    with smartpipe.open(prefix) as reader:
        assert reader.dictionary == dictionary
    with pytest.raises(smartpipe.ClosedError):
        reader.dictionary  # noqa: B018
    for number, options in enumerate(({}, {"compress": True}, {"format": 1})):
        path = f"{prefix}-{number}"
        smartpipe.open(path, "w", **options).close()  # type: ignore[call-overload]
        with smartpipe.open(path) as reader:
            assert reader.dictionary is None


def test_one_that_zstd_refuses_is_passed_over(prefix: str) -> None:
    writer = format2_writer.Writer(FILE_ID, codec=format2.ZSTD, large=4096, deflate=zstd.compress)
    for number, content in ((1, b"any bytes"), (2, b"\x37\xa4\x30\xec and nothing of what has to follow")):
        for _ in range(2):
            writer.write(b"", [(b"", content)], format2.DICTIONARY, number)
    writer.write(b"a", [(b"k", b"v")])
    writer.sync()
    writer.frame(closed=True)
    writer.save(prefix)
    with smartpipe.open(prefix) as reader:
        assert reader.dictionary == b"any bytes"
    with smartpipe.open(prefix, "a") as pipe:
        pipe.write(b"b", [(b"k", b"any bytes " * 9)])
    assert [record.dictionary for record in records(prefix)] == [1, 1, 2, 2, 0, 1]
    assert read(prefix) == [(b"a", [(b"k", b"v")]), (b"b", [(b"k", b"any bytes " * 9)])]


def test_a_reader_meets_one_while_it_is_written(dictionary: bytes, prefix: str) -> None:
    write(prefix, RECORDS[:2], None)
    with smartpipe.open(prefix) as reader, smartpipe.open(prefix, "a", dictionary=dictionary) as pipe:
        pipe.write(*RECORDS[2])
        pipe.flush()
        reader.refresh()
        assert list(reader[RECORDS[2][0]]) == RECORDS[2][1]


def test_a_writer_that_was_killed_goes_on(dictionary: bytes, prefix: str) -> None:
    write(prefix, RECORDS[:3], dictionary)
    data = Path(prefix + ".datz").read_bytes()
    first = copies(prefix)[0]
    # Within the first copy, the second, and the first block; the index listed nothing yet.
    for end in (first.offset + 70, first.end, first.end + 70, first.end + (first.end - first.offset) + 20):
        index(prefix).unlink(missing_ok=True)
        Path(prefix + ".datz").write_bytes(data[:end])
        with warned(), smartpipe.open(prefix, "a", compress="zstd", dictionary=dictionary) as pipe:
            pipe.write(*RECORDS[5])
        assert read(prefix) == [RECORDS[5]]
        assert smartpipe.verify(prefix).ok
        assert {copy.dictionary for copy in copies(prefix)} == {1}


def test_of_two_copies_one_may_be_damaged(dictionary: bytes, prefix: str) -> None:
    for which in (0, 1):
        write(prefix, MIXED, dictionary)
        damage(prefix, which)
        assert read(prefix) == MIXED
        assert format2.read(Path(prefix + ".datz").read_bytes(), index(prefix).read_bytes()).blocks == MIXED
        report = smartpipe.verify(prefix)
        assert [(found.what, found.offset) for found in report.damage] == [("damaged", copies(prefix)[which].offset)]
        assert report.blocks == len(MIXED)
        saved = f"{prefix}-saved{which}"
        recovered = smartpipe.recover(prefix, saved)
        assert (recovered.blocks, recovered.missing, recovered.lost) == (len(MIXED), 0, [])
        for said in (report.damage[0].reason, *recovered.notes):
            assert said.endswith("this is one copy of dictionary 1, and another is whole: no block is lost")
        assert len(recovered.notes) == 1
        assert read(saved) == MIXED
        with smartpipe.open(prefix, "a") as pipe:
            pipe.write(b"more", {b"k": b"v" * 100})
        assert read(prefix)[:-1] == MIXED


def test_without_its_dictionary_a_block_is_damaged_and_says_so(dictionary: bytes, prefix: str) -> None:
    write(prefix, RECORDS[:3], None)
    write(prefix, RECORDS[3:6], dictionary, "a")
    damage(prefix, 0, 1)
    with smartpipe.open(prefix) as pipe:
        assert [list(pipe[key]) for key, _ in RECORDS[:3]] == [pairs for _, pairs in RECORDS[:3]]
        for key, _ in RECORDS[3:6]:
            with pytest.raises(smartpipe.CorruptError, match="dictionary 1, which it was compressed with") as caught:
                pipe[key]
            assert caught.value.block == key and caught.value.path == prefix + ".datz"
        assert [key for key, _ in pipe.items(on_error="skip")] == [key for key, _ in RECORDS[:3]]
        assert pipe.stats()["skipped_blocks"] == 3
    report = smartpipe.verify(prefix)
    assert (len(report.damage), report.blocks) == (5, 3)
    assert not any("another is whole" in damage.reason for damage in report.damage)
    recovered = smartpipe.recover(prefix, prefix + "-saved")
    assert (recovered.blocks, [lost.block for lost in recovered.lost]) == (
        3,
        [None, None, *(key for key, _ in RECORDS[3:6])],
    )


@pytest.mark.parametrize("what", ["content", "header", "header and index"])
def test_a_number_is_never_used_again(what: str, dictionary: bytes, prefix: str) -> None:
    write(prefix, RECORDS[3:6], dictionary)
    if what == "content":
        damage(prefix, 0, 1)
    else:
        data = bytearray(Path(prefix + ".datz").read_bytes())
        for copy in copies(prefix):
            data[copy.offset + 20] ^= 0x55
        Path(prefix + ".datz").write_bytes(data)
    if what == "header and index":
        index(prefix).unlink()
    with warned():
        write(prefix, RECORDS[6:8], made_of(b"another dictionary " + dictionary), "a")
    assert records(prefix)[-1].dictionary == 2
    with warned(), smartpipe.open(prefix) as pipe:
        assert list(pipe[RECORDS[6][0]]) == RECORDS[6][1]
        for key, _ in RECORDS[3:6]:
            with pytest.raises(smartpipe.CorruptError, match="dictionary 1, which it was compressed with"):
                pipe[key]


def write_raw(prefix: str, blocks: Blocks, number: int) -> None:
    """A pipe of others, with a dictionary that is none of zstd's format."""
    content = b'{"id": "title": "score": } 200 in ms'
    made = zstd.ZstdDict(content, is_raw=True)
    writer = format2_writer.Writer(
        FILE_ID, codec=format2.ZSTD, large=4096, deflate=lambda raw: zstd.compress(raw, 3, zstd_dict=made)
    )
    for _ in range(2):
        writer.write(b"", [(b"", content)], format2.DICTIONARY, number)
    for key, pairs in blocks:
        writer.write(key, pairs, dictionary=number)
    writer.sync()
    writer.frame(closed=True)
    writer.save(prefix)


def test_pipes_of_others_are_read(prefix: str) -> None:
    write_raw(prefix, MIXED, 7)
    assert read(prefix) == MIXED
    assert smartpipe.verify(prefix).ok
    with smartpipe.open(prefix, "a") as pipe:
        pipe.write(b"more", {b"k": b'{"id": 1, "title": "a"}' * 5})
    assert records(prefix)[-1].dictionary == 7


def test_records_that_are_no_dictionaries_are_damage(prefix: str) -> None:
    for pairs, number in (([], 1), ([(b"", b"x")], 0), ([(b"k", b"x")], 1), ([(b"", b"x"), (b"", b"y")], 1)):
        writer = format2_writer.Writer(FILE_ID, codec=format2.ZSTD, large=4096, deflate=zstd.compress)
        writer.write(b"", pairs, format2.DICTIONARY, number)
        writer.write(b"a", [(b"k", b"v")])
        writer.write(b"b", [(b"k", b"w" * 99)], dictionary=1)
        writer.sync()
        writer.frame(closed=True)
        writer.save(prefix)
        with smartpipe.open(prefix) as pipe:
            assert list(pipe[b"a"]) == [(b"k", b"v")]
            with pytest.raises(smartpipe.CorruptError, match="dictionary 1"):
                pipe[b"b"]
        assert [found.what for found in smartpipe.verify(prefix).damage] == ["damaged", "damaged"]


def test_both_bindings_read_and_write_with_it(dictionary: bytes, prefix: str) -> None:
    code = """
import smartpipe, sys
with smartpipe.open(sys.argv[1]) as old, smartpipe.open(
    sys.argv[2], "w", compress="zstd", dictionary=open(sys.argv[3], "rb").read()
) as new:
    for key, block in old.items():
        new.write(key, block)
"""
    Path(prefix + "-dictionary").write_bytes(dictionary)
    write(prefix, MIXED, dictionary)
    run(code, prefix, prefix + "-there", prefix + "-dictionary", SMARTPIPE_ENGINE="python")
    assert read(prefix + "-there") == MIXED
    assert os.path.getsize(prefix + ".datz") == os.path.getsize(prefix + "-there.datz")


def test_the_largest_dictionary(prefix: str) -> None:
    content = made_of(Random(5).randbytes(2**20 - 1024))
    assert 2**20 - 1024 < len(content) <= 2**20
    blocks = [(b"%d" % number, [(b"k", content[number * 50_000 :][:40_000])]) for number in range(20)]
    write(prefix, blocks, content)
    assert read(prefix) == blocks
    assert os.path.getsize(prefix + ".datz") < 2 * len(content) + 50_000


def test_many_dictionaries(prefix: str) -> None:
    made = [made_of(b"dictionary %d: " % number + Random(number).randbytes(200)) for number in range(40)]
    blocks = [(b"%d" % number, [(b"k", content[-180:] * 2)]) for number, content in enumerate(made)]
    for content, block in zip(made, blocks, strict=True):
        write(prefix, [block], content, "a" if content is not made[0] else "w")
    assert {copy.dictionary for copy in copies(prefix)} == set(range(1, 41))
    for _ in range(2):
        assert read(prefix) == blocks
    with smartpipe.open(prefix) as pipe:
        assert [list(pipe[key]) for key, _ in reversed(blocks)] == [pairs for _, pairs in reversed(blocks)]
    assert smartpipe.verify(prefix).ok


def test_what_is_no_dictionary_or_no_place_for_one(dictionary: bytes, prefix: str) -> None:
    for wrong in (b"", b"\x37\xa4\x30\xec and nothing of what has to follow"):
        with pytest.raises(ValueError, match="not a dictionary of zstd"):
            write(prefix, [], wrong)
    with pytest.raises(ValueError, match="bytes, more than 1048576"):
        write(prefix, [], made_of(Random(5).randbytes(2**20)))
    for options in ({}, {"compress": True}, {"compress": "lz4"}, {"compress": True, "format": 1}):
        with pytest.raises(ValueError, match="a dictionary is for the codec zstd"):
            smartpipe.open(prefix, "w", dictionary=dictionary, **options)  # type: ignore[call-overload]
    with pytest.raises(TypeError):
        smartpipe.open(prefix, "w", compress="zstd", dictionary=Path("d.bin"))  # type: ignore[call-overload]
    with pytest.raises(
        TypeError, match=r"the dictionary is a str, not bytes: read the file, as in open\('d.bin', 'rb'\)"
    ):
        smartpipe.open(prefix, "w", compress="zstd", dictionary="d.bin")  # type: ignore[call-overload]
    with pytest.raises(TypeError):
        smartpipe.open(prefix, "w", compress="zstd", dictionary=True)  # type: ignore[call-overload]
    with pytest.raises(ValueError, match="for writing"):
        smartpipe.open(prefix, dictionary=dictionary)  # type: ignore[call-overload]
    assert not list(Path(prefix).parent.glob("pipe*"))


@pytest.mark.parametrize("content", [b"d.bin", Random(3).randbytes(5000), zstd.compress(b"no dictionary")], ids=len)
def test_bytes_that_are_no_dictionary_are_refused(content: bytes, prefix: str) -> None:
    with pytest.raises(ValueError, match="not a dictionary of zstd") as caught:
        write(prefix, [], content)
    said = str(caught.value)
    assert repr(content[:8]) in said and "smartpipe.train or zstd --train" in said
    write(prefix + "-source", RECORDS[:5], None)
    with pytest.raises(ValueError, match="not a dictionary of zstd"):
        smartpipe.convert(prefix + "-source", prefix, dictionary=content)
    assert not list(Path(prefix).parent.glob("pipe.*"))


@pytest.mark.parametrize("copy", [smartpipe.convert, smartpipe.recover], ids=["convert", "recover"])
def test_a_raw_dictionary_of_a_pipe_of_others_is_left_behind(copy: Any, prefix: str) -> None:
    write_raw(prefix, RECORDS[:50], 1)
    copy(prefix, prefix + "-new")
    assert read(prefix + "-new") == RECORDS[:50]
    assert copies(prefix + "-new") == []


def test_training_counts_the_selected_bytes(prefix: str) -> None:
    with smartpipe.open(prefix, "w", compress="zstd") as pipe:
        for number in range(3000):
            log = b'{"status": 200, "ms": %d, "server": "nginx", "cache": "hit"}' % (number * 7919 % 1000)
            pipe.write(b"%d" % number, {b"raw": CHANCE.randbytes(20_000), b"log": log})
    dictionary = smartpipe.train(prefix, size=1000, select=[b"log"])
    assert b'"server": "nginx", "cache": "hit"}' in dictionary


def test_training_with_a_pair_key_that_there_is_not(prefix: str) -> None:
    write(prefix, RECORDS, None)
    with pytest.raises(ValueError, match=r"no block has a pair with the key b'lgo'"):
        smartpipe.train(prefix, select=[b"lgo"])
    for select in (b"log", "log"):
        with pytest.raises(TypeError, match="select is an iterable of pair keys, not one key"):
            smartpipe.train(prefix, select=select)  # type: ignore[arg-type]


def test_too_little_to_train_from(prefix: str) -> None:
    write(prefix, RECORDS[:2], None)
    with pytest.raises(ValueError, match="too little to train"):
        smartpipe.train(prefix)
    for size in (100, (1 << 20) + 1):
        with pytest.raises(ValueError, match="not from 256 to 1048576"):
            smartpipe.train(prefix, size=size)
    with pytest.raises(smartpipe.PipeNotFoundError):
        smartpipe.train(prefix + "-absent")


def test_a_dictionary_has_32_kib_unless_another_size_is_asked_for(prefix: str) -> None:
    random = Random(3)
    words = [b"%x" % random.getrandbits(64) for _ in range(20_000)]
    write(prefix, [(b"%d" % number, [(b"k", b" ".join(random.sample(words, 300)))]) for number in range(1000)], None)
    assert len(smartpipe.train(prefix)) == 32_768


def test_training_takes_the_pairs_that_are_selected(prefix: str) -> None:
    write(prefix, RECORDS, None)
    assert b"200 in " in smartpipe.train(prefix, size=2000)
    assert b"200 in " not in smartpipe.train(prefix, size=2000, select=[b"result"])


@pytest.mark.parametrize("options", [{"select": b"k"}, {"select": ["k"]}, {"size": 1000.5}, {"size": "1000"}], ids=str)
def test_misuse_of_train(options: dict[str, Any], prefix: str) -> None:
    with smartpipe.open(prefix, "w") as pipe:
        for number in range(1000):
            pipe.write(b"%d" % number, {b"k": b"page %d" % number})
    with pytest.raises(TypeError):
        smartpipe.train(prefix, **options)
