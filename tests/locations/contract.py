"""What every location does: a class of tests for each way of keeping values, which says how its place is made.

`Contract` is for all of them, `Shared` also for those that several processes use and that are still there when all of
them ended. A subclass gives `location`, and what it does besides.
"""

from __future__ import annotations

import errno
import gc
import io
import os
import pickle
import resource
import shutil
import signal
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from threading import Barrier, Thread
from typing import Any, BinaryIO

import pytest
from durability.children import Child, Kill
from folders import contents as files_of
from folders import small_disk

from smartpipe import errors
from smartpipe.locations import Content, Location, opened

Make = Callable[..., Location]
Tell = Callable[[str], None]

MEBIBYTE = 1 << 20
SIZES = (0, 1, 7, 8, 100, 4095, 4096, 4097, 70_000, MEBIBYTE - 1, MEBIBYTE, 3 * MEBIBYTE + 17)
HOSTILE = {
    "empty": b"",
    "a dot": b".",
    "two dots": b"..",
    "above": b"../x",
    "far above": b"../../x",
    "within and above": b"a/../../x",
    "within and back": b"a/../b",
    "a dot within": b"a/./b",
    "a slash": b"/",
    "a slash at the end": b"a/",
    "two slashes": b"a//b",
    "dots at the end": b"a/..",
    "a NUL": b"a\0b",
    "only a NUL": b"\0",
    "no UTF-8": b"\xff",
    "no UTF-8 in a folder": b"\xff\xfe/\x80",
    "half of a pair in UTF-8": b"\xed\xa0\x80",
    "a long part": b"x" * 255,
    "a longer part": b"x" * 256,
    "long": b"x" * 5000,
    "just long": b"/".join([b"x" * 199] * 20),
    "many folders": b"d/" * 1500 + b"x",
    "very long": b"x" * 70_000,
    "too long": b"x" * (2 * MEBIBYTE),
    "the own folder": b".smartpipe",
    "in the own folder": b".smartpipe/x",
    "the own journal": b".smartpipe/journal/x",
    "what the store is": b"store.json",
    "the journal": b"journal",
    "a large file": b"large/x",
    "backslashes": b"..\\x",
    "a drive": b"C:\\x",
    "a device": b"CON",
    "a line end": b"a\nb",
    "a space": b" ",
    "an option": b"-rf",
    "the home": b"~",
    "a pattern": b"*",
    "a variable": b"$HOME",
    "hidden": b".hidden",
    "aside": b"x.tmp",
}


def data_of(size: int, seed: int = 0) -> bytes:
    return Random(size * 1000 + seed).randbytes(size)


class Stream:
    """A binary stream that can only be read, and gives less than it is asked for."""

    def __init__(self, data: bytes, fails: Exception | None = None) -> None:
        self.data = data
        self.at = 0
        self.fails = fails
        """What is raised at the end."""

    def read(self, size: int = -1) -> bytes:
        left = len(self.data) - self.at
        if left == 0 and self.fails is not None:
            raise self.fails
        part = self.data[self.at : self.at + min(left if size < 0 else size, 30_011)]
        self.at += len(part)
        return part


