"""Positions: going on where an iterator was, later, in another process, and never in another pipe."""

from __future__ import annotations

import json
import pickle
import shutil
from pathlib import Path

import pytest

import smartpipe

from .pipes import Blocks, Kind, every_kind, every_kind_of_format2, warned, write

BLOCKS: Blocks = [(b"key %d" % number, [(b"value", b"%d" % number * 30)]) for number in range(40)]
MORE: Blocks = [(b"more %d" % number, [(b"value", b"m")]) for number in range(5)]


def keys(blocks: Blocks) -> list[bytes]:
    return [key for key, _ in blocks]


def position_after(prefix: str, count: int) -> smartpipe.Position:
    """The position of an iterator that gave so many blocks."""
    with smartpipe.open(prefix) as pipe:
        items = pipe.items()
        for _ in range(count):
            next(items)
        return items.position


def rest(prefix: str, start: smartpipe.Position | str) -> list[bytes]:
    """The keys from a position on."""
    with smartpipe.open(prefix) as pipe:
        return [key for key, _ in pipe.items(start=start)]


@every_kind
@pytest.mark.parametrize("count", [0, 1, 17, 40])
def test_a_position_goes_on_as_it_is_pickled_and_as_text(kind: Kind, count: int, prefix: str) -> None:
    write(prefix, BLOCKS, kind)
    position = position_after(prefix, count)
    assert (position, position + 1, list(range(41))[position]) == (count, count + 1, count)
    token = json.loads(json.dumps(position.token))
    assert len(token) < 80
    again = pickle.loads(pickle.dumps(position))
    assert (again, again.token, type(again)) == (position, token, smartpipe.Position)
    for start in (position, again, token):
        assert rest(prefix, start) == keys(BLOCKS[count:])


@every_kind
def test_pulling_blocks_has_positions_too(kind: Kind, prefix: str) -> None:
    write(prefix, BLOCKS, kind)
    with smartpipe.open(prefix) as pipe:
        assert pipe.position.token == position_after(prefix, 0).token
        for _ in range(7):
            list(pipe.pull_block())
        assert pipe.position.token == position_after(prefix, 7).token
        assert [key for key, _ in pipe.items(start=pipe.position)] == keys(BLOCKS[7:])


@every_kind
@pytest.mark.parametrize("count", [0, 11, 40])
def test_a_position_is_exact_when_the_pipe_has_grown(kind: Kind, count: int, prefix: str) -> None:
    write(prefix, BLOCKS, kind)
    token = position_after(prefix, count).token
    with smartpipe.open(prefix, "a") as pipe:
        for key, pairs in MORE:
            pipe.write(key, pairs)
    assert rest(prefix, token) == keys([*BLOCKS[count:], *MORE])
    with smartpipe.open(prefix) as reader:
        assert [key for key, _ in reader.follow(start=token)] == keys([*BLOCKS[count:], *MORE])


@every_kind
def test_a_position_is_exact_after_a_rebuild(kind: Kind, prefix: str) -> None:
    write(prefix, BLOCKS, kind)
    token = position_after(prefix, 23).token
    if kind.format == 2:
        Path(prefix + ".idx").unlink()
        with warned():
            assert rest(prefix, token) == keys(BLOCKS[23:])
        smartpipe.rebuild_index(prefix)
    assert rest(prefix, token) == keys(BLOCKS[23:])


@every_kind
def test_the_position_in_another_pipe_is_refused(kind: Kind, prefix: str) -> None:
    write(prefix, BLOCKS, kind)
    token = position_after(prefix, 30).token
    write(prefix, [(b"other", [(b"value", b"0123456789" * 7)]), *BLOCKS], kind)
    with smartpipe.open(prefix) as pipe:
        with pytest.raises(smartpipe.FormatError, match="another pipe") as caught:
            pipe.items(start=token)
        assert caught.value.path == str(kind.data(prefix))
        with pytest.raises(smartpipe.FormatError, match="another pipe"):
            pipe.follow(start=token)
        assert [key for key, _ in pipe.items(start=int(smartpipe.Position.of_token(token)))] == keys(BLOCKS[29:])


@every_kind_of_format2
def test_the_first_position_belongs_to_its_pipe_too(kind: Kind, prefix: str) -> None:
    write(prefix, BLOCKS, kind)
    token = position_after(prefix, 0).token
    write(prefix, BLOCKS, kind)
    with smartpipe.open(prefix) as pipe, pytest.raises(smartpipe.FormatError, match="another pipe"):
        pipe.items(start=token)


@every_kind
def test_a_position_behind_where_the_pipe_was_cut_is_refused(kind: Kind, prefix: str, tmp_path: Path) -> None:
    write(prefix, BLOCKS[:20], kind)
    for path in (kind.data(prefix), Path(prefix + ".idx")):
        shutil.copy(path, tmp_path / ("old" + path.suffix))
    with smartpipe.open(prefix, "a") as pipe:
        for key, pairs in BLOCKS[20:]:
            pipe.write(key, pairs)
    token = position_after(prefix, 30).token
    old = str(tmp_path / "old")
    with smartpipe.open(old) as reader, pytest.raises(smartpipe.FormatError, match="was cut"):
        reader.items(start=token)
    # And where others were written behind the cut.
    with smartpipe.open(old, "a") as pipe:
        for number in range(20):
            pipe.write(b"another %d" % number, {b"value": b"of another length" * 9})
    with smartpipe.open(old) as reader, pytest.raises(smartpipe.FormatError, match="was cut"):
        reader.items(start=token)
    assert rest(old, position_after(prefix, 20)) == [b"another %d" % number for number in range(20)]


