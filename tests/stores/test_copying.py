"""Copying a store of artifacts to another location: nothing lost, nothing torn, beside others. Issue 6, point 3."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import pickle
import time
import tracemalloc
import warnings
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from io import BytesIO
from pathlib import Path
from threading import Event, Thread, get_ident
from typing import Any

import pytest
from durability.children import Child
from folders import contents as tree_of
from folders import small_disk

from smartpipe import errors
from smartpipe.locations import Content, Files, Location, Memory, Shards
from smartpipe.stores import Archive, ArtifactStore

from .places import MAKE, contents

RUN = {"flow": "F", "execution": "1", "layer": "L"}
COMBINED = b"F/.cache/1/L/x.json"
RECORD = b"F/.cache/1/L/.record.json"


@pytest.fixture(params=MAKE)
def target(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Location]:
    (tmp_path / "target").mkdir()
    with MAKE[request.param](tmp_path / "target") as place:
        yield place


def archive_key(index: int, name: str = "x") -> bytes:
    return f"F/archives/1/L/{index}/{name}.json".encode()


def artifact_key(value: object) -> bytes:
    return f"F/artifacts/{hashlib.sha256(pickle.dumps(value, 5)).hexdigest()}.gz".encode()


def write(place: Location, index: int, *values: object, name: str = "x") -> Archive:
    return ArtifactStore(place).write(**RUN, index=index, name=name, values=values)


def values(place: Location) -> list[Any]:
    return list(ArtifactStore(place).read(**RUN, name="x"))


def fill(place: Location) -> None:
    """A store with everything in it, and what is nothing of a store."""
    for index in range(3):
        write(place, index, f"value {index}", "same", b"")
    assert len(values(place)) == 9  # makes the combined archive
    write(place, 0, 42, name="one")
    ArtifactStore(place).write_record(**RUN, splits=3)
    write(place, 1, "nobody names it", name="dropped")
    place.delete(archive_key(1, "dropped"))
    place.write(b"README", b"of somebody else", labels=["by hand", "kept"])
    place.write(archive_key(0, "one"), place.read_bytes(archive_key(0, "one")) or b"", labels=["first"])
    place.write(b"F/archives/1/L/01/x.json", b"[]")
    place.write(b"F/archives/1/L/7/x.json", b"{")
    place.write(b"F/.cache/1/M/x.json", json.dumps({"artifacts": []}).encode())
    place.write(b"G/empty", b"")
    place.write(b"G/large", os.urandom(3 << 20))


def labels(place: Location) -> dict[bytes, list[str]]:
    return {content.key: sorted(content.labels) for content in place.contents() if content.labels}


# Nothing is lost


def test_everything_is_copied_between_any_two_places(location: Location, target: Location) -> None:
    fill(location)
    expected = contents(location)
    report = ArtifactStore(location).copy_to(target)
    assert contents(target) == expected == contents(location)
    assert labels(target) == {b"README": ["by hand", "kept"], archive_key(0, "one"): ["first"]}
    assert (report.artifacts, report.archives, report.combined, report.records) == (7, 5, 2, 1)
    assert (report.others, report.failed, report.gone, report.left) == (4, 0, [], [])
    assert report.values == len(expected)
    assert report.bytes == sum(len(value or b"") for value in expected.values())


def test_a_tree_packed_and_unpacked_is_the_same_tree(tmp_path: Path) -> None:
    root = os.fsencode(tmp_path / "tree")
    data = pickle.dumps(["a value"])
    digest = hashlib.sha256(data).hexdigest()
    files = {
        f"Crawl/artifacts/{digest}.gz".encode(): gzip.compress(data, 1, mtime=7),
        b"Crawl/archives/1/Parse/0/pages.json": json.dumps({"artifacts": [{"hexdigest": digest}]}).encode(),
        b"Crawl/.cache/1/Parse/.record.json": b'{"flow": {"name": "Crawl"}, "layer": {"name": "Parse"}}',
        b"Crawl/.cache/1/Parse/pages.json": json.dumps({"artifacts": [{"hexdigest": digest}]}).encode() + b"\n",
        b"Crawl/artifacts/README": b"",
        b"no \xff utf-8/\n.\\": b"\x00\xff",
        b"store": b"a file of this name",
        b".hidden": b"h",
        b"large": os.urandom(2_500_000),
        b"deep/" * 40 + b"file": b"d",
        b"n" * 255: b"long",
    }
    for name, content in files.items():
        path = os.path.join(root, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as file:
            file.write(content)
    with Shards(tmp_path / "packed", large=1 << 20) as packed:
        ArtifactStore(Files(tmp_path / "tree")).copy_to(packed)
    assert tree_of(tmp_path / "tree") == files  # nothing is added to what is only read
    with Shards(tmp_path / "packed", large=1 << 20, mode="r") as packed:
        ArtifactStore(packed).copy_to(Files(tmp_path / "back"))
    found = tree_of(tmp_path / "back")
    assert {name: content for name, content in found.items() if not name.startswith(b".smartpipe/")} == files


def test_links_and_what_is_no_file_are_told_of(tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "secret").write_bytes(b"secret")
    tree = tmp_path / "tree"
    (tree / "empty" / "folder").mkdir(parents=True)
    (tree / "file").write_bytes(b"file")
    (tree / "link").symlink_to(tmp_path / "outside" / "secret")
    (tree / "empty" / "away").symlink_to(tmp_path / "outside")
    (tree / "nowhere").symlink_to("nothing")
    os.mkfifo(tree / "pipe")
    target = Memory()
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        ArtifactStore(Files(tree)).copy_to(target)
    assert contents(target) == {b"file": b"file"}
    assert [warning.category for warning in told] == [errors.PipeWarning] * 4
    left_out = sorted(str(warning.message).partition(":")[0] for warning in told)
    assert left_out == sorted(str(tree / name) for name in ("link", "empty/away", "nowhere", "pipe"))


def test_large_values_are_copied_in_parts(tmp_path: Path) -> None:
    source, packed, back = Files(tmp_path / "a"), Shards(tmp_path / "b", large=1 << 20), Files(tmp_path / "c")
    part = os.urandom(1 << 20)
    (tmp_path / "a" / "below").mkdir(parents=True)
    (tmp_path / "a" / "small").write_bytes(b"small")
    with open(tmp_path / "a" / "below" / "large", "wb") as file:
        file.writelines([part] * 48)
    tracemalloc.start()
    try:
        ArtifactStore(source).copy_to(packed)
        ArtifactStore(packed).copy_to(back)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert (tmp_path / "c" / "below" / "large").read_bytes() == part * 48
    assert peak < 16 << 20
    packed.close()


def test_a_slow_source_is_read_by_several_threads(target: Location, tmp_path: Path) -> None:
    readers: set[int] = set()

    class Slow(Memory):
        def _read_batch(self, keys: list[bytes]) -> Iterator[tuple[bytes, bytes | None]]:
            readers.add(get_ident())
            time.sleep(0.0002 * len(keys))
            for key in keys:
                if key == b"900":
                    raise errors.CorruptError("damaged", path="slow", block=key)
                yield from super()._read_batch([key])

        def _open(self, key: bytes) -> Any:
            if key == b"900":
                raise errors.StorageError("damaged", path="slow", number=5)
            return super()._open(key)

    source, plain = Slow(str(tmp_path)), Memory(str(tmp_path))
    for number in range(1500):
        source.write(b"%d" % number, b"%d" % number * 2000)  # of which several batches are made
    for index in range(2):
        write(source, index, f"value {index}")
    failed: list[errors.SmartPipeError] = []
    report = ArtifactStore(source).copy_to(target, on_error=failed.append)
    assert len(readers) > 2
    assert [str(error) for error in failed] == ["slow: damaged"] and report.failed == 1
    assert contents(target) == {key: value for key, value in contents(plain).items() if key != b"900"}


# What is there


def test_run_again_it_writes_nothing(target: Location, tmp_path: Path) -> None:
    source = Memory()
    fill(source)
    ArtifactStore(source).copy_to(target)
    before = {content.key: (content.size, content.last_used) for content in target.contents() if not content.labels}
    expected = contents(target)
    report = ArtifactStore(source).copy_to(target)
    assert report.values == len(expected) and report.failed == 0
    assert contents(target) == expected
    if not isinstance(target, Memory):  # it notes each write
        after = {content.key: (content.size, content.last_used) for content in target.contents() if not content.labels}
        assert after == before


def test_another_content_under_a_key(location: Location, target: Location) -> None:
    write(location, 0, "new")
    write(target, 0, "old")
    location.write(b"README", b"new")
    target.write(b"README", b"old", labels=["old"])
    location.write(b"more", b"more")
    with pytest.raises(errors.CollisionError):
        ArtifactStore(location).copy_to(target)
    failed: list[errors.SmartPipeError] = []
    report = ArtifactStore(location).copy_to(target, on_error=failed.append)
    assert sorted(error.block or b"" for error in failed) == [archive_key(0), b"README"]
    assert {type(error) for error in failed} == {errors.CollisionError}
    assert report.failed == 2
    assert ArtifactStore(target).read(**RUN, name="x") == "old"
    assert (target.read_bytes(b"README"), target.read_bytes(b"more")) == (b"old", b"more")
    assert ArtifactStore(location).copy_to(target, on_error="skip").failed == 2
    assert ArtifactStore(location).copy_to(target, overwrite=True).failed == 0
    assert ArtifactStore(target).read(**RUN, name="x") == "new"
    assert target.read_bytes(b"README") == b"new"
    assert target.read_bytes(artifact_key("old")) is not None


@pytest.mark.parametrize("overwrite", [False, True])
def test_an_artifact_that_is_packed_in_another_way_is_the_same(
    location: Location, target: Location, overwrite: bool
) -> None:
    key = artifact_key("value " * 100)
    data = pickle.dumps("value " * 100, 5)
    ours, theirs = gzip.compress(data, 9, mtime=1), gzip.compress(data, 1, mtime=2)
    location.write(key, ours, labels=["ours"])
    write(location, 0, "value " * 100)
    target.write(key, theirs, labels=["theirs"])
    report = ArtifactStore(location).copy_to(target, overwrite=overwrite)
    assert (report.failed, report.artifacts) == (0, 1)
    assert target.read_bytes(key) == theirs
    assert labels(target) == {key: ["ours", "theirs"]}
    assert ArtifactStore(target).read(**RUN, name="x") == "value " * 100


def test_a_damaged_artifact_is_replaced_and_never_a_whole_one(location: Location, target: Location) -> None:
    write(location, 0, "a", "b")
    write(target, 0, "a", "b")
    whole = contents(location)
    target.write(artifact_key("a"), gzip.compress(b"damaged"), overwrite=True)
    location.write(artifact_key("b"), b"damaged", overwrite=True)
    for overwrite in (False, True):
        report = ArtifactStore(location).copy_to(target, overwrite=overwrite)
        assert report.failed == 0
        assert values(target) == ["a", "b"]
    assert target.read_bytes(artifact_key("a")) == whole[artifact_key("a")]
    # Where both are damaged nobody knows which is better.
    target.write(artifact_key("b"), b"damaged too", overwrite=True)
    with pytest.raises(errors.CollisionError):
        ArtifactStore(location).copy_to(target)
    ArtifactStore(location).copy_to(target, overwrite=True)
    assert target.read_bytes(artifact_key("b")) == b"damaged"


def test_what_a_target_refuses_is_an_error(tmp_path: Path) -> None:
    source = Memory()
    source.write(b"small", b"12345")
    source.write(b"large", b"123456")
    source.write(b"huge", bytes(2 << 20))
    for target in (Memory(max_size=5), Files(tmp_path / "a", max_size=5), Shards(tmp_path / "b", max_size=5)):
        failed: list[errors.SmartPipeError] = []
        report = ArtifactStore(source).copy_to(target, on_error=failed.append)
        assert sorted(error.block or b"" for error in failed) == [b"huge", b"large"]
        assert {type(error) for error in failed} == {errors.BlockTooLargeError}
        assert report.values == 1 and contents(target) == {b"small": b"12345"}
        target.close()


def test_keys_that_are_no_paths_are_errors_and_the_others_are_files(tmp_path: Path) -> None:
    source = Memory()
    bad = [b"", b"/etc/x", b"../x", b"a/../../x", b"a//b", b".", b"nul\0", b"n" * 256, b"file/below", b".smartpipe/x"]
    for key in [*bad, b"file", b"good/file"]:
        source.write(key, b"content")
    failed: list[errors.SmartPipeError] = []
    ArtifactStore(source).copy_to(Files(tmp_path / "in" / "root"), on_error=failed.append)
    assert {error.block for error in failed} <= {*bad, b"file"} and len(failed) == len(bad)
    assert {type(error) for error in failed} == {errors.FormatError}
    found = tree_of(tmp_path)
    names = {name for name in found if b"/.smartpipe/" not in name}
    assert names in ({b"in/root/file", b"in/root/good/file"}, {b"in/root/file/below", b"in/root/good/file"})


def test_a_place_is_not_copied_into_itself(tmp_path: Path) -> None:
    (tmp_path / "tree").mkdir()
    tree = Files(tmp_path / "tree")
    tree.write(b"a", b"a")
    (tmp_path / "link").symlink_to(tmp_path / "tree")
    for target in (Files(tmp_path / "tree"), Shards(tmp_path / "tree" / "below"), Files(tmp_path / "link" / "below")):
        with pytest.raises(ValueError, match="lies in"):
            ArtifactStore(tree).copy_to(target)
    assert sorted(tree_of(tmp_path / "tree")) == [b"a"]
    read_only = Shards(tmp_path / "elsewhere", mode="r")
    with pytest.raises(errors.UnsupportedError):
        ArtifactStore(tree).copy_to(read_only)
    with pytest.raises(ValueError, match="on_error"):
        ArtifactStore(tree).copy_to(Memory(), on_error="maybe")  # type: ignore[arg-type]


def test_progress_is_in_bytes(location: Location) -> None:
    fill(location)
    seen: list[tuple[int, int]] = []
    ArtifactStore(location).copy_to(Memory(), progress=lambda done, total: seen.append((done, total)))
    size = sum(len(value or b"") for value in contents(location).values())
    assert seen == sorted(seen) and seen[-1] == (size, size) and len(seen) > 3


# Combined archives


def test_a_combined_archive_that_is_stale_in_the_source_is_left_out(location: Location, target: Location) -> None:
    for index in range(2):
        write(location, index, f"old {index}")
    assert values(location) == ["old 0", "old 1"]
    stale = location.read_bytes(COMBINED) or b""
    write(location, 1, "new")
    location.write(COMBINED, stale)
    report = ArtifactStore(location).copy_to(target)
    assert (report.left, report.combined, report.failed) == ([COMBINED.decode()], 0, 0)
    assert target.read_bytes(COMBINED) is None
    assert values(target) == ["old 0", "new"]


def test_a_rerun_is_not_read_from_the_combined_archive_in_the_target(location: Location, target: Location) -> None:
    for index in range(2):
        write(location, index, f"old {index}")
    assert values(location) == ["old 0", "old 1"]
    ArtifactStore(location).copy_to(target)
    assert target.read_bytes(COMBINED) is not None
    write(location, 1, "new")  # removes the combined archive, so that there is none to copy
    ArtifactStore(location).copy_to(target, overwrite=True)
    assert values(target) == ["old 0", "new"]


def test_a_stale_combined_archive_does_not_stay_in_the_target(location: Location, target: Location) -> None:
    for index in range(2):
        write(location, index, f"old {index}")
    assert values(location) == ["old 0", "old 1"]
    stale = location.read_bytes(COMBINED) or b""
    write(location, 1, "new")
    target.write(COMBINED, stale)  # by something that does not know better
    target.write(b"F/.cache/1/M/x.json", stale)
    for _ in range(2):
        ArtifactStore(location).copy_to(target)
        assert target.read_bytes(COMBINED) is None and target.read_bytes(b"F/.cache/1/M/x.json") is None
        target.write(COMBINED, stale)  # and once more, where the archives are there
    ArtifactStore(location).copy_to(target)
    assert values(target) == ["old 0", "new"]


def test_a_combined_archive_with_impossible_indexes_is_stale(location: Location, target: Location) -> None:
    write(location, 0, "a")
    for wrong in ([-1], [10**30]):
        location.write(COMBINED, json.dumps({"artifacts": [], "combined": wrong}).encode(), overwrite=True)
        assert [problem.key for problem in ArtifactStore(location).verify().problems] == [COMBINED.decode()]
        assert ArtifactStore(location).copy_to(target).left == [COMBINED.decode()]
    assert COMBINED not in contents(target)


def test_what_is_no_combined_archive_is_copied_and_never_read(location: Location, target: Location) -> None:
    for index in range(2):
        write(location, index, index)
    location.write(COMBINED, json.dumps({"artifacts": [], "combined": "x"}).encode(), overwrite=True)
    assert ArtifactStore(location).copy_to(target).left == []
    assert target.read_bytes(COMBINED) == location.read_bytes(COMBINED)
    assert values(target) == [0, 1]


def test_what_is_only_read_is_verified_too(tmp_path: Path) -> None:
    with Shards(tmp_path / "a") as place:
        for index in range(2):
            write(place, index, f"old {index}")
        assert values(place) == ["old 0", "old 1"]
        stale = place.read_bytes(COMBINED) or b""
        with Shards(tmp_path / "a", mode="r") as read_only:
            assert ArtifactStore(read_only).verify().problems == []
        write(place, 1, "new")
        place.write(COMBINED, stale)
        with Shards(tmp_path / "a", mode="r") as read_only:
            assert [problem.key for problem in ArtifactStore(read_only).verify().problems] == [COMBINED.decode()]


# Archives and what they name


def test_an_archive_is_never_there_before_its_artifacts(location: Location) -> None:
    """Looked at with every change of the target, which is what a kill leaves."""

    class Watched(Memory):
        def look(self) -> None:
            found = contents(self)
            for key, data in found.items():
                if b"/archives/" in key and key.endswith(b"/x.json"):
                    names = [entry["hexdigest"] for entry in json.loads(data or b"")["artifacts"]]
                    assert all(f"F/artifacts/{name}.gz".encode() in found for name in names)
            if COMBINED in found:
                archives = [json.loads(found[archive_key(index)] or b"")["artifacts"] for index in range(3)]
                expected = [entry for archive in archives for entry in archive]
                assert json.loads(found[COMBINED] or b"")["artifacts"] == expected

        def _write(self, *arguments: Any) -> bool | None:
            written = super()._write(*arguments)
            self.look()
            return written

    for index in range(3):
        write(location, index, f"old {index}", "same")
    target = Watched()
    assert len(values(location)) == 6
    ArtifactStore(location).copy_to(target)
    assert values(target) == ["old 0", "same", "old 1", "same", "old 2", "same"]
    for index in range(3):
        write(location, index, f"new {index}", "same")
    assert len(values(location)) == 6
    ArtifactStore(location).copy_to(target, overwrite=True)
    assert values(target) == ["new 0", "same", "new 1", "same", "new 2", "same"]


class Rerun(Memory):
    """A place where, when all of it was listed once, something happens."""

    def __init__(self, happens: Callable[[Location], object]) -> None:
        super().__init__()
        self.happens = happens
        self.listings = 0

    def _contents(self, prefix: bytes) -> Iterator[Content]:
        listed = list(super()._contents(prefix))
        if prefix == b"":
            self.listings += 1
            if self.listings == 1:
                yield from listed
                self.happens(self)
                return
        yield from listed


def test_what_was_written_after_the_listing_is_copied_with_its_archive(target: Location) -> None:
    source = Rerun(lambda place: write(place, 0, "new", "newer"))
    write(source, 0, "old")
    report = ArtifactStore(source).copy_to(target)
    assert values(target) == ["new", "newer"]
    assert ArtifactStore(target).verify().ok
    assert (report.artifacts, report.failed, report.gone) == (3, 0, [])


def test_what_is_removed_meanwhile_is_told(target: Location) -> None:
    def happens(place: Location) -> None:
        ArtifactStore(place).delete_execution(flow="F", execution="1")
        ArtifactStore(place).gc(grace=0)

    source = Rerun(happens)
    write(source, 0, "old")
    ArtifactStore(source).write(flow="F", execution="2", layer="L", index=0, name="x", values=["kept"])
    report = ArtifactStore(source).copy_to(target)
    assert archive_key(0).decode() in report.gone and report.failed == 0
    assert ArtifactStore(target).list_executions(flow="F") == ["2"]
    assert ArtifactStore(target).verify().ok


def test_an_archive_that_is_rewritten_while_it_is_copied_is_read_anew(target: Location) -> None:
    class Source(Memory):
        """The artifacts of the archive that was read are collected before they are asked for."""

        is_done = False

        def _read_batch(self, keys: list[bytes]) -> Iterator[tuple[bytes, bytes | None]]:
            found = list(super()._read_batch(keys))
            if archive_key(0) in keys and not self.is_done:
                self.is_done = True
                write(self, 0, "new")
                super()._delete(artifact_key("late"))
            yield from found

        def _contents(self, prefix: bytes) -> Iterator[Content]:
            return (content for content in super()._contents(prefix) if content.key != artifact_key("late"))

    source = Source()
    write(source, 0, "late")
    report = ArtifactStore(source).copy_to(target)
    assert source.is_done and report.failed == 0
    assert ArtifactStore(target).read(**RUN, name="x") == "new"


def test_an_archive_that_names_what_is_gone_is_left_out(location: Location, target: Location) -> None:
    write(location, 0, "gone", "there")
    write(location, 1, "whole")
    location.delete(artifact_key("gone"))
    with pytest.raises(errors.ArtifactNotFound, match=artifact_key("gone").decode()):
        ArtifactStore(location).copy_to(target)
    failed: list[errors.SmartPipeError] = []
    report = ArtifactStore(location).copy_to(target, on_error=failed.append)
    assert [(type(error), error.block) for error in failed] == [(errors.ArtifactNotFound, archive_key(0))]
    assert (report.failed, report.archives, report.gone) == (1, 1, [])
    assert sorted(contents(target)) == sorted([artifact_key("there"), artifact_key("whole"), archive_key(1)])
    write(target, 5, "gone", name="other")  # now the target has it, from elsewhere
    assert ArtifactStore(location).copy_to(target).failed == 0
    assert ArtifactStore(target).read(**RUN, index=0, name="x")[:] == ["gone", "there"]


# Damage, and errors of one of the two


def damage(folder: Path, data: bytes) -> None:
    """Change a byte of a value, in whatever file it lies."""
    for path in folder.rglob("*"):
        if path.is_file() and (at := path.read_bytes().find(data)) >= 0:
            with open(path, "r+b") as file:
                file.seek(at + len(data) // 2)
                byte = file.read(1)
                file.seek(at + len(data) // 2)
                file.write(bytes([byte[0] ^ 1]))
            return
    raise AssertionError("no file has it")


@pytest.mark.parametrize("size", [1000, 3 << 20])
def test_a_damaged_value_is_told_and_the_others_are_copied(tmp_path: Path, size: int) -> None:
    content = os.urandom(size)
    with Shards(tmp_path / "a", large=1 << 20) as place:
        place.write(b"damaged", content)
        place.write(b"whole", b"whole")
    damage(tmp_path / "a", content)
    before = tree_of(tmp_path / "a")
    with Shards(tmp_path / "a", large=1 << 20, mode="r") as source:
        with pytest.raises(errors.CorruptError):
            ArtifactStore(source).copy_to(Memory())
        failed: list[errors.SmartPipeError] = []
        target = Memory()
        report = ArtifactStore(source).copy_to(target, on_error=failed.append)
    assert [(type(error), error.block) for error in failed] == [(errors.CorruptError, b"damaged")]
    assert (report.failed, report.gone, contents(target)) == (1, [], {b"whole": b"whole"})
    assert tree_of(tmp_path / "a") == before


@pytest.mark.parametrize("size", [1000, 3 << 20])
def test_damage_in_the_target_is_mended_and_takes_nothing_from_the_source(tmp_path: Path, size: int) -> None:
    content = os.urandom(size)
    places = [Shards(tmp_path / name, large=4 << 20) for name in "ab"]
    for place in places:
        place.write(b"value", content)
        place.write(b"other", b"other")
        place.close()
    damage(tmp_path / "b", content)
    source, target = places
    assert ArtifactStore(source).copy_to(target).failed == 0
    assert contents(target) == contents(source) == {b"value": content, b"other": b"other"}
    for place in places:
        place.close()


def test_a_file_that_may_not_be_read_is_told(tmp_path: Path) -> None:
    class Closed(Files):
        def _open(self, key: bytes) -> Any:
            if key in (b"closed", b"large"):
                raise PermissionError(13, "Permission denied", key.decode())
            return super()._open(key)

        def _read_batch(self, keys: list[bytes]) -> Iterator[tuple[bytes, bytes | None]]:
            for key in keys:
                if key == b"closed":
                    raise PermissionError(13, "Permission denied", "closed")
                yield from super()._read_batch([key])

    source = Closed(tmp_path)
    for key in (b"a", b"closed", b"z"):
        source.write(key, key)
    source.write(b"large", bytes(2 << 20))
    target = Memory()
    failed: list[errors.SmartPipeError] = []
    report = ArtifactStore(source).copy_to(target, on_error=failed.append)
    assert {type(error) for error in failed} == {errors.StorageError} and report.failed == len(failed) == 2
    assert sorted(error.path or "" for error in failed) == ["closed", "large"]
    assert contents(target) == {b"a": b"a", b"z": b"z"}


def test_a_value_that_breaks_off_while_it_is_read_is_told(target: Location) -> None:
    class Breaking(BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            if self.tell() > 0:
                raise OSError(5, "Input/output error", "broken")
            return super().read(size)

    class Source(Memory):
        def _open(self, key: bytes) -> Any:
            return nullcontext(Breaking(bytes(3 << 20))) if key == b"broken" else super()._open(key)

    source = Source()
    source.write(b"broken", bytes(3 << 20))
    source.write(b"other", b"other")
    target.write(b"broken", b"what was there")
    with pytest.raises(errors.StorageError, match="broken: Input/output error"):
        ArtifactStore(source).copy_to(target)
    for overwrite in (False, True):
        failed: list[errors.SmartPipeError] = []
        ArtifactStore(source).copy_to(target, overwrite=overwrite, on_error=failed.append)
        assert [(type(error), str(error)) for error in failed] == [(errors.StorageError, "broken: Input/output error")]
        assert contents(target) == {b"broken": b"what was there", b"other": b"other"}


@pytest.mark.filterwarnings("ignore::smartpipe.PipeWarning")  # what did not fit is not read
def test_a_full_disk_ends_it_and_it_goes_on_where_there_is_room(tmp_path: Path) -> None:
    source = Memory()
    for number in range(400):
        write(source, number, os.urandom(5000))
    with small_disk(tmp_path / "disk"):
        for target in (Files(tmp_path / "disk" / "a"), Shards(tmp_path / "disk" / "b")):
            with pytest.raises(errors.StorageError):
                ArtifactStore(source).copy_to(target, on_error="skip")
            store = ArtifactStore(target)
            assert store.verify().problems == []
            room = Memory()
            store.copy_to(room)
            ArtifactStore(source).copy_to(room)
            assert contents(room) == contents(source)
            target.close()
            for path in (tmp_path / "disk").rglob("*"):
                if path.is_file():
                    path.unlink()


# Others at the same time


def test_who_wants_to_collect_in_the_target_waits(target: Location) -> None:
    reached, go_on = Event(), Event()

    class Pausing(Memory):
        def _read_batch(self, keys: list[bytes]) -> Iterator[tuple[bytes, bytes | None]]:
            if archive_key(0) in keys and not reached.is_set():
                reached.set()
                assert go_on.wait(60)
            return super()._read_batch(keys)

    source = Pausing()
    for index in range(20):
        write(source, index, index)
    thread = Thread(target=lambda: ArtifactStore(source).copy_to(target))
    thread.start()
    removed: list[str] = []
    collector = Thread(target=lambda: removed.extend(ArtifactStore(target).gc("F", grace=-60).removed))
    try:
        assert reached.wait(60)
        assert target.read_bytes(artifact_key(7)) is not None  # which nobody names there, and which is old enough
        write(target, 100, "written beside it")
        collector.start()
        collector.join(0.3)
    finally:
        go_on.set()
        thread.join()
    collector.join()
    assert removed == []
    assert ArtifactStore(target).verify().ok
    assert [ArtifactStore(target).read(**RUN, index=index, name="x") for index in range(20)] == list(range(20))


def test_copying_beside_writers_gives_whole_archives(shared: Location, tmp_path: Path) -> None:
    def work(index: int) -> Any:
        def run(tell: Any) -> None:
            place = pickle.loads(pickle.dumps(shared))
            tell("begun")
            for number in range(150):
                write(place, index, f"{number} of {index}", f"{number} too", "same")
                if number % 10 == 0:
                    ArtifactStore(place).gc("F", grace=0)
            place.close()

        return run

    children = [Child(work(index)) for index in range(2)]
    for child in children:
        assert os.read(child.receiver, 6) == b"begun\n"
    for number in range(6):
        with Shards(tmp_path / f"copy {number}") as target:
            report = ArtifactStore(shared).copy_to(target)
            assert report.failed == 0
            assert ArtifactStore(target).verify().problems == []
            for index in range(2):
                found = ArtifactStore(target).read(**RUN, index=index, name="x", default=None)
                if found is not None:
                    first, second, same = found
                    assert first.split()[0] == second.split()[0] and same == "same"
    for child in children:
        child.end()


@pytest.mark.filterwarnings("ignore::smartpipe.PipeWarning")  # of what a killed process left
@pytest.mark.parametrize("to", ["files", "shards"])
def test_a_copy_that_is_killed_is_whole_as_far_as_it_is_and_can_go_on(tmp_path: Path, to: str) -> None:
    source = Files(tmp_path / "source")
    for index in range(100):
        ArtifactStore(source).write(**RUN, index=index, name="x", values=[f"{index}.{n}" for n in range(5)])
    assert len(values(source)) == 500
    (tmp_path / "target").mkdir()

    def work(tell: Any) -> None:
        with MAKE[to](tmp_path / "target") as target:
            tell("begun")
            ArtifactStore(source).copy_to(target, progress=lambda done, total: tell(f"{done}"))

    for delay in (0.0, 0.02, 0.06):
        child = Child(work)
        assert os.read(child.receiver, 6) == b"begun\n"
        time.sleep(delay)
        child.kill()
        child.end()
        with MAKE[to](tmp_path / "target") as target:
            assert ArtifactStore(target).verify().problems == []
    with MAKE[to](tmp_path / "target") as target:
        ArtifactStore(source).copy_to(target)
        assert contents(target) == contents(source)


# Counting


def test_stats(location: Location) -> None:
    store = ArtifactStore(location)
    for execution in ("1", "2"):
        for index in range(3):
            store.write(flow="F", execution=execution, layer="L", index=index, name="x", values=["same", index])
    store.write(flow="F", execution="2", layer="M", index=0, name="y", values=["only"])
    store.write(flow="G", execution="1", layer="L", index=0, name="x", values=["same"])
    assert len(store.read(flow="F", execution="1", layer="L", name="x")) == 6
    sizes = {key: len(value or b"") for key, value in contents(location).items() if b"/artifacts/" in key}
    location.write(b"F/archives/1/L/9/x.json", b"{")
    location.write(b"README", b"r")
    location.write(artifact_key("unnamed"), b"12345")
    location.delete(artifact_key("only"))
    found = store.stats()
    assert (found.flows, found.executions, found.layers, found.archives, found.values) == (2, 3, 4, 9, 14)
    assert (found.artifacts, found.unnamed, found.unnamed_bytes) == (6, 1, 5)
    assert (found.missing, found.damaged, found.others) == (1, 1, 1)
    assert found.bytes == sum(sizes.values()) - sizes[artifact_key("only")] + 5
    named = [artifact_key("same")] * 6 + [artifact_key(index) for index in (0, 1, 2)] * 2
    distinct = [artifact_key("same"), *(artifact_key(index) for index in (0, 1, 2))]
    assert found.saved == sum(sizes[key] for key in named) - sum(sizes[key] for key in distinct)
    assert found.as_dict()["values"] == 14


def test_stats_of_nothing(location: Location) -> None:
    assert set(ArtifactStore(location).stats().as_dict().values()) == {0}


def test_serialized_bytes_are_given_without_loading(location: Location) -> None:
    archive = write(location, 0, os.getcwd)
    store = ArtifactStore(location, allow_pickle=False)
    assert store.read_serialized(flow="F", artifact=archive.artifacts[0]) == pickle.dumps(os.getcwd, 5)
    location.write(archive.artifacts[0].key("F"), gzip.compress(b"other"), overwrite=True)
    with pytest.raises(errors.CorruptError):
        store.read_serialized(flow="F", artifact=archive.artifacts[0])
    with pytest.raises(errors.ArtifactNotFound):
        store.read_serialized(flow="F", artifact=archive.artifacts[0])


def test_a_stream_may_be_the_value_of_any_place(location: Location) -> None:
    """What a source gives is written from where it stands, once."""
    location.write(b"value", BytesIO(b"x" * (2 << 20)))
    target = Memory()
    ArtifactStore(location).copy_to(target)
    assert contents(target) == {b"value": b"x" * (2 << 20)}
