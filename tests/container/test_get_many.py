"""Reader.get_many: many blocks by key, in the order of the file, near ones read together."""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest

import smartpipe

from .pipes import Blocks, Kind, every_kind, every_kind_of_format1, every_kind_of_format2, write


def some_blocks() -> Blocks:
    """Blocks that lie near each other and far apart: most small, some larger than what is read at once."""
    chance = random.Random(9)
    blocks: Blocks = []
    for number in range(400):
        size = chance.choice([0, 10, 100, 100, 2000, 5000, 20_000])
        if number in (50, 51, 399):
            size = 300_000
        blocks.append((b"key %d" % number, [(b"number", b"%d" % number), (b"value", chance.randbytes(size))]))
    return blocks


MANY = some_blocks()
ORDER = {key: number for number, (key, _) in enumerate(MANY)}


def found(pipe: smartpipe.Reader, keys: list[bytes]) -> list[tuple[bytes, list[tuple[bytes, bytes]] | None]]:
    return [(key, None if block is None else list(block)) for key, block in pipe.get_many(keys)]


@every_kind
@pytest.mark.parametrize("share", [0.02, 0.3, 1.0])
def test_any_share_of_a_pipe(kind: Kind, share: float, prefix: str) -> None:
    write(prefix, MANY, kind)
    chance = random.Random(share)
    wanted = chance.sample([key for key, _ in MANY], round(share * len(MANY)))
    with smartpipe.open(prefix) as pipe:
        for _ in range(2):
            assert found(pipe, wanted) == [(key, dict(MANY)[key]) for key in sorted(wanted, key=ORDER.__getitem__)]


@every_kind
def test_a_key_that_is_asked_for_twice_is_given_twice(kind: Kind, prefix: str) -> None:
    write(prefix, MANY, kind)
    keys = [b"key 7", b"no", b"key 3", b"key 7", b"no"]
    with smartpipe.open(prefix) as pipe:
        assert [key for key, _ in pipe.get_many(keys)] == [b"key 3", b"key 7", b"key 7", b"no", b"no"]
        assert found(pipe, keys)[1] == found(pipe, keys)[2] == (b"key 7", MANY[7][1])


@every_kind
def test_blocks_can_be_kept(kind: Kind, prefix: str) -> None:
    write(prefix, MANY, kind)
    keys = [key for key, _ in MANY]
    with smartpipe.open(prefix) as pipe:
        kept = dict(pipe.get_many(keys))
        assert {key: list(block or []) for key, block in kept.items()} == dict(MANY)


@every_kind_of_format2
def test_large_values_are_read_when_they_are_asked_for(kind: Kind, prefix: str) -> None:
    blocks = [(b"%d" % n, [(b"small", b"s" * 20), (b"large", os.urandom(500_000))]) for n in range(8)]
    write(prefix, blocks, kind)
    with smartpipe.open(prefix) as pipe:
        before = pipe.stats()["read_bytes"]
        for _, block in pipe.get_many([key for key, _ in blocks]):
            assert block is not None
            assert block[b"small"] == b"s" * 20
        assert pipe.stats()["read_bytes"] - before < 100_000


@every_kind
def test_near_blocks_are_read_once(kind: Kind, prefix: str) -> None:
    blocks = [(b"%d" % n, [(b"v", b"v" * 50)]) for n in range(2000)]
    write(prefix, blocks, kind)
    with smartpipe.open(prefix) as pipe:
        before = pipe.stats()["read_bytes"]
        assert len(found(pipe, [key for key, _ in blocks])) == 2000
        assert pipe.stats()["read_bytes"] - before <= kind.data(prefix).stat().st_size


@every_kind_of_format2
def test_a_damaged_block_among_near_ones(kind: Kind, prefix: str) -> None:
    blocks = [(b"%d" % n, [(b"v", b"v" * 50)]) for n in range(20)]
    write(prefix, blocks, kind)
    with smartpipe.open(prefix) as pipe:
        hurt = list(pipe.entries())[11]
    data = bytearray(kind.data(prefix).read_bytes())
    data[hurt.offset + 30] ^= 1
    kind.data(prefix).write_bytes(data)
    keys = [key for key, _ in blocks]
    with smartpipe.open(prefix) as pipe:
        given = []
        with pytest.raises(smartpipe.CorruptError) as caught:
            for key, _ in pipe.get_many(keys):
                given.append(key)
        assert (given, caught.value.block, caught.value.offset) == (keys[:11], b"11", hurt.offset)
        assert [key for key, _ in pipe.get_many(keys, on_error="skip")] == keys[:11] + keys[12:]
        assert pipe.stats()["skipped_blocks"] == 1
        problems: list[smartpipe.SmartPipeError] = []
        assert len(list(pipe.get_many(keys, on_error=problems.append))) == 19
        assert [problem.block for problem in problems] == [b"11"]


@every_kind
def test_a_file_that_is_cut_under_the_reader(kind: Kind, prefix: str) -> None:
    blocks = [(b"%d" % n, [(b"v", os.urandom(50))]) for n in range(20)]
    write(prefix, blocks, kind)
    keys = [key for key, _ in blocks]
    with smartpipe.open(prefix) as pipe:
        cut = list(pipe.entries())[13].offset + 5
        os.truncate(kind.data(prefix), cut)
        problems: list[smartpipe.SmartPipeError] = []
        given = [(key, list(block or [])) for key, block in pipe.get_many(keys, on_error=problems.append)]
        assert given == blocks[:13]
        assert [problem.block for problem in problems] == keys[13:]
        assert {type(problem) for problem in problems} == {smartpipe.TruncatedError}


@every_kind
def test_closing_between_two_blocks(kind: Kind, prefix: str) -> None:
    write(prefix, MANY[:10], kind)
    pipe = smartpipe.open(prefix)
    many = pipe.get_many([key for key, _ in MANY[:10]])
    _, block = next(many)
    pipe.close()
    with pytest.raises(smartpipe.ClosedError):
        next(many)
    assert block is not None
    assert list(block) == MANY[0][1]


@every_kind_of_format1
def test_blocks_without_bytes(kind: Kind, prefix: str) -> None:
    blocks: Blocks = [(b"%d" % n, [] if n % 3 else [(b"a", b"b")]) for n in range(30)]
    write(prefix, blocks, kind)
    with smartpipe.open(prefix) as pipe:
        assert found(pipe, [key for key, _ in blocks[::-1]]) == blocks


@every_kind
def test_a_pipe_that_is_not_in_memory(kind: Kind, prefix: str) -> None:
    # The system is told what comes next when reading is slow; what comes back is the same.
    write(prefix, MANY, kind)
    keys = [key for key, _ in MANY]
    with smartpipe.open(prefix) as pipe:
        if hasattr(os, "posix_fadvise"):
            with Path(kind.data(prefix)).open("rb") as file:
                os.fsync(file.fileno())
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        assert found(pipe, keys) == MANY