@every_kind
def test_the_position_in_a_split(kind: Kind, prefix: str) -> None:
    write(prefix, BLOCKS, kind)
    with smartpipe.open(prefix) as pipe:
        part = pipe.splits(3)[1]
    with smartpipe.open(part) as pipe:
        shown = list(pipe)
        items = pipe.items()
        for _ in range(4):
            next(items)
        token = items.position.token
    with smartpipe.open(part) as pipe:
        assert [key for key, _ in pipe.items(start=token)] == shown[4:]
    with smartpipe.open(prefix) as pipe, pytest.raises(smartpipe.FormatError):
        pipe.items(start=token)


@every_kind
@pytest.mark.parametrize("token", ["smartpipe:", "smartpipe:0:1:2:3", "smartpipe:" + "0" * 16 + ":1:2", "smartpipe:x"])
def test_a_text_that_is_no_token(kind: Kind, token: str, prefix: str) -> None:
    write(prefix, BLOCKS, kind)
    with smartpipe.open(prefix) as pipe:
        with pytest.raises(ValueError, match="no token of a position"):
            pipe.items(start=token)
        with pytest.raises(TypeError, match="encode it"):
            pipe.items(start="key 1")


@every_kind
def test_a_number_is_a_start_in_any_pipe(kind: Kind, prefix: str) -> None:
    write(prefix, BLOCKS, kind)
    number = int(position_after(prefix, 12))
    write(prefix, [*BLOCKS, *MORE], kind)
    with smartpipe.open(prefix) as pipe:
        assert [key for key, _ in pipe.items(start=number)] == keys([*BLOCKS[12:], *MORE])


def shuffled_token(pipe: smartpipe.Reader, seed: int, count: int) -> str:
    """The token of a shuffled iterator that gave so many blocks."""
    items = pipe.items(shuffle=seed)
    for _ in range(count):
        next(items)
    return items.position.token


@every_kind
def test_a_position_in_a_random_order(kind: Kind, prefix: str) -> None:
    write(prefix, BLOCKS, kind)
    with smartpipe.open(prefix) as pipe:
        order = [key for key, _ in pipe.items(shuffle=7)]
        for count in (0, 5, 40):
            token = shuffled_token(pipe, 7, count)
            assert [key for key, _ in pipe.items(shuffle=7, start=token)] == order[count:]
            again = pickle.loads(pickle.dumps(smartpipe.Position.of_token(token)))
            assert [key for key, _ in pipe.items(shuffle=7, start=again, threads=2)] == order[count:]
        batches = pipe.columns(batch=1, shuffle=7)
        next(batches)
        assert [key for key, _ in pipe.items(shuffle=7, start=batches.position.token)] == order[1:]


@every_kind
@pytest.mark.parametrize("count", [0, 5])
def test_a_position_in_a_random_order_is_refused_in_another(kind: Kind, count: int, prefix: str) -> None:
    write(prefix, BLOCKS, kind)
    with smartpipe.open(prefix) as pipe:
        token = shuffled_token(pipe, 7, count)
        plain = position_after(prefix, count)
        with pytest.raises(smartpipe.FormatError, match=r"in the random order of shuffle=7, and this is .* shuffle=8"):
            pipe.items(shuffle=8, start=token)
        with pytest.raises(smartpipe.FormatError, match="in the random order of shuffle=7, and this is the order of"):
            pipe.items(start=token)
        with pytest.raises(smartpipe.FormatError, match="in the order of the file, and this is the random order of"):
            pipe.items(shuffle=7, start=plain)
    with smartpipe.open(prefix, "a") as pipe:
        pipe.write(b"more", [])
    with smartpipe.open(prefix) as pipe, pytest.raises(smartpipe.FormatError, match="of 40 blocks, and these are 41"):
        pipe.items(shuffle=7, start=token)


@every_kind
@pytest.mark.parametrize("count", [0, 4])
def test_a_position_in_a_split_says_so_elsewhere(kind: Kind, count: int, prefix: str) -> None:
    write(prefix, BLOCKS, kind)
    with smartpipe.open(prefix) as pipe:
        parts = pipe.splits(3)
    tokens = []
    for part in parts:
        with smartpipe.open(part) as pipe:
            items = pipe.items()
            for _ in range(count):
                next(items)
            tokens.append(items.position.token)
    second = f"a split that begins with block {parts[1].start}"
    with smartpipe.open(parts[2]) as pipe, pytest.raises(smartpipe.FormatError) as caught:
        pipe.items(start=tokens[1])
    assert f"is a position in {second}, and this is a split that begins with block {parts[2].start}" in str(
        caught.value
    )
    with smartpipe.open(prefix) as pipe, pytest.raises(smartpipe.FormatError) as caught:
        pipe.items(start=tokens[1])
    assert f"is a position in {second}, and this is the whole pipe" in str(caught.value)
    with smartpipe.open(parts[1]) as pipe, pytest.raises(smartpipe.FormatError) as caught:
        pipe.items(start=position_after(prefix, count))
    assert f"is a position in the whole pipe, and this is {second}" in str(caught.value)


def test_without_order_there_is_no_position(prefix: str) -> None:
    write(prefix, BLOCKS, Kind(2, False))
    with smartpipe.open(prefix) as pipe:
        items = pipe.items(threads=2, ordered=False)
        next(items)
        with pytest.raises(ValueError, match=r"keep the order .*, or remember the keys"):
            items.position  # noqa: B018
