"""Values packed into shards."""

from __future__ import annotations

import os
import shutil
import warnings
from pathlib import Path
from random import Random
from typing import Any

import pytest

from smartpipe import ShardStore, errors
from smartpipe.locations import Location, Shards

from .contract import MEBIBYTE, Make, Shared, Stream, data_of, keys_of, labels_of

LARGE = 3 * MEBIBYTE // 2


class OfShards(Shared):
    """What holds for all ways of packing."""

    def damaged_values(self) -> dict[bytes, bytes]:
        text = b"".join(b"%d " % (number * number) for number in range(2000))
        values = {b"small/%d" % number: text[number : number + 50 + number * 40] for number in range(40)}
        return {**values, b"large": data_of(LARGE + 5), b"larger": data_of(LARGE + MEBIBYTE, 1), b"empty": b""}

    @pytest.mark.parametrize("kind", ["a bit", "zeros", "cut", "removed"])
    def test_a_damaged_place_gives_no_wrong_bytes(self, home: Path, tmp_path: Path, kind: str) -> None:
        values = self.damaged_values()
        with self.location(home) as place:
            for key, value in values.items():
                place.write(key, value, labels=["one"])
        random = Random(kind)
        files = sorted(path.relative_to(home) for path in home.rglob("*") if path.is_file())
        for number, name in enumerate(files if kind == "removed" else files * 2):
            copy = tmp_path / f"{kind} {number}"
            shutil.copytree(home, copy)
            damage(copy / name, kind, random)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", errors.PipeWarning)
                self.look(copy, values, name)
            shutil.rmtree(copy)

    def look(self, home: Path, values: dict[bytes, bytes], name: Path) -> None:
        """Ask for everything: what is given is right, and what is not given is a miss or an error of ours."""
        place = self.location(home)
        try:
            for key, value in place.read_batch(list(values)):
                assert value in (None, values[key]), name
        except errors.SmartPipeError:
            pass  # clear enough
        for key, value in values.items():
            try:
                assert place.read_bytes(key) in (None, value), name
                assert place.read_range(key, 10, 60) in (None, value[10:60]), name
            except errors.SmartPipeError:
                pass  # clear enough
        try:
            assert set(keys_of(place)) <= set(values)
        except errors.SmartPipeError:
            pass  # clear enough
        try:
            place.close()
        except errors.SmartPipeError:
            pass  # clear enough

    def write_and_damage(self, home: Path, key: bytes, *labels: str) -> dict[bytes, bytes]:
        """Write values and damage that of one key; returns what was written."""
        values = self.damaged_values()
        with self.location(home) as place:
            for one, value in values.items():
                place.write(one, value, labels=labels)
        assert plant_damage(home, key, values[key])
        return values

    @pytest.mark.parametrize("key", [b"small/7", b"large"])
    @pytest.mark.parametrize("how", ["read_bytes", "read_batch", "read"])
    @pytest.mark.parametrize("overwrite", [False, True])
    def test_a_damaged_value_is_a_miss_or_our_error_and_can_be_written_again(
        self, home: Path, key: bytes, how: str, overwrite: bool
    ) -> None:
        values = self.write_and_damage(home, key, "before")
        with self.location(home) as place:
            try:
                if how == "read_bytes":
                    assert place.read_bytes(key) is None
                elif how == "read_batch":
                    assert dict(place.read_batch([key, b"empty"])) == {key: None, b"empty": b""}
                else:
                    with place.read(key) as stream:
                        assert stream is None or stream.read() is None
            except errors.CorruptError:
                pass  # it is deleted, as where the reader finds it
            assert place.read_bytes(key) is None
            assert place.write(key, values[key], overwrite=overwrite) is True
            assert place.read_bytes(key) == values[key]
            assert labels_of(place, key) == set()
            for one, value in values.items():
                assert place.read_bytes(one) == value

    @pytest.mark.parametrize("key", [b"small/7", b"large"])
    def test_a_damaged_value_is_overwritten_without_being_read_before(self, home: Path, key: bytes) -> None:
        self.write_and_damage(home, key)
        with self.location(home) as place:
            assert place.write(key, b"other", overwrite=True) is True
            assert place.read_bytes(key) == b"other"

    @pytest.mark.parametrize("key", [b"small/7", b"large"])
    def test_a_damaged_value_is_deleted(self, home: Path, key: bytes) -> None:
        values = self.write_and_damage(home, key)
        with self.location(home) as place:
            assert place.delete(key) is True
            assert sorted([*keys_of(place), key]) == sorted(values)

    def test_many_small_values_take_few_files(self, home: Path) -> None:
        with self.location(home) as place:
            for number in range(500):
                place.write(b"folder/%d" % number, b"value %d" % number, labels=[str(number % 3)])
        assert len([path for path in home.rglob("*") if path.is_file()]) < 20

    def test_what_reads_only_refuses_to_write(self, home: Path) -> None:
        with self.location(home) as place:
            place.write(b"a", b"value", labels=["one"])
        with self.location(home, mode="r") as place:
            assert (place.read_bytes(b"a"), labels_of(place, b"a")) == (b"value", {"one"})
            assert keys_of(place) == [b"a"]
            for call in (
                lambda: place.write(b"b", b"value"),
                lambda: place.delete(b"a"),
                lambda: place.touch(b"a"),
            ):
                with pytest.raises(errors.UnsupportedError):
                    call()
            with pytest.raises(errors.CorruptError), place.read(b"a"):
                raise errors.CorruptError("wrong")
            assert place.read_bytes(b"a") == b"value", "a place that can not delete leaves the copy"


