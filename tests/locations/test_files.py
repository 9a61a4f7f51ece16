"""Values in a tree of named files."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest
from durability.children import Child
from folders import contents as files_of

from smartpipe import errors
from smartpipe.locations import Files, Location

from .contract import Shared, Tell, data_of, keys_of, labels_of

TREE = {
    b"flow/artifacts/00ff.gz": b"\x1f\x8b...",
    b"flow/archives/run/layer/0/name.json": b"{}",
    b"flow/.cache/run/layer/name.json": b"",
    b".hidden": b"hidden",
    b"not \xff utf-8/\xfe": b"bytes",
    b"a\nline": b"line",
    b"deeper/.smartpipe/x": b"no folder of ours",
}


def plant(root: Path) -> None:
    for key, value in TREE.items():
        path = os.path.join(os.fsencode(root), key)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as file:
            file.write(value)


class TestFiles(Shared):
    def location(self, home: Path, **options: Any) -> Location:
        return Files(home, **options)

    def test_a_tree_that_is_there_is_read_as_it_is(self, place: Location, home: Path) -> None:
        plant(home)
        (home / "empty" / "folders").mkdir(parents=True)
        os.utime(home / ".hidden", (5, 1_000_000_000))
        assert {key: place.read_bytes(key) for key in TREE} == TREE
        assert dict(place.read_batch(TREE)) == TREE
        found = {content.key: content for content in place.contents()}
        assert sorted(found) == sorted(TREE)
        assert {key: content.size for key, content in found.items()} == {key: len(data) for key, data in TREE.items()}
        assert found[b".hidden"].last_used == 1_000_000_000
        assert all(content.labels == frozenset() for content in found.values())
        with place.read(b".hidden", return_labels=True) as (value, labels):
            assert value == home / ".hidden"
            assert labels == frozenset()
        assert files_of(home) == TREE, "reading wrote something"
        assert not (home / ".smartpipe").exists()
        assert keys_of(place, b"flow/ar") == sorted(key for key in TREE if key.startswith(b"flow/ar"))

    def test_a_tree_that_is_there_is_written_to(self, place: Location, home: Path) -> None:
        plant(home)
        assert place.write(b".hidden", b"hidden", labels=["one"]) is True
        with pytest.raises(errors.CollisionError):
            place.write(b"a\nline", b"other")
        assert place.write(b"a\nline", b"other", overwrite=True) is True
        assert place.delete(b"flow/artifacts/00ff.gz") is True
        assert not (home / "flow" / "artifacts" / "00ff.gz").exists()
        assert (home / "flow" / "archives").exists()
        assert labels_of(place, b".hidden") == {"one"}
        assert (home / ".hidden").read_bytes() == b"hidden"
        assert keys_of(place) == sorted(set(TREE) - {b"flow/artifacts/00ff.gz"})

    def test_each_value_is_the_file_of_its_name_and_nothing_else_is_there(self, place: Location, home: Path) -> None:
        for key, value in TREE.items():
            place.write(key, value)
        assert files_of(home) == TREE

    def test_no_value_takes_files_of_its_own_for_labels_and_use(self, place: Location, home: Path) -> None:
        for number in range(200):
            place.write(b"%d" % number, b"value", labels=[str(number), "all"])
            place.touch(b"%d" % number)
        own = [path for path in (home / ".smartpipe").rglob("*") if path.is_file()]
        assert len(own) < 20
        assert len(files_of(home)) == 200 + len(own)

    def test_a_value_that_was_removed_by_others_is_a_miss(self, place: Location, home: Path) -> None:
        place.write(b"a/b", b"value", labels=["one"])
        (home / "a" / "b").unlink()
        assert place.read_bytes(b"a/b") is None
        assert place.touch(b"a/b") is False
        assert place.delete(b"a/b") is False
        assert keys_of(place) == []
        assert place.write(b"a/b", b"value") is True

    def test_a_folder_is_no_value(self, place: Location, home: Path) -> None:
        (home / "folder").mkdir(parents=True)
        assert place.read_bytes(b"folder") is None
        assert place.delete(b"folder") is False
        assert place.touch(b"folder") is False
        assert (home / "folder").exists()

    @pytest.mark.parametrize("target", ["outside", "inside"])
    def test_links_are_not_followed(self, place: Location, home: Path, tmp_path: Path, target: str) -> None:
        home.mkdir()
        there = tmp_path / "there" if target == "outside" else home / "there"
        there.mkdir()
        (there / "x").write_bytes(b"somebody else's")
        (home / "file").symlink_to(there / "x")
        (home / "folder").symlink_to(there, target_is_directory=True)
        (home / "deep").mkdir()
        (home / "deep" / "folder").symlink_to(there, target_is_directory=True)
        (home / "nowhere").symlink_to(there / "nowhere")
        (home / "round").symlink_to(home / "round")
        own = [] if target == "outside" else [b"there/x"]
        assert keys_of(place) == own
        for key in (b"file", b"folder", b"folder/x", b"deep/folder/x", b"nowhere", b"round", b"round/x"):
            assert place.read_bytes(key) is None
            assert place.read_range(key, 0, 1) is None
            assert place.touch(key) is False
            assert place.delete(key) is False
            assert list(place.contents(key)) == []
            assert list(place.contents(key + b"/")) == []
        for key in (b"folder/x", b"folder/new", b"deep/folder/new", b"round/x", b"nowhere/x"):
            for overwrite in (False, True):
                with pytest.raises(errors.SmartPipeError):
                    place.write(key, b"mine", overwrite=overwrite)
        assert files_of(there) == {b"x": b"somebody else's"}
        assert keys_of(place) == own
        assert not (there / "nowhere").exists()

    @pytest.mark.parametrize("value", [b"mine", b"somebody else's"])
    @pytest.mark.parametrize("overwrite", [False, True])
    @pytest.mark.parametrize("name", ["file", "nowhere", "round"])
    def test_a_link_in_the_place_of_a_value_is_replaced_or_an_error(
        self, place: Location, home: Path, tmp_path: Path, name: str, overwrite: bool, value: bytes
    ) -> None:
        home.mkdir()
        (tmp_path / "x").write_bytes(b"somebody else's")
        (home / "file").symlink_to(tmp_path / "x")
        (home / "nowhere").symlink_to(tmp_path / "y")
        (home / "round").symlink_to(home / "round")
        try:
            assert place.write(name.encode(), value, overwrite=overwrite) is True
        except errors.SmartPipeError:
            assert place.read_bytes(name.encode()) is None
        else:
            assert place.read_bytes(name.encode()) == value
        assert (tmp_path / "x").read_bytes() == b"somebody else's"
        assert not (tmp_path / "y").exists()

    def test_the_root_may_be_a_link(self, home: Path, tmp_path: Path) -> None:
        (tmp_path / "real").mkdir()
        home.symlink_to(tmp_path / "real", target_is_directory=True)
        with Files(home) as place:
            assert place.write(b"a/b", b"value") is True
            assert place.read_bytes(b"a/b") == b"value"
            assert keys_of(place) == [b"a/b"]
        assert (tmp_path / "real" / "a" / "b").read_bytes() == b"value"

    @pytest.mark.parametrize("overwrite", [False, True])
    def test_a_file_that_is_no_regular_one_is_no_value(self, place: Location, home: Path, overwrite: bool) -> None:
        home.mkdir()
        os.mkfifo(home / "pipe")
        assert place.read_bytes(b"pipe") is None
        assert place.delete(b"pipe") is False
        assert keys_of(place) == []

        def work(tell: Tell) -> None:
            signal.alarm(10)
            try:
                place.write(b"pipe", b"value", overwrite=overwrite)
            except errors.SmartPipeError:
                assert place.read_bytes(b"pipe") is None
            else:
                assert place.read_bytes(b"pipe") == b"value"

        Child(work).end()

    def test_what_a_killed_process_left_aside_is_removed_later(self, make: Any, home: Path) -> None:
        def work(tell: Tell) -> None:
            class Killing:
                def __init__(self) -> None:
                    self.parts = [b"part"]

                def read(self, size: int = -1) -> bytes:
                    if not self.parts:
                        os.kill(os.getpid(), signal.SIGKILL)
                    return self.parts.pop()

            Files(home).write(b"a", Killing())  # type: ignore[arg-type]

        child = Child(work)
        child.end()
        assert child.killed
        left = [path for path in home.rglob("*") if path.is_file()]
        assert [path.read_bytes() for path in left] == [b"part"]
        place = make()
        assert keys_of(place) == []
        place.write(b"b", b"value")
        assert left[0].exists(), "it may be one that is still written"
        os.utime(left[0], (time.time() - 100_000,) * 2)
        make().write(b"c", b"value")
        assert files_of(home) == {b"b": b"value", b"c": b"value"}

    def test_a_file_that_is_taken_away_while_it_is_written_is_an_error(self, place: Location, home: Path) -> None:
        class Stream:
            def __init__(self) -> None:
                self.parts = [b"", b"one", b"two"]

            def read(self, size: int = -1) -> bytes:
                if len(self.parts) == 1:
                    for path in home.rglob("*"):
                        if path.is_file():
                            path.unlink()
                return self.parts.pop()

        def work(tell: Tell) -> None:
            signal.alarm(10)
            with pytest.raises(errors.SmartPipeError):
                place.write(b"a", Stream())  # type: ignore[arg-type]
            assert keys_of(place) == []

        Child(work).end()

    def test_a_value_on_the_disk_is_written_with_sync(self, home: Path) -> None:
        with Files(home, sync=True) as place:
            assert place.write(b"a/b", data_of(100_000)) is True
            assert place.read_bytes(b"a/b") == data_of(100_000)
        assert Files(home, sync=True) != Files(home)

    def test_processes_that_begin_to_write_at_once_do_not_disturb_each_other(self, home: Path) -> None:
        """Each looks first for what killed ones left, and meets what the others are just writing."""
        for round_ in range(10):

            def work(tell: Tell, round_: int = round_) -> None:
                for number in range(30):
                    assert Files(home).write(b"%d/%d/%d" % (round_, os.getpid(), number), b"value") is True

            for child in [Child(work) for _ in range(4)]:
                child.end()
        assert len(keys_of(Files(home))) == 10 * 4 * 30

    def test_what_is_removed_while_it_is_read_is_a_miss(self, home: Path) -> None:
        class Late(Files):
            """Another process removes a value after it was looked for, and before it is opened."""

            def _leads_away(self, path: str) -> bool:
                Path(path).unlink(missing_ok=True)
                return super()._leads_away(path)

        place = Late(home)
        for read in (
            place.read_bytes,
            lambda key: place.read_range(key, 0, 1),
            lambda key: dict(place.read_batch([key]))[key],
        ):
            Files(home).write(b"a", b"value")
            assert read(b"a") is None

    def test_the_same_root_may_be_told_in_other_ways(self, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        home.mkdir()
        monkeypatch.chdir(home.parent)
        same = {Files(home), Files(str(home)), Files("place"), Files("./place/"), Files(home / ".." / "place")}
        assert len(same) == 1
