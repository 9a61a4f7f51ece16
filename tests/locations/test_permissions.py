"""Trees of files that a user may not read, or not write: an error of ours that names the file."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from durability.children import Child

from smartpipe import errors
from smartpipe.locations import Files, Location, opened

NOBODY = 65534


def as_nobody(folder: Path, work: Callable[[], Any]) -> None:
    """Do something as a user who owns the tree and is not root."""

    def run(tell: Any) -> None:
        os.setgroups([])
        os.setgid(NOBODY)
        os.setuid(NOBODY)
        work()

    if os.geteuid() != 0:
        work()
        return
    above = folder
    while above != above.parent:  # pytest's folders are closed to others
        if not os.stat(above).st_mode & 0o001:
            os.chmod(above, os.stat(above).st_mode | 0o711)
        above = above.parent
    for place, _, names in os.walk(folder):
        for name in ("", *names):
            os.chown(os.path.join(place, name), NOBODY, NOBODY)
    Child(run).end()


def read_opened(place: Location) -> None:
    with place.read(b"d/x") as value, opened(value) as stream:
        stream.read()


ACTIONS: dict[str, Callable[[Location], object]] = {
    "read_bytes": lambda place: place.read_bytes(b"d/x"),
    "read_range": lambda place: place.read_range(b"d/x", 0, 1),
    "read_batch": lambda place: list(place.read_batch([b"d/x"])),
    "opened": read_opened,
    "contents": lambda place: list(place.contents()),
    "contents of a folder": lambda place: list(place.contents(b"d/")),
    "contents of a folder in it": lambda place: list(place.contents(b"d/e/")),
    "write": lambda place: place.write(b"d/new", b"value"),
    "write the same": lambda place: place.write(b"d/x", b"value"),
    "overwrite": lambda place: place.write(b"d/x", b"other", overwrite=True),
    "delete": lambda place: place.delete(b"d/x"),
}
# What may not be done where a folder or file has a mode.
CLOSED: dict[str, tuple[str, int, list[str]]] = {
    "a file": ("d/x", 0, ["read_bytes", "read_range", "read_batch", "opened", "write the same"]),
    "a folder": ("d", 0, list(ACTIONS)),
    "a folder without names": ("d", 0o600, [name for name in ACTIONS if name != "contents of a folder in it"]),
    "a folder that is read": ("d", 0o500, ["write", "overwrite", "delete"]),
    "the root": (".", 0, list(ACTIONS)),
}


@pytest.mark.parametrize(
    ("which", "mode", "action"),
    [(which, mode, action) for which, mode, actions in CLOSED.values() for action in actions],
)
def test_what_may_not_be_done_is_an_error_that_names_the_file(
    tmp_path: Path, which: str, mode: int, action: str
) -> None:
    root = tmp_path / "tree"
    with Files(root) as place:
        place.write(b"d/x", b"value")
        place.write(b"d/e/y", b"value")

    def work() -> None:
        os.chmod(root / which, mode)
        try:
            with pytest.raises(errors.StorageError) as raised:
                ACTIONS[action](Files(root))
            assert raised.value.errno == errno.EACCES
            assert str(root) in str(raised.value)
        finally:
            os.chmod(root / which, 0o700)
        assert Files(root).read_bytes(b"d/x") == b"value"

    as_nobody(root, work)


def test_damage_in_a_tree_that_may_not_be_written_is_told_and_stays(tmp_path: Path) -> None:
    root = tmp_path / "tree"
    with Files(root) as place:
        place.write(b"d/x", b"value")

    def work() -> None:
        os.chmod(root / "d", 0o500)
        try:
            with pytest.raises(errors.CorruptError, match="no digest"), Files(root).read(b"d/x"):
                raise errors.CorruptError("no digest")
            assert Files(root).read_bytes(b"d/x") == b"value"
        finally:
            os.chmod(root / "d", 0o700)

    as_nobody(root, work)
