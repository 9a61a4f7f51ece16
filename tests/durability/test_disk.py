"""The disk that loses power keeps what POSIX says, and nothing that it does not say."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from random import Random

from smartpipe._platform import Descriptor, disk

from .disk import SECTOR, Files, Recording, after_loss

CREATE = os.O_RDWR | os.O_CREAT | os.O_APPEND


def losses(folder: Path, work: Callable[[], object], count: int = 3000) -> list[Files]:
    """What is there after many losses at the end of some work."""
    with Recording(folder) as recording:
        work()
    return [after_loss(recording, len(recording), Random(number)) for number in range(count)]


def made(path: Path) -> Descriptor:
    """A new empty file with a name that is synced."""
    file = disk.open(str(path), CREATE)
    disk.sync_folder(str(path.parent))
    return file


def test_what_was_synced_is_there_after_every_loss(tmp_path: Path) -> None:
    def work() -> None:
        file = made(tmp_path / "file")
        disk.write(file, b"a" * 700)
        disk.sync(file)
        disk.write(file, b"b" * 700)

    for files in losses(tmp_path, work):
        assert files["file"][:700] == b"a" * 700
        assert len(files["file"]) <= 1400


def test_a_write_that_was_not_synced_is_there_whole_or_by_sectors_or_as_zeros_or_not_at_all(tmp_path: Path) -> None:
    def work() -> None:
        disk.write(made(tmp_path / "file"), b"x" * 3 * SECTOR)

    found = {files["file"] for files in losses(tmp_path, work)}
    x, o = b"x" * SECTOR, bytes(SECTOR)
    assert {b"", x + x + x, x, o, o + x + x, x + o + x, o + o + x, o + o + o} <= found


def test_a_later_write_can_be_there_without_an_earlier_one(tmp_path: Path) -> None:
    def work() -> None:
        file = made(tmp_path / "file")
        disk.write(file, b"first")
        disk.write(file, b"second")

    found = {files["file"] for files in losses(tmp_path, work)}
    assert {b"first", b"firstsecond", bytes(5) + b"second", b"first" + bytes(6)} <= found


def test_a_cut_is_there_or_not_or_leaves_zeros(tmp_path: Path) -> None:
    """File systems clear what is behind the end of a file before they note its new size."""

    def work() -> None:
        file = made(tmp_path / "file")
        disk.write(file, b"0123456789")
        disk.sync(file)
        disk.truncate(file, 4)

    assert {files["file"] for files in losses(tmp_path, work)} == {b"0123456789", b"0123", b"0123" + bytes(6)}


def test_a_write_during_a_sync_is_not_part_of_it(tmp_path: Path) -> None:
    recording = Recording(tmp_path)
    with recording:
        file = made(tmp_path / "file")
        disk.write(file, b"before")
        recording.during_sync = lambda: disk.write(file, b"meanwhile")
        disk.sync(file)
    found = {after_loss(recording, len(recording), Random(number))["file"] for number in range(500)}
    assert {b"before", b"beforemeanwhile"} <= found
    assert all(content.startswith(b"before") for content in found)


def test_a_name_is_there_for_certain_only_when_its_folder_was_synced(tmp_path: Path) -> None:
    def work() -> None:
        made(tmp_path / "synced")
        file = disk.open(str(tmp_path / "unsynced"), CREATE)
        disk.write(file, b"x")
        disk.sync(file)

    found = losses(tmp_path, work)
    assert all("synced" in files for files in found)
    assert {files.get("unsynced") for files in found} == {None, b"x"}


def test_a_rename_is_done_or_not_and_takes_along_what_was_synced(tmp_path: Path) -> None:
    (tmp_path / "target").write_bytes(b"old")

    def work() -> None:
        file = made(tmp_path / "source")
        disk.write(file, b"new")
        disk.rename(str(tmp_path / "source"), str(tmp_path / "target"))

    found = losses(tmp_path, work)
    assert all(("source" in files) != (files["target"] != b"old") for files in found)
    # Without a sync before, the new name can lead to nothing.
    assert {b"old", b"new", b""} <= {files["target"] for files in found}


def test_names_come_in_order_or_one_without_the_other(tmp_path: Path) -> None:
    def work() -> None:
        for name in "abc":
            disk.open(str(tmp_path / name), CREATE)

    found = {"".join(sorted(files)) for files in losses(tmp_path, work)}
    assert found == {"", "a", "b", "c", "ab", "ac", "bc", "abc"}


def test_a_removed_file_is_gone_or_still_there(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"content")
    found = [files.get("file") for files in losses(tmp_path, lambda: disk.unlink(str(tmp_path / "file")))]
    assert set(found) == {None, b"content"}


def test_a_loss_in_the_middle_knows_nothing_of_what_follows(tmp_path: Path) -> None:
    with Recording(tmp_path) as recording:
        file = made(tmp_path / "file")
        disk.write(file, b"first")
        cut = len(recording)
        disk.write(file, b"second")
        disk.sync(file)
    found = {after_loss(recording, cut, Random(number))["file"] for number in range(500)}
    assert {b"", b"first"} <= found
    assert all(len(content) <= 5 for content in found)


def test_the_same_chance_gives_the_same_files(tmp_path: Path) -> None:
    with Recording(tmp_path) as recording:
        disk.write(made(tmp_path / "file"), bytes(range(256)) * 20)
    assert after_loss(recording, len(recording), Random(7)) == after_loss(recording, len(recording), Random(7))