class Generated:
    """A stream of so many bytes that are in no memory: MiB after MiB of a pattern, each with its number."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.at = 0
        self.pattern = data_of(MEBIBYTE)

    def read(self, size: int = -1) -> bytes:
        number, here = divmod(self.at, MEBIBYTE)
        most = min(self.size - self.at, MEBIBYTE - here)
        part = ((b"%8d" % number) + self.pattern[8:])[here : here + (most if size < 0 else min(size, most))]
        self.at += len(part)
        return part


def is_generated(stream: BinaryIO, size: int) -> bool:
    """Whether a stream gives what `Generated` did, and ends."""
    expected = Generated(size)
    while part := expected.read(MEBIBYTE):
        got = b""
        while len(got) < len(part) and (more := stream.read(len(part) - len(got))):
            got += more
        if got != part:
            return False
    return stream.read(1) == b""


def limit_memory(more: int) -> None:
    """Let this process have no more memory than so many bytes beyond what it has."""
    gc.collect()
    with open("/proc/self/statm") as file:
        used = int(file.read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + more, resource.RLIM_INFINITY))


def labels_of(place: Location, key: bytes) -> set[str]:
    """The labels of a value that is there."""
    with place.read(key, return_labels=True) as found:
        assert found is not None
        _, labels = found
        return set(labels)


def keys_of(place: Location, prefix: bytes = b"") -> list[bytes]:
    return sorted(content.key for content in place.contents(prefix))


def content_of(place: Location, key: bytes) -> Content:
    (found,) = [content for content in place.contents(key) if content.key == key]
    return found


def side_by_side(works: list[Callable[[], object]]) -> list[BaseException]:
    """Do things in threads that begin together; gives what they raised."""
    raised: list[BaseException] = []
    begin = Barrier(len(works))

    def done(work: Callable[[], object]) -> None:
        begin.wait()
        try:
            work()
        except BaseException as error:
            raised.append(error)

    threads = [Thread(target=done, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return raised


def in_processes(works: list[Callable[[Tell], object]]) -> list[list[str]]:
    """Do things in processes side by side; gives what each told."""
    children = [Child(work) for work in works]
    return [child.end() for child in children]


class Contract:
    """What holds for every location."""

    def location(self, home: Path, **options: Any) -> Location:
        """Make a place at a folder. Those of the same folder are the same place."""
        raise NotImplementedError

    @pytest.fixture
    def home(self, tmp_path: Path) -> Path:
        """Where the place keeps what it keeps in files; everything else in `tmp_path` is not its own."""
        (tmp_path / "over").mkdir()
        return tmp_path / "over" / "place"

    @pytest.fixture
    def make(self, home: Path) -> Iterator[Make]:
        made: list[Location] = []

        def another(**options: Any) -> Location:
            made.append(self.location(home, **options))
            return made[-1]

        yield another
        for place in made:
            place.close()

    @pytest.fixture
    def place(self, make: Make) -> Location:
        return make()

    # Reading

    def test_a_value_is_read_as_a_path_or_a_stream(self, place: Location) -> None:
        assert place.write(b"a", b"value") is True
        with place.read(b"a") as value:
            assert isinstance(value, Path) or hasattr(value, "read")
            with opened(value) as stream:
                assert stream.read(2) == b"va"
                assert stream.read() == b"lue"
                assert stream.read() == b""
        assert place.read_bytes(b"a") == b"value"

    def test_a_stream_that_is_read_can_be_positioned(self, place: Location) -> None:
        data = data_of(2 * MEBIBYTE + 5)
        place.write(b"a", data)
        with place.read(b"a") as value, opened(value) as stream:
            assert stream.seek(-5, os.SEEK_END) == len(data) - 5
            assert stream.read() == data[-5:]
            stream.seek(MEBIBYTE - 3)
            assert stream.read(6) == data[MEBIBYTE - 3 : MEBIBYTE + 3]
            assert stream.tell() == MEBIBYTE + 3

    def test_a_value_that_is_not_there_is_none(self, place: Location) -> None:
        place.write(b"other", b"value")
        for labels in (False, True):
            with place.read(b"a", return_labels=labels) as found:
                assert found is None
        assert place.read_bytes(b"a") is None
        assert place.read_range(b"a", 0, 1) is None
        assert list(place.read_batch([b"a"])) == [(b"a", None)]
        assert place.delete(b"a") is False
        assert place.touch(b"a") is False
        assert keys_of(place) == [b"other"]

    def test_an_empty_place_has_nothing(self, place: Location) -> None:
        assert place.read_bytes(b"a") is None
        assert list(place.read_batch([b"a", b"b"])) == [(b"a", None), (b"b", None)]
        assert list(place.contents()) == []
        assert place.delete(b"a") is False
        assert place.touch(b"a") is False

    def test_many_values_are_read_at_once(self, place: Location) -> None:
        values = {b"%d" % number: data_of(number * 37, number) for number in range(50)}
        for key, value in values.items():
            place.write(key, value)
        got = list(place.read_batch(key for key in [*values, b"missing", b"also missing"]))
        assert sorted(key for key, _ in got) == sorted([*values, b"missing", b"also missing"])
        assert dict(got) == {**values, b"missing": None, b"also missing": None}
        assert list(place.read_batch([])) == []

    def test_the_keys_of_a_batch_may_be_any_buffers_and_come_back_as_bytes(self, place: Location) -> None:
        place.write(b"a", b"1")
        place.write(b"b", b"2")
        assert sorted(place.read_batch([bytearray(b"a"), memoryview(b"b")])) == [(b"a", b"1"), (b"b", b"2")]

    @pytest.mark.parametrize("size", [100, 2 * MEBIBYTE + 5])
    def test_a_range_is_clipped_at_the_end(self, place: Location, size: int) -> None:
        data = data_of(size)
        place.write(b"a", data)
        for start, stop in ((0, 0), (0, 10), (10, 10), (50, size), (size - 3, size), (0, size)):
            assert place.read_range(b"a", start, stop) == data[start:stop]
        for start, stop in ((0, size + 1), (7, size * 2), (size, size + 5), (size + 5, size + 9), (size - 1, 1 << 40)):
            assert place.read_range(b"a", start, stop) == data[start:stop]
        assert place.read_range(b"a", 1 << 40, 1 << 41) == b""

    @pytest.mark.parametrize("start, stop", [(-1, 5), (5, 4), (-2, -1), (0, -1)])
    def test_what_is_no_range_is_a_value_error(self, place: Location, start: int, stop: int) -> None:
        place.write(b"a", b"value")
        for key in (b"a", b"missing"):
            with pytest.raises(ValueError, match="range"):
                place.read_range(key, start, stop)

    def test_a_value_is_read_by_several_at_once(self, place: Location) -> None:
        place.write(b"a", b"value")
        with place.read(b"a") as one, place.read(b"a") as other, opened(one) as first, opened(other) as second:
            assert (first.read(2), second.read(5), first.read()) == (b"va", b"value", b"lue")

    @pytest.mark.parametrize("size", [100, 3 * MEBIBYTE])
    def test_a_value_that_is_open_is_read_to_its_end_when_it_is_overwritten_or_deleted(
        self, place: Location, size: int
    ) -> None:
        one, two = data_of(size, 1), data_of(size, 2)
        place.write(b"a", one)
        with place.read(b"a") as value, opened(value) as stream:
            begun = stream.read(10)
            place.write(b"a", two, overwrite=True)
            assert begun + stream.read() == one
        with place.read(b"a") as value, opened(value) as stream:
            begun = stream.read(10)
            place.delete(b"a")
            assert begun + stream.read() == two
        assert place.read_bytes(b"a") is None

    @pytest.mark.parametrize("size", [0, 100, 3 * MEBIBYTE])
    def test_in_tells_whether_there_is_a_value(self, place: Location, size: int) -> None:
        assert b"a" not in place
        place.write(b"a", data_of(size))
        assert b"a" in place and b"b" not in place and b"" not in place and b"../a" not in place
        place.delete(b"a")
        assert b"a" not in place
        with pytest.raises(TypeError, match="not bytes"):
            "a" in place  # type: ignore[operator]  # noqa: B015

    def test_another_error_in_the_context_is_raised_and_leaves_the_value(self, place: Location) -> None:
        place.write(b"a", b"value")
        with pytest.raises(ZeroDivisionError), place.read(b"a"):
            raise ZeroDivisionError
        assert place.read_bytes(b"a") == b"value"

    @pytest.mark.parametrize("kind", [errors.CorruptError, errors.TruncatedError])
    def test_a_value_that_is_found_damaged_is_deleted_and_its_source_is_not(
        self, place: Location, tmp_path: Path, kind: type[errors.CorruptError]
    ) -> None:
        origin = tmp_path / "origin"
        origin.write_bytes(b"value")
        place.write(b"source", origin)
        with place.read(b"source") as value:
            place.write(b"copy", value, labels=["of a copy"])
        with pytest.raises(kind, match="no digest"), place.read(b"copy"):
            raise kind("no digest")
        assert place.read_bytes(b"copy") is None
        assert keys_of(place) == [b"source"]
        assert place.read_bytes(b"source") == b"value"
        assert origin.read_bytes() == b"value"
        assert place.write(b"copy", b"another value") is True
        assert labels_of(place, b"copy") == set()

    @pytest.mark.parametrize("size", [100, 3 * MEBIBYTE])
    def test_a_good_copy_that_is_written_while_a_damaged_one_is_read_stays(self, make: Make, size: int) -> None:
        place, other = make(), make()
        place.write(b"a", data_of(size, 1))
        with pytest.raises(errors.CorruptError), place.read(b"a"):
            other.delete(b"a")
            other.write(b"a", data_of(size, 2), labels=["good"])
            raise errors.CorruptError("no digest")
        assert (place.read_bytes(b"a"), labels_of(place, b"a")) == (data_of(size, 2), {"good"})
        with pytest.raises(errors.CorruptError), place.read(b"a"):
            other.write(b"a", data_of(size, 3), overwrite=True)
            raise errors.CorruptError("no digest")
        assert place.read_bytes(b"a") == data_of(size, 3)
        with pytest.raises(errors.CorruptError), place.read(b"a"):
            raise errors.CorruptError("no digest")
        assert place.read_bytes(b"a") is None

    def test_damage_found_where_there_is_no_value_is_only_raised(self, place: Location) -> None:
        with pytest.raises(errors.CorruptError), place.read(b"a") as value:
            assert value is None
            raise errors.CorruptError("of something else")

    def test_damage_that_is_found_in_a_nested_value_deletes_that_one_only(self, place: Location) -> None:
        place.write(b"a", b"1")
        place.write(b"b", b"2")
        with place.read(b"a"), pytest.raises(errors.CorruptError), place.read(b"b"):
            raise errors.CorruptError("wrong")
        assert keys_of(place) == [b"a"]

    # Writing

    @pytest.mark.parametrize("kind", [bytes, bytearray, memoryview, io.BytesIO, Stream])
    @pytest.mark.parametrize("size", SIZES)
    def test_values_of_all_sizes_are_written_from_buffers_and_streams(
        self, place: Location, kind: Callable[[bytes], Any], size: int
    ) -> None:
        data = data_of(size)
        assert place.write(b"folder/a", kind(data)) is True
        assert place.read_bytes(b"folder/a") == data
        assert place.read_range(b"folder/a", size // 2, size) == data[size // 2 :]
        assert content_of(place, b"folder/a").size == size
        assert place.write(b"folder/a", kind(data)) is True
        with pytest.raises(errors.CollisionError):
            place.write(b"folder/a", kind(data + b"x"))

    @pytest.mark.parametrize("kind", [str, Path])
    @pytest.mark.parametrize("size", [0, 100, 3 * MEBIBYTE + 17])
    def test_a_file_is_written_by_its_path_and_stays(
        self, place: Location, tmp_path: Path, kind: Callable[[Path], Any], size: int
    ) -> None:
        file = tmp_path / "file"
        data = data_of(size)
        file.write_bytes(data)
        assert place.write(b"a", kind(file)) is True
        assert place.read_bytes(b"a") == data
        assert file.read_bytes() == data
        with file.open("r+b") as changed:
            changed.write(b"another content")
        assert place.read_bytes(b"a") == data

    @pytest.mark.parametrize("size", [100, 2 * MEBIBYTE])
    def test_a_stream_is_read_from_where_it_stands_and_stays_open(
        self, place: Location, tmp_path: Path, size: int
    ) -> None:
        data = data_of(size)
        (tmp_path / "file").write_bytes(data)
        with (tmp_path / "file").open("rb") as file:
            assert file.read(30) == data[:30]
            assert place.write(b"file", file) is True
            assert file.read() == b""
        assert place.read_bytes(b"file") == data[30:]
        stream = io.BytesIO(data)
        stream.seek(50)
        assert place.write(b"stream", stream) is True
        assert place.read_bytes(b"stream") == data[50:]
        assert not stream.closed
        assert place.write(b"end", stream) is True
        assert place.read_bytes(b"end") == b""

    def test_a_memoryview_may_have_other_items_and_strides(self, place: Location) -> None:
        data = data_of(800)
        place.write(b"strides", memoryview(data)[::3])
        place.write(b"items", memoryview(data).cast("d", (10, 10)))
        assert (place.read_bytes(b"strides"), place.read_bytes(b"items")) == (data[::3], data)

    @pytest.mark.parametrize("size", [100, 3 * MEBIBYTE])
    def test_what_reading_gives_can_be_written(self, place: Location, size: int) -> None:
        data = data_of(size)
        place.write(b"a", data)
        for key in (b"b", b"a"):
            with place.read(b"a") as value:
                assert place.write(key, value) is True
        assert (place.read_bytes(b"a"), place.read_bytes(b"b")) == (data, data)

    @pytest.mark.parametrize("size", [0, 100, 3 * MEBIBYTE])
    def test_another_content_is_a_collision_unless_it_is_to_be_overwritten(self, place: Location, size: int) -> None:
        place.write(b"a", data_of(size))
        for other in (data_of(size + 1), data_of(100, 1), data_of(3 * MEBIBYTE, 1), data_of(size)[:-1] + b"?"):
            with pytest.raises(errors.CollisionError) as raised:
                place.write(b"a", other)
            assert raised.value.block == b"a"
            assert place.read_bytes(b"a") == data_of(size)
        for other in (data_of(3 * MEBIBYTE, 1), data_of(100, 1), b"", data_of(size)):
            assert place.write(b"a", other, overwrite=True) is True
            assert place.read_bytes(b"a") == other
            assert content_of(place, b"a").size == len(other)
        assert keys_of(place) == [b"a"]

    @pytest.mark.parametrize("overwrite", [False, True])
    @pytest.mark.parametrize("fails", [OSError(errno.EIO, "broken"), ValueError("broken"), KeyboardInterrupt()])
    @pytest.mark.parametrize("size", [0, 100, 3 * MEBIBYTE])
    def test_a_stream_that_fails_leaves_what_was_there(
        self, place: Location, size: int, fails: Any, overwrite: bool
    ) -> None:
        place.write(b"old", b"value", labels=["old"])
        for key in (b"new", b"old"):
            with pytest.raises(type(fails), match="broken" if fails.args else None):
                place.write(key, Stream(data_of(size), fails), labels=["new"], overwrite=overwrite)
        assert keys_of(place) == [b"old"]
        assert (place.read_bytes(b"old"), labels_of(place, b"old")) == (b"value", {"old"})
        assert place.write(b"new", b"now") is True
        assert labels_of(place, b"new") == set()

    def test_a_file_that_is_not_there_is_an_error_that_names_it(self, place: Location, tmp_path: Path) -> None:
        for wrong in (tmp_path / "missing", tmp_path, tmp_path / "missing" / "deeper"):
            with pytest.raises(errors.StorageError, match=wrong.name):
                place.write(b"a", wrong)
        assert list(place.contents()) == []

    @pytest.mark.parametrize("value", [None, 5, 1.5, ["a"], object()])
    def test_what_is_no_value_is_a_type_error(self, place: Location, value: Any) -> None:
        with pytest.raises(TypeError, match=type(value).__name__):
            place.write(b"a", value)
        assert list(place.contents()) == []

    @pytest.mark.parametrize("text", ["text", "x" * 3 * MEBIBYTE])
    def test_a_stream_of_text_is_a_type_error(self, place: Location, text: str) -> None:
        with pytest.raises(TypeError):
            place.write(b"a", io.StringIO(text))  # type: ignore[arg-type]
        assert list(place.contents()) == []

    @pytest.mark.parametrize("most", [0, 10, MEBIBYTE])
    def test_what_is_too_large_is_refused(self, make: Make, tmp_path: Path, most: int) -> None:
        place = make(max_size=most)
        file = tmp_path / "file"
        for more in (1, 2 * MEBIBYTE):
            data = data_of(most + more)
            file.write_bytes(data)
            kinds: list[Callable[[], Any]] = [
                lambda data=data: data,
                lambda data=data: memoryview(data),
                lambda data=data: io.BytesIO(data),
                lambda data=data: Stream(data),
                lambda: file,
                lambda: str(file),
            ]
            for value in kinds:
                assert place.write(b"a", value(), labels=["one"]) is None
                assert place.write(b"a", value(), overwrite=True) is None
        assert list(place.contents()) == []
        assert place.read_bytes(b"a") is None
        for key, value in {b"bytes": data_of(most), b"stream": Stream(data_of(most))}.items():
            assert place.write(key, value) is True
            assert place.read_bytes(key) == data_of(most)
            assert labels_of(place, key) == set()
            assert place.write(key, data_of(most + 1), labels=["one"], overwrite=True) is None
            assert (place.read_bytes(key), labels_of(place, key)) == (data_of(most), set())

    def test_a_stream_counts_from_where_it_stands(self, make: Make) -> None:
        place = make(max_size=10)
        stream = io.BytesIO(bytes(15))
        stream.seek(5)
        assert place.write(b"a", stream) is True
        stream.seek(4)
        assert place.write(b"b", stream) is None

    def test_many_values_are_written_with_one_call(self, place: Location, tmp_path: Path) -> None:
        (tmp_path / "file").write_bytes(b"of a file")
        values = {b"folder/%d" % number: data_of(number * 300) for number in range(50)}
        values |= {b"large": data_of(3 * MEBIBYTE), b"last": b"value"}
        items: dict[bytes, Any] = {**values, b"stream": Stream(b"of a stream"), b"file": tmp_path / "file"}
        assert place.write_batch(iter(items.items())) == []
        expected = {**values, b"stream": b"of a stream", b"file": b"of a file"}
        assert dict(place.read_batch(expected)) == expected
        assert keys_of(place) == sorted(expected)
        assert place.write_batch([]) == []

    def test_of_many_values_those_that_are_there_stay_as_they_are(self, place: Location) -> None:
        place.write(b"a", b"there", labels=["one"])
        place.write(b"large", data_of(3 * MEBIBYTE), labels=["two"])
        again = [(b"a", b"there"), (b"b", b"new"), (b"large", data_of(3 * MEBIBYTE)), (b"b", b"new")]
        assert place.write_batch(again) == []
        assert (labels_of(place, b"a"), labels_of(place, b"large")) == ({"one"}, {"two"})
        for wrong in (b"a", b"b", b"large"):
            with pytest.raises(errors.CollisionError) as raised:
                place.write_batch([(b"c", b"new"), (wrong, b"another"), (b"d", b"new")])
            assert raised.value.block == wrong
        expected = {b"a": b"there", b"b": b"new", b"large": data_of(3 * MEBIBYTE)}
        assert dict(place.read_batch(expected)) == expected
        assert place.write_batch([(b"a", b"another"), (b"large", b"small")], overwrite=True) == []
        assert dict(place.read_batch([b"a", b"large"])) == {b"a": b"another", b"large": b"small"}
        assert (labels_of(place, b"a"), labels_of(place, b"large")) == (set(), set())

    def test_of_many_values_those_that_are_too_large_are_refused(self, make: Make) -> None:
        place = make(max_size=10)
        items = [(b"a", bytes(11)), (b"b", bytes(10)), (b"c", Stream(bytes(12))), (b"d", Stream(bytes(9)))]
        assert place.write_batch(items) == [b"a", b"c"]
        assert keys_of(place) == [b"b", b"d"]

    def test_of_many_values_an_error_leaves_no_half_of_one(self, place: Location) -> None:
        def items() -> Iterator[tuple[bytes, Any]]:
            yield b"a", b"first"
            yield b"b", Stream(data_of(3 * MEBIBYTE), ValueError("broken"))
            yield b"c", b"last"

        with pytest.raises(ValueError, match="broken"):
            place.write_batch(items())
        assert dict(place.read_batch([b"b", b"c"])) == {b"b": None, b"c": None}
        assert place.read_bytes(b"a") in (None, b"first")

    @pytest.mark.parametrize("key", ["a", "", 5, None, ["a"]])
    def test_a_key_that_is_no_bytes_is_a_type_error(self, place: Location, key: Any) -> None:
        calls: list[Callable[[], object]] = [
            lambda: place.read(key).__enter__(),
            lambda: place.read_bytes(key),
            lambda: list(place.read_batch([key])),
            lambda: place.read_range(key, 0, 1),
            lambda: place.write(key, b"value"),
            lambda: place.write_batch([(key, b"value")]),
            lambda: place.delete(key),
            lambda: place.touch(key),
            lambda: list(place.contents(key)),
        ]
        for call in calls:
            with pytest.raises(TypeError, match="key"):
                call()
        assert list(place.contents()) == []

    def test_one_key_is_no_batch(self, place: Location) -> None:
        for key in (b"ab", "ab"):
            with pytest.raises(TypeError):
                list(place.read_batch(key))  # type: ignore[arg-type]

    def test_a_key_may_be_any_buffer(self, place: Location) -> None:
        place.write(bytearray(b"a"), b"value")
        assert place.read_bytes(memoryview(b"xa")[1:]) == b"value"
        assert place.touch(bytearray(b"a")) is True
        assert keys_of(place, bytearray(b"a")) == [b"a"]
        assert place.delete(memoryview(b"a")) is True

    # Labels

    def test_labels_are_kept_with_a_value(self, place: Location) -> None:
        place.write(b"none", b"value")
        place.write(b"empty", b"value", labels=[])
        place.write(b"some", b"value", labels=["one", "two", "one"])
        strange = {"", "ä", "a\nb", "a\0b", '"', "\\", "{}", "x" * 10_000, "😀"}
        place.write(b"strange", b"value", labels=(label for label in strange))
        expected = {b"none": set(), b"empty": set(), b"some": {"one", "two"}, b"strange": strange}
        assert {key: labels_of(place, key) for key in expected} == expected
        assert {content.key: set(content.labels) for content in place.contents()} == expected

    def test_labels_are_united_where_the_content_is_the_same(self, place: Location) -> None:
        place.write(b"a", b"value", labels=["one"])
        place.write(b"a", b"value")
        assert labels_of(place, b"a") == {"one"}
        place.write(b"a", b"value", labels=["two"])
        assert labels_of(place, b"a") == {"one", "two"}

    @pytest.mark.parametrize("size", [100, 3 * MEBIBYTE])
    def test_labels_are_united_at_all_sizes(self, place: Location, size: int) -> None:
        place.write(b"a", data_of(size), labels=["one"])
        place.write(b"a", Stream(data_of(size)), labels=["two"])
        assert labels_of(place, b"a") == {"one", "two"}

    @pytest.mark.parametrize("size", [100, 3 * MEBIBYTE])
    def test_a_content_that_is_overwritten_takes_its_labels_along(self, place: Location, size: int) -> None:
        place.write(b"a", data_of(size), labels=["one"])
        place.write(b"a", data_of(size, 1), labels=["two"], overwrite=True)
        assert labels_of(place, b"a") == {"two"}
        place.write(b"a", data_of(size, 2), overwrite=True)
        assert labels_of(place, b"a") == set()
        place.write(b"a", data_of(size, 2), labels=["three"])
        place.write(b"a", data_of(size, 2), labels=["four"], overwrite=True)
        assert labels_of(place, b"a") == {"four"}

    def test_a_collision_adds_no_labels(self, place: Location) -> None:
        place.write(b"a", b"value", labels=["one"])
        with pytest.raises(errors.CollisionError):
            place.write(b"a", b"other", labels=["two"])
        assert labels_of(place, b"a") == {"one"}

    def test_a_value_that_was_deleted_comes_back_without_its_labels(self, place: Location) -> None:
        place.write(b"a", b"value", labels=["one"])
        place.touch(b"a")
        assert place.delete(b"a") is True
        place.write(b"a", b"value")
        assert labels_of(place, b"a") == set()

    @pytest.mark.parametrize("labels", ["one", "", b"one", [b"one"], ["one", 5], [None], 5])
    def test_what_are_no_labels_is_a_type_error(self, place: Location, labels: Any) -> None:
        with pytest.raises(TypeError):
            place.write(b"a", b"value", labels=labels)
        assert list(place.contents()) == []

    # Deleting, contents, touching

    def test_a_value_is_deleted_once(self, place: Location) -> None:
        for size in (0, 100, 3 * MEBIBYTE):
            place.write(b"a", data_of(size))
            place.write(b"b", b"value", overwrite=True)
            assert place.delete(b"a") is True
            assert place.read_bytes(b"a") is None
            assert list(place.read_batch([b"a"])) == [(b"a", None)]
            assert place.touch(b"a") is False
            assert place.delete(b"a") is False
            assert keys_of(place) == [b"b"]

    def test_contents_has_the_keys_with_a_prefix(self, place: Location) -> None:
        keys = [b"a/b", b"a/bc", b"a/c/d", b"ab", b"b/a/b", b"c"]
        for key in keys:
            place.write(key, key)
        place.touch(b"c")
        for prefix in (b"", b"a", b"a/", b"a/b", b"a/c", b"a/c/", b"a/c/d", b"b/a", b"c", b"x", b"a/x/y", b"c/", b"/"):
            assert keys_of(place, prefix) == [key for key in keys if key.startswith(prefix)]

    def test_contents_tells_size_use_and_labels(self, place: Location) -> None:
        before = time.time()
        for size in (0, 100, 3 * MEBIBYTE):
            place.write(b"%d" % size, data_of(size), labels=[str(size)])
        for content in place.contents():
            assert isinstance(content, Content)
            assert content.size == int(content.key)
            assert set(content.labels) == {content.key.decode()}
            # The clock of a file system may lag by a tick.
            assert before - 1 <= content.last_used <= time.time() + 1

    def test_contents_may_be_changed_while_it_is_read(self, place: Location) -> None:
        keys = [b"folder%d/%d" % (number % 3, number) for number in range(30)]
        for key in keys:
            place.write(key, key)
        seen = []
        for content in place.contents():
            seen.append(content.key)
            place.delete(content.key)
            place.write(b"new/" + content.key, b"value", labels=["new"])
        assert set(keys) <= set(seen) <= {*keys, *(b"new/" + key for key in seen)}

    def test_touching_tells_that_a_value_is_used(self, place: Location) -> None:
        place.write(b"a", b"value", labels=["one"])
        place.write(b"b", b"value")
        written = {content.key: content.last_used for content in place.contents()}
        time.sleep(0.05)
        assert place.touch(b"a") is True
        used = {content.key: content.last_used for content in place.contents()}
        assert used[b"a"] > written[b"a"]
        assert used[b"b"] == written[b"b"]
        assert place.read_bytes(b"a") == b"value"
        assert labels_of(place, b"a") == {"one"}
        time.sleep(0.05)
        place.touch(b"a")
        assert content_of(place, b"a").last_used > used[b"a"]

    # What a place is

    def test_places_are_equal_by_their_configuration(self, make: Make, home: Path) -> None:
        place, same, other = make(), make(), self.location(home.parent / "other")
        limited, limited_too, limited_otherwise = make(max_size=5), make(max_size=5), make(max_size=6)
        assert place == same
        assert limited == limited_too
        assert hash(place) == hash(same)
        assert hash(limited) == hash(limited_too)
        assert len({place, same, other, limited, limited_too, limited_otherwise}) == 4
        for unequal in (other, limited, limited_otherwise, home, None):
            assert place != unequal
        assert limited != limited_otherwise
        place.write(b"a", b"value")
        assert place == same
        assert hash(place) == hash(same)

    def test_a_pickled_place_is_the_same_place(self, make: Make) -> None:
        place = make(max_size=1000)
        for when in ("fresh", "used"):
            for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
                copied = pickle.loads(pickle.dumps(place, protocol))
                assert copied == place
                assert hash(copied) == hash(place)
                assert type(copied) is type(place)
                assert copied.write(b"large", bytes(1001)) is None
                copied.write(b"a", when.encode(), overwrite=True)
                copied.close()
                assert place.read_bytes(b"a") == when.encode()

    def test_two_objects_of_a_place_see_what_each_does(self, make: Make) -> None:
        one, two = make(), make()
        assert two.read_bytes(b"a") is None
        assert labels_of_or_none(two, b"a") is None
        one.write(b"a", b"value", labels=["one"])
        assert two.read_bytes(b"a") == b"value"
        assert labels_of(two, b"a") == {"one"}
        two.write(b"a", b"value", labels=["two"])
        assert labels_of(one, b"a") == {"one", "two"}
        one.write(b"a", b"other", labels=["three"], overwrite=True)
        assert (two.read_bytes(b"a"), labels_of(two, b"a")) == (b"other", {"three"})
        with pytest.raises(errors.CollisionError):
            two.write(b"a", b"value")
        used = content_of(one, b"a").last_used
        time.sleep(0.05)
        two.touch(b"a")
        assert content_of(one, b"a").last_used > used
        two.delete(b"a")
        assert one.read_bytes(b"a") is None
        assert keys_of(one) == []

    def test_a_place_that_was_closed_is_used_again(self, place: Location) -> None:
        place.close()
        with place as same:
            assert same is place
            place.write(b"a", b"value", labels=["one"])
        place.close()
        place.close()
        assert place.read_bytes(b"a") == b"value"
        assert labels_of(place, b"a") == {"one"}
        place.close()
        assert keys_of(place) == [b"a"]
        place.close()
        assert place.write(b"a", b"value", labels=["two"]) is True
        assert labels_of(place, b"a") == {"one", "two"}

    def test_a_place_tells_what_it_can_do(self, place: Location) -> None:
        assert place.abilities >= {"write", "delete", "contents", "touch", "labels", "lock"}
        place.require("write")
        with pytest.raises(errors.UnsupportedError, match="fly"):
            place.require("fly")

    # Hostile keys

    @pytest.mark.parametrize("size", [10, 2 * MEBIBYTE])
    @pytest.mark.parametrize("name", [*HOSTILE, "absolute", "absolute, and there"])
    def test_a_hostile_key_is_kept_or_refused_and_never_leads_out(
        self, make: Make, home: Path, tmp_path: Path, name: str, size: int
    ) -> None:
        absolute = {"absolute": os.fsencode(tmp_path / "x"), "absolute, and there": os.fsencode(tmp_path / "there")}
        key = {**HOSTILE, **absolute}[name]
        for folder in (tmp_path, tmp_path / "over"):
            (folder / "there").write_bytes(b"somebody else's")
        place = make()
        place.write(b"kept", b"value", labels=["kept"])
        data = data_of(size)
        before = files_outside(tmp_path, home)
        try:
            taken = place.write(key, data, labels=["one"])
        except errors.SmartPipeError as error:
            assert str(error)
            assert keys_of(place) == [b"kept"]
            with pytest.raises(errors.SmartPipeError):
                place.write(key, data, overwrite=True)
            for harmless in (place.read_bytes, place.delete, place.touch):
                try:
                    assert not harmless(key)
                except errors.SmartPipeError:
                    pass  # as clear
        else:
            assert taken is True
            assert place.read_bytes(key) == data
            assert labels_of(place, key) == {"one"}
            assert place.read_range(key, 1, 3) == data[1:3]
            assert dict(place.read_batch([key, b"kept"])) == {key: data, b"kept": b"value"}
            assert keys_of(place) == sorted([b"kept", key])
            assert keys_of(place, key) == sorted(one for one in (b"kept", key) if one.startswith(key))
            again = make()
            assert again.read_bytes(key) == data
            assert place.touch(key) is True
            with pytest.raises(errors.CollisionError):
                place.write(key, b"other")
            assert place.delete(key) is True
            assert place.read_bytes(key) is None
        assert files_outside(tmp_path, home) == before
        assert keys_of(place) == [b"kept"]
        assert (place.read_bytes(b"kept"), labels_of(place, b"kept")) == (b"value", {"kept"})

    @pytest.mark.parametrize("key", [b"../there", b"a/../../there", b"a/../../../there", b"absolute"])
    def test_files_outside_are_not_read_nor_touched_nor_deleted(
        self, place: Location, home: Path, tmp_path: Path, key: bytes
    ) -> None:
        for folder in (tmp_path, tmp_path / "over"):
            (folder / "there").write_bytes(b"somebody else's")
        if key == b"absolute":
            key = os.fsencode(tmp_path / "over" / "there")
        place.write(b"a/b", b"value")
        before = files_outside(tmp_path, home)
        assert place.read_bytes(key) is None
        assert place.read_range(key, 0, 5) is None
        assert list(place.read_batch([key])) == [(key, None)]
        assert place.touch(key) is False
        assert place.delete(key) is False
        assert list(place.contents(key)) == []
        assert list(place.contents(os.path.dirname(key) + b"/")) == []
        assert files_outside(tmp_path, home) == before
        assert keys_of(place) == [b"a/b"]

    @pytest.mark.parametrize("first, second", [(b"a", b"a/b"), (b"a/b", b"a"), (b"a/b/c/d", b"a/b"), (b"a", b"a/b/c")])
    @pytest.mark.parametrize("overwrite", [False, True])
    def test_a_key_that_is_a_part_of_another_is_kept_or_refused(
        self, place: Location, first: bytes, second: bytes, overwrite: bool
    ) -> None:
        place.write(first, b"first", labels=["one"])
        try:
            place.write(second, b"second", labels=["two"], overwrite=overwrite)
        except errors.SmartPipeError:
            assert place.read_bytes(second) is None
            assert place.delete(second) is False
            assert place.touch(second) is False
            assert keys_of(place) == [first]
        else:
            assert (place.read_bytes(second), labels_of(place, second)) == (b"second", {"two"})
            assert keys_of(place) == sorted([first, second])
        assert (place.read_bytes(first), labels_of(place, first)) == (b"first", {"one"})
        assert place.delete(first) is True
        place.write(second, b"second", overwrite=overwrite)
        assert place.read_bytes(second) == b"second"

    def test_prefixes_that_are_no_keys_have_no_contents(self, place: Location) -> None:
        place.write(b"a/b", b"value")
        for prefix in HOSTILE.values():
            expected = [b"a/b"] if b"a/b".startswith(prefix) else []
            assert keys_of(place, prefix) == expected

    # Threads

    def test_threads_write_the_same_and_other_keys(self, place: Location) -> None:
        def work(number: int) -> None:
            for turn in range(20):
                assert place.write(b"same/%d" % turn, data_of(500, turn)) is True
                assert place.write(b"own/%d/%d" % (number, turn), b"%d %d" % (number, turn)) is True
                assert place.read_bytes(b"own/%d/%d" % (number, turn)) == b"%d %d" % (number, turn)

        assert side_by_side([lambda number=number: work(number) for number in range(4)]) == []
        assert len(keys_of(place, b"same/")) == 20
        assert len(keys_of(place, b"own/")) == 80
        for turn in range(20):
            assert place.read_bytes(b"same/%d" % turn) == data_of(500, turn)

    def test_of_threads_that_write_other_contents_one_wins(self, make: Make) -> None:
        for turn in range(10):
            place = make()
            won: list[int] = []

            def work(number: int, place: Location = place, won: list[int] = won, turn: int = turn) -> None:
                if place.write(b"%d" % turn, b"%d" % number):
                    won.append(number)

            raised = side_by_side([lambda number=number: work(number) for number in range(4)])
            assert [type(error) for error in raised] == [errors.CollisionError] * 3
            assert [place.read_bytes(b"%d" % turn)] == [b"%d" % number for number in won]

    def test_labels_of_threads_are_united(self, make: Make) -> None:
        for turn in range(5):
            places = [make() for _ in range(2)] * 2
            key = b"%d" % turn

            def work(number: int, places: list[Location] = places, key: bytes = key) -> None:
                for step in range(5):
                    places[number].write(key, b"value", labels=[f"{number} {step}"])

            assert side_by_side([lambda number=number: work(number) for number in range(4)]) == []
            expected = {f"{number} {step}" for number in range(4) for step in range(5)}
            assert [labels_of(place, key) for place in places] == [expected] * 4

    def test_threads_read_labels_while_the_first_are_noted(self, make: Make) -> None:
        for turn in range(5):
            make().write(b"a", b"value", labels=["first"])
            place = make()

            def look(place: Location = place) -> None:
                for _ in range(30):
                    with place.read(b"a", return_labels=True) as (_, labels):
                        assert "first" in labels
                    assert [content.key for content in place.contents()] == [b"a"]

            def note(place: Location = place, turn: int = turn) -> None:
                for step in range(3):
                    place.write(b"a", b"value", labels=[f"{turn} {step}"])
                    place.touch(b"a")

            assert side_by_side([look, look, note]) == []

    @pytest.mark.parametrize("size", [1000, 2 * MEBIBYTE])
    def test_a_value_that_is_overwritten_is_always_one_of_both(self, place: Location, size: int) -> None:
        values = [data_of(size, 1), data_of(size + 5, 2)]
        place.write(b"a", values[0])
        turns = 100 if size < MEBIBYTE else 10
        over: list[bool] = []

        def write() -> None:
            try:
                for turn in range(turns):
                    assert place.write(b"a", values[turn % 2], overwrite=True) is True
            finally:
                over.append(True)

        def look() -> None:
            while not over:
                assert place.read_bytes(b"a") in values
                assert dict(place.read_batch([b"a"]))[b"a"] in values

        assert side_by_side([write, look, look]) == []

    @pytest.mark.parametrize("size", [1000, 2 * MEBIBYTE])
    def test_a_value_that_is_written_and_deleted_is_there_or_not(self, place: Location, size: int) -> None:
        value = data_of(size)
        turns = 100 if size < MEBIBYTE else 10
        over: list[bool] = []

        def write() -> None:
            try:
                for turn in range(turns):
                    assert place.write(b"a/b/c", value, labels=[str(turn)]) is True
                    assert place.delete(b"a/b/c") is True
            finally:
                over.append(True)

        def look() -> None:
            while not over:
                assert place.read_bytes(b"a/b/c") in (None, value)
                assert place.read_range(b"a/b/c", 5, 10) in (None, value[5:10])
                with place.read(b"a/b/c", return_labels=True) as found:
                    assert found is None or len(found) == 2
                place.touch(b"a/b/c")
                assert keys_of(place) in ([], [b"a/b/c"])

        assert side_by_side([write, look, look]) == []
        assert place.read_bytes(b"a/b/c") is None

    def test_keys_of_one_folder_are_written_and_deleted_side_by_side(self, place: Location) -> None:
        def work(number: int) -> None:
            key = b"a/b/c/%d" % number
            for _ in range(100):
                assert place.write(key, key) is True
                assert place.delete(key) is True

        assert side_by_side([lambda number=number: work(number) for number in range(4)]) == []
        assert keys_of(place) == []


def labels_of_or_none(place: Location, key: bytes) -> set[str] | None:
    with place.read(key, return_labels=True) as found:
        return None if found is None else set(found[1])


def files_outside(around: Path, home: Path) -> dict[bytes, bytes]:
    """Everything in a folder but what is in the place there."""
    own = os.fsencode(home.relative_to(around)) + b"/"
    return {path: data for path, data in files_of(around).items() if not path.startswith(own)}


KEPT, OLD, OTHER, NEW, GONE = (data_of(size, 7) for size in (300, 5000, 6000, 7000, 900))
LARGE = data_of(2 * MEBIBYTE, 7)


class Shared(Contract):
    """What holds for locations on a disk, which processes share and which outlive them."""

    memory = 64 * MEBIBYTE
    """What a process may need for a value of any size."""

    # The journal

    @pytest.mark.parametrize("name", ["*.dat", "store", "manifest"])
    def test_a_damaged_journal_hides_no_value(self, make: Make, home: Path, name: str) -> None:
        place = make()
        place.write(b"a", b"value", labels=["one"])
        place.write(b"b", b"other")
        place.touch(b"b")
        place.close()
        (journal,) = (path for path in home.rglob("journal") if path.is_dir())
        files = [path for path in journal.rglob("*") if path.is_file()]
        damaged = [path for path in files if name in path.relative_to(journal).parts or path.match(name)]
        assert damaged
        for path in damaged:
            content = bytearray(path.read_bytes())
            for at in range(0, len(content), 7):
                content[at] ^= 0x5A
            path.write_bytes(content)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", errors.PipeWarning)
            again = make()
            assert {content.key: content.size for content in again.contents()} == {b"a": 5, b"b": 5}
            assert dict(again.read_batch([b"a", b"b"])) == {b"a": b"value", b"b": b"other"}
            assert labels_of(again, b"a") <= {"one"}
            assert again.write(b"c", b"new") is True
            assert again.delete(b"a") is True
            assert keys_of(again) == [b"b", b"c"]

    # Processes

    def test_a_place_is_still_there_when_its_processes_ended(self, make: Make, home: Path) -> None:
        def work(tell: Tell) -> None:
            place = self.location(home)
            place.write(b"a", b"value", labels=["one"])
            place.write(b"large", LARGE)
            place.close()

        in_processes([work])
        place = make()
        assert (place.read_bytes(b"a"), labels_of(place, b"a")) == (b"value", {"one"})
        assert place.read_bytes(b"large") == LARGE

    def test_what_was_written_is_seen_at_once_by_others(self, make: Make, home: Path) -> None:
        place = make()
        place.write(b"a", b"value", labels=["one"])

        def work(tell: Tell) -> None:
            other = self.location(home)
            assert other.read_bytes(b"a") == b"value"
            assert labels_of(other, b"a") == {"one"}
            other.write(b"b", b"another", labels=["two"])
            other.write(b"a", b"value", labels=["three"])
            tell("written")
            os.kill(os.getpid(), signal.SIGKILL)

        assert in_processes([work]) == [["written"]]
        assert (place.read_bytes(b"b"), labels_of(place, b"b")) == (b"another", {"two"})
        assert labels_of(place, b"a") == {"one", "three"}

    @pytest.mark.parametrize("fresh", [True, False], ids=["a new object for each value", "an object for all"])
    def test_processes_write_the_same_and_other_keys(self, make: Make, home: Path, fresh: bool) -> None:
        def work(tell: Tell, number: int) -> None:
            place = self.location(home)
            for turn in range(25):
                if fresh:
                    place.close()
                    place = self.location(home)
                assert place.write(b"same/%d" % turn, data_of(500, turn), labels=[str(number)]) is True
                assert place.write(b"own/%d/%d" % (number, turn), b"%d %d" % (number, turn)) is True
                assert place.read_bytes(b"own/%d/%d" % (number, turn)) == b"%d %d" % (number, turn)
            place.close()

        in_processes([lambda tell, number=number: work(tell, number) for number in range(4)])
        place = make()
        assert len(keys_of(place, b"own/")) == 100
        assert len(keys_of(place, b"same/")) == 25
        for turn in range(25):
            assert place.read_bytes(b"same/%d" % turn) == data_of(500, turn)
            assert labels_of(place, b"same/%d" % turn) == set("0123")

    def test_of_processes_that_write_other_contents_one_wins(self, make: Make, home: Path) -> None:
        def work(tell: Tell, number: int) -> None:
            place = self.location(home)
            for turn in range(20):
                try:
                    place.write(b"%d" % turn, b"%d" % number)
                except errors.CollisionError:
                    continue
                tell(f"{turn} {number}")

        told = in_processes([lambda tell, number=number: work(tell, number) for number in range(4)])
        won = [line.split() for lines in told for line in lines]
        assert sorted(int(turn) for turn, _ in won) == list(range(20))
        place = make()
        for turn, number in won:
            assert place.read_bytes(turn.encode()) == number.encode()

    @pytest.mark.parametrize("size", [1000, 2 * MEBIBYTE])
    def test_processes_write_read_and_delete_one_key(self, make: Make, home: Path, size: int) -> None:
        values = [data_of(size, number) for number in range(3)]

        def work(tell: Tell, number: int) -> None:
            place = self.location(home)
            for _ in range(40 if size < MEBIBYTE else 8):
                assert place.write(b"a/b", values[number], overwrite=True) is True
                assert place.read_bytes(b"a/b") in (None, *values)
                place.touch(b"a/b")
                assert keys_of(place) in ([], [b"a/b"])
                if number == 0:
                    place.delete(b"a/b")
            place.close()

        in_processes([lambda tell, number=number: work(tell, number) for number in range(3)])
        place = make()
        assert place.read_bytes(b"a/b") in (None, *values)
        place.delete(b"a/b")
        assert keys_of(place) == []

    def test_a_place_is_used_on_both_sides_of_a_fork(self, place: Location) -> None:
        place.write(b"before", b"value", labels=["before"])

        def work(who: str) -> None:
            assert place.read_bytes(b"before") == b"value"
            for turn in range(20):
                place.write(b"%s %d" % (who.encode(), turn), who.encode())
                place.write(b"before", b"value", labels=[f"{who} {turn}"])

        children = [Child(lambda tell, who=who: work(who)) for who in ("one", "two")]
        work("parent")
        for child in children:
            child.end()
        names = ("one", "two", "parent")
        assert len(keys_of(place)) == 61
        assert all(place.read_bytes(f"{who} {turn}".encode()) == who.encode() for who in names for turn in range(20))
        assert labels_of(place, b"before") == {"before", *(f"{who} {turn}" for who in names for turn in range(20))}

    # kill -9

    def test_a_killed_writer_leaves_whole_values_only(self, make: Make, home: Path) -> None:
        random = Random(1)

        def value_of(number: int) -> bytes:
            return data_of(SIZES[number % len(SIZES)], number)

        acknowledged: set[int] = set()
        number = 0
        for _ in range(4):

            def work(tell: Tell, begin: int = number) -> None:
                place = self.location(home)
                tell("ready")
                for number in range(begin, begin + 10_000):
                    tell(f"begins {number}")
                    assert place.write(b"folder/%d" % number, Stream(value_of(number)), labels=["label"]) is True
                    tell(f"wrote {number}")

            child = Child(work)
            time.sleep(0.1 + random.random() / 4)
            child.kill()
            lines = [line.split() for line in child.end()]
            assert child.killed
            begun = [int(line[1]) for line in lines if line[0] == "begins"]
            written = {int(line[1]) for line in lines if line[0] == "wrote"}
            acknowledged |= written
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", errors.PipeWarning)  # of what the killed process left
                place = make()
                for one in begun:
                    got = place.read_bytes(b"folder/%d" % one)
                    assert got == value_of(one) or (got is None and one not in written)
                    if one in written:
                        assert labels_of(place, b"folder/%d" % one) == {"label"}
                for one in set(begun) - written:
                    assert place.write(b"folder/%d" % one, value_of(one)) is True
                    acknowledged.add(one)
                assert set(keys_of(place)) == {b"folder/%d" % one for one in acknowledged}
                place.close()
            number = max([number, *(one + 1 for one in begun)])
        assert len(acknowledged) > 0

    @pytest.mark.parametrize("part", [None, 0.5], ids=["at each call", "within each write"])
    def test_a_process_killed_at_any_call_leaves_each_value_as_it_was_or_will_be(
        self, home: Path, tmp_path: Path, part: float | None
    ) -> None:
        prepared = self.location(home)
        for key, value in {b"d/kept": KEPT, b"d/old": OLD, b"d/gone": GONE}.items():
            prepared.write(key, value, labels=["before"])
        prepared.close()
        allowed = {
            b"d/kept": (KEPT,),
            b"d/old": (OLD, OTHER),
            b"d/gone": (GONE, None),
            b"d/new": (None, NEW),
            b"e/large": (None, LARGE),
        }
        last = {key: values[-1] for key, values in allowed.items()}

        def calls(folder: Path, which: int | None) -> list[str]:
            def work(tell: Tell) -> None:
                place = self.location(folder)
                kill = Kill(which, part)
                kill.install()
                place.write(b"d/new", Stream(NEW), labels=["after"])
                place.write(b"d/old", OTHER, labels=["after"], overwrite=True)
                place.delete(b"d/gone")
                place.write(b"e/large", LARGE)
                place.close()
                tell(" ".join(kill.calls))

            return Child(work).end()

        shutil.copytree(home, tmp_path / "whole")
        made = calls(tmp_path / "whole", None)[0].split()
        chosen = [number for number, call in enumerate(made) if part is None or call.startswith("write")]
        if len(chosen) > 40:
            chosen = sorted(Random(1).sample(chosen, 40))
        assert len(chosen) > 3
        for which in chosen:
            folder = tmp_path / f"killed at {which}"
            shutil.copytree(home, folder)
            assert calls(folder, which) == [], f"was not killed at {which}"
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", errors.PipeWarning)  # of what the killed process left
                place = self.location(folder)
                found = {key: place.read_bytes(key) for key in allowed}
                for key, values in allowed.items():
                    assert found[key] in values, (which, made[which], key)
                sizes = {content.key: content.size for content in place.contents()}
                assert sizes == {key: len(value) for key, value in found.items() if value is not None}
                for key, value in found.items():
                    if value is not None:
                        assert labels_of(place, key) <= {"before", "after"}
                # And the work is done again by somebody else.
                for key, value in last.items():
                    if value is None:
                        place.delete(key)
                    else:
                        assert place.write(key, value, labels=["again"], overwrite=True) is True
                assert {key: place.read_bytes(key) for key in allowed} == last
                assert keys_of(place) == sorted(key for key, value in last.items() if value is not None)
                assert all("again" in content.labels for content in place.contents())
                place.close()
            shutil.rmtree(folder)

    # A full disk

    def test_a_full_disk_is_an_error_and_leaves_whole_values(self, tmp_path: Path) -> None:
        with small_disk(tmp_path / "disk"), warnings.catch_warnings():
            warnings.simplefilter("ignore", errors.PipeWarning)  # of the block for which there was no room
            home = tmp_path / "disk" / "place"
            filler = tmp_path / "disk" / "filler"
            filler.write_bytes(bytes(300_000))
            with self.location(home) as place:
                values: dict[bytes, bytes] = {}
                labels = {}
                for number in range(1000):
                    key, value = b"folder/%d" % number, data_of(20_000 + number)
                    try:
                        place.write(key, value, labels=["one"])
                    except errors.StorageError as error:
                        assert error.errno == errno.ENOSPC
                        break
                    values[key] = value
                    labels[key] = {"one"}
                else:
                    raise AssertionError("the disk was never full")
                assert len(values) > 3
                # The value may be there, whole, when there was no room left for its labels.
                assert place.read_bytes(key) in (None, value)
                for large in (data_of(900_000), Stream(data_of(2 * MEBIBYTE))):
                    with pytest.raises(errors.StorageError) as raised:
                        place.write(b"large", large)
                    assert raised.value.errno == errno.ENOSPC
                    assert place.read_bytes(b"large") is None
                with pytest.raises(errors.StorageError):
                    place.write(b"folder/0", data_of(900_000), labels=["two"], overwrite=True)
                assert {one: place.read_bytes(one) for one in values} == values
                assert {one: labels_of(place, one) for one in values} == labels
                filler.unlink()
                assert place.write(key, value, labels=["now"]) is True
                assert (place.read_bytes(key), labels_of(place, key)) in ((value, {"now"}), (value, {"one", "now"}))
                assert place.write(b"folder/0", b"other", labels=["two"], overwrite=True) is True
                assert labels_of(place, b"folder/0") == {"two"}
                values.update({key: value, b"folder/0": b"other"})
            with self.location(home) as place:
                assert {one: place.read_bytes(one) for one in values} == values
                assert keys_of(place) == sorted(values)

    # Large values

    @pytest.mark.skipif(
        not os.path.exists("/proc/self/statm"), reason="the system does not tell how much memory is used"
    )
    def test_a_value_larger_than_the_memory_is_streamed(self, home: Path) -> None:
        size = 300 * MEBIBYTE + 12_345

        def work(tell: Tell) -> None:
            place = self.location(home)
            place.write(b"small", b"value")
            limit_memory(self.memory)
            assert place.write(b"large", Generated(size)) is True
            assert content_of(place, b"large").size == size
            with place.read(b"large") as value, opened(value) as stream:
                assert is_generated(stream, size)
            assert place.read_range(b"large", 200 * MEBIBYTE, 200 * MEBIBYTE + 8) == b"%8d" % 200
            assert place.write(b"large", Generated(size), labels=["again"]) is True
            with pytest.raises(errors.CollisionError):
                place.write(b"large", Generated(size - 1))
            with place.read(b"large") as value:
                assert place.write(b"copy", value) is True
            place.close()

        in_processes([work])
        with self.location(home) as place:
            assert labels_of(place, b"large") == {"again"}
            assert place.read_range(b"copy", size - 1, size + 5) == place.read_range(b"large", size - 1, size)
            assert place.delete(b"copy") is True
            assert place.delete(b"large") is True
        left = sum(path.stat().st_blocks * 512 for path in home.rglob("*") if path.is_file())
        assert left < 10 * MEBIBYTE

    @pytest.mark.skipif(os.environ.get("CI") != "true", reason="it writes 4 GiB")
    @pytest.mark.timeout(120)
    def test_a_value_of_more_than_two_gibibytes_is_whole(self, home: Path, tmp_path: Path) -> None:
        size = (2 << 30) + 100
        if shutil.disk_usage(tmp_path).free < 4 * size:
            pytest.skip("there is no room for it")
        origin = tmp_path / "sparse"
        marks = {0: b"begin", (1 << 31) - 2: b"middle", size - 3: b"end"}
        with origin.open("wb") as file:
            file.truncate(size)
            for at, mark in marks.items():
                file.seek(at)
                file.write(mark)
        with self.location(home) as place:
            assert place.write(b"a", origin) is True
            assert content_of(place, b"a").size == size
            for at, mark in marks.items():
                assert place.read_range(b"a", at, at + len(mark)) == mark
            assert place.read_range(b"a", size - 3, size + 100) == b"end"
            assert place.delete(b"a") is True