class TestShards(OfShards):
    """With the sizes that it has by itself, at which nothing here but the largest is a file of its own."""

    def location(self, home: Path, **options: Any) -> Location:
        return Shards(home, **options)


class TestShardsWithLargeFiles(OfShards):
    """With compression, and with values from 1.5 MiB on in files of their own."""

    def location(self, home: Path, **options: Any) -> Location:
        return Shards(home, large=LARGE, compress="zlib", level=1, **options)

    def test_large_values_are_files_and_go_with_their_keys(self, make: Make, home: Path) -> None:
        place = make()
        small, large, other = data_of(LARGE - 1), data_of(LARGE), data_of(2 * LARGE, 1)
        place.write(b"small", small)
        assert large_files(home) == []
        place.write(b"a", large)
        place.write(b"b", Stream(large))
        assert large_files(home) == [len(large)] * 2
        place.write(b"a", large)
        with pytest.raises(errors.CollisionError):
            place.write(b"a", other)
        with pytest.raises(errors.CollisionError):
            place.write(b"a", small)
        with pytest.raises(errors.CollisionError):
            place.write(b"small", large)
        assert large_files(home) == [len(large)] * 2
        place.write(b"a", other, overwrite=True)
        assert large_files(home) == [len(large), len(other)]
        place.write(b"a", small, overwrite=True)
        assert large_files(home) == [len(large)]
        place.write(b"a", large, overwrite=True)
        place.write(b"a", large, overwrite=True)
        assert large_files(home) == [len(large)] * 2
        place.delete(b"b")
        place.delete(b"a")
        assert large_files(home) == []

    def test_files_that_no_value_names_are_collected(self, home: Path) -> None:
        with Shards(home, large=LARGE) as place:
            place.write(b"a", data_of(LARGE))
            (named,) = (home / "large").iterdir()
            left = home / "large" / ("0" * 32)
            left.write_bytes(b"left")
            assert place.gc() == []
            os.utime(left, (1, 1))
            os.utime(named, (1, 1))
            assert place.gc() == [left.name]
            assert place.read_bytes(b"a") == data_of(LARGE)
            assert not left.exists()


def large_files(home: Path) -> list[int]:
    return sorted(path.stat().st_size for path in (home / "large").glob("*"))


def damage(path: Path, kind: str, random: Random) -> None:
    """Change something in a file."""
    data = bytearray(path.read_bytes())
    if kind == "removed":
        path.unlink()
        return
    if not data:
        return
    at = random.randrange(len(data))
    if kind == "a bit":
        data[at] ^= 1 << random.randrange(8)
    elif kind == "zeros":
        data[at : at + 64] = bytes(len(data[at : at + 64]))
    else:
        del data[at:]
    path.write_bytes(data)


def plant_damage(home: Path, key: bytes, value: bytes) -> bool:
    """Change a byte of a value, wherever it is: in a file of its own, or in the record of the shard."""
    for path in (home / "large").glob("*"):
        if path.stat().st_size == len(value) and path.read_bytes() == value:
            spoil(path, len(value) // 2)
            return True
    with ShardStore(home, "r") as store:
        (entry,) = [entry for entry in store.entries(key) if entry.key == key]
    for path in home.glob("*.dat*"):
        if path.stat().st_size >= entry.offset + entry.stored and key in path.read_bytes()[entry.offset :][:200]:
            spoil(path, entry.offset + entry.stored - 20)
            return True
    return False


def spoil(path: Path, at: int) -> None:
    with path.open("r+b") as file:
        file.seek(at)
        (byte,) = file.read(1)
        file.seek(at)
        file.write(bytes([byte ^ 1]))
