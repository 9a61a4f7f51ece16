"""What a store of artifacts is after a kill, a full disk or a failing call at each point of what it does.

Complete or absent: an archive is the old one, the new one, or not there, what it names is there, and doing it again
puts everything right. Issue 6; how locations take it is in tests/locations.
"""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import Any

import pytest
from durability.children import CALLS, Child, Kill
from folders import small_disk

from smartpipe import errors
from smartpipe._platform import disk
from smartpipe.locations import Files, Location, Shards
from smartpipe.stores import ArtifactStore
from smartpipe.stores.keys import parsed

MAKE: dict[str, Callable[[Path], Location]] = {
    "files": lambda folder: Files(folder / "tree"),
    "files, synced": lambda folder: Files(folder / "tree", sync=True),
    "shards": lambda folder: Shards(folder / "shards", large=20_000),
}
RUN = {"flow": "F", "execution": "1", "layer": "L"}
LARGE = Random(1).randbytes(30_000)
OLD = {(0, "x"): ["old", "same"], (1, "x"): ["one"], (0, "y"): ["gone", "same"], (0, "kept"): [LARGE]}
NEW = {(0, "x"): ["new", "same", LARGE], (1, "x"): ["one"], (2, "x"): [], (0, "z"): [7, LARGE + b"new"]}
AFTER = {**OLD, **NEW}


# Of what a killed process, or a failed call, left unfinished.
pytestmark = pytest.mark.filterwarnings("ignore::smartpipe.PipeWarning")


@pytest.fixture(params=MAKE)
def make(request: pytest.FixtureRequest) -> Callable[[Path], Location]:
    return MAKE[request.param]


def prepare(store: ArtifactStore) -> None:
    for (index, name), values in OLD.items():
        store.write(**RUN, index=index, name=name, values=values)
    store.write(flow="F", execution="0", layer="L", index=0, name="x", values=["same", "of the one before"])
    assert list(store.read(**RUN, name="x")) == ["old", "same", "one"]


def work(store: ArtifactStore) -> None:
    """Write anew and more, join, remove, collect."""
    for (index, name), values in NEW.items():
        store.write(**RUN, index=index, name=name, values=values)
    store.write_record(**RUN, splits=3)
    store.read(**RUN, name="x")[:]
    store.delete_execution(flow="F", execution="0")
    store.gc(grace=0)


def check_whole(place: Location) -> None:
    """Each archive is complete or absent, and everything that is read is right."""
    store = ArtifactStore(place)
    for index, name in AFTER:
        found = store.read(**RUN, index=index, name=name, default=None)
        allowed = [values.get((index, name)) for values in (OLD, NEW)]
        if type(found).__name__ == "Accessor":
            found = list(found)
        elif found is not None:
            found = [found]
        assert found in allowed or (found is None and (index, name) not in OLD), (index, name)
    for content in place.contents():
        assert parsed(content.key) is not None, content.key
    assert store.verify().problems == []


def check_done(place: Location) -> None:
    """What `work` does was done to its end, now at least."""
    store = ArtifactStore(place)
    for (index, name), values in AFTER.items():
        found = store.read(**RUN, index=index, name=name)
        assert (list(found) if len(values) != 1 else [found]) == values
    assert list(store.read(**RUN, name="x")) == ["new", "same", LARGE, "one"]
    assert store.list_executions(flow="F") == ["1"]
    report = store.verify()
    assert report.problems == [] and report.unnamed == 0
    # new, same, LARGE, one, gone, 7 and the other large one: each once.
    assert report.artifacts == 7
    assert len([1 for content in place.contents(b"F/artifacts/")]) == 7


def prepared(make: Callable[[Path], Location], folder: Path) -> Path:
    home = folder / "before"
    home.mkdir()
    with make(home) as place:
        prepare(ArtifactStore(place))
    return home


def copies(home: Path, folder: Path, numbers: range, most: int) -> Iterator[tuple[int, Path]]:
    for number in numbers if len(numbers) <= most else sorted(Random(6).sample(numbers, most)):
        shutil.copytree(home, folder / "now")
        yield number, folder / "now"
        shutil.rmtree(folder / "now")


@pytest.mark.parametrize("part", [None, 0.5], ids=["at each call", "within each write"])
def test_a_store_whose_process_is_killed_at_any_call(
    make: Callable[[Path], Location], tmp_path: Path, part: float | None
) -> None:
    home = prepared(make, tmp_path)

    def killed(folder: Path, which: int | None) -> list[str]:
        def run(tell: Callable[[str], None]) -> None:
            kill = Kill(which, part)
            kill.install()
            with make(folder) as place:
                work(ArtifactStore(place))
            tell(" ".join(kill.calls))

        return Child(run).end()

    shutil.copytree(home, tmp_path / "whole")
    calls = killed(tmp_path / "whole", None)[0].split()
    with make(tmp_path / "whole") as place:
        check_done(place)
    for which, folder in copies(home, tmp_path, range(len(calls)), 60):
        if part is not None and not calls[which].startswith("write"):
            continue
        assert killed(folder, which) == []
        with make(folder) as place:
            check_whole(place)
            work(ArtifactStore(place))
            check_done(place)


@contextmanager
def failing(which: int, number: int, for_good: bool) -> Iterator[list[str]]:
    """Let call `which` fail, and those behind it if it is for good."""
    made: list[str] = []

    def around(name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def called(*arguments: Any) -> Any:
            made.append(name)
            here = len(made) - 1
            # What removes things works on a full disk, too.
            if (here == which or (for_good and here > which)) and not name.startswith(("unlink", "sync_folder")):
                if name == "write" and len(arguments[1]) > 1:
                    call(arguments[0], memoryview(arguments[1])[: len(arguments[1]) // 2])
                raise OSError(number, os.strerror(number), "a path")
            return call(*arguments)

        return called

    with pytest.MonkeyPatch.context() as patched:
        for name in CALLS:
            patched.setattr(disk, name, around(name, getattr(disk, name)))
        yield made


@pytest.mark.parametrize("for_good", [False, True], ids=["once", "for good"])
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EACCES, errno.EIO], ids=errno.errorcode.get)
def test_a_store_whose_calls_fail(
    make: Callable[[Path], Location], tmp_path: Path, number: int, for_good: bool
) -> None:
    home = prepared(make, tmp_path)
    shutil.copytree(home, tmp_path / "whole")
    with make(tmp_path / "whole") as place:
        assert place.read_bytes(b"none") is None
        with failing(1 << 30, number, False) as calls:
            work(ArtifactStore(place))
            place.close()
    failed = 0
    for which, folder in copies(home, tmp_path, range(len(calls)), 40):
        place = make(folder)
        assert place.read_bytes(b"none") is None  # it is open
        with failing(which, number, for_good):
            try:
                work(ArtifactStore(place))
            except errors.SmartPipeError:
                failed += 1
            # What does not write goes on.
            assert ArtifactStore(place).read(**RUN, index=0, name="kept") == LARGE
            try:
                place.close()
            except errors.SmartPipeError:
                failed += 1
        with make(folder) as place:
            check_whole(place)
            work(ArtifactStore(place))
            check_done(place)
    assert failed > 0


@pytest.mark.parametrize("kind", ["files", "shards"])
def test_a_store_on_a_full_disk(kind: str, tmp_path: Path) -> None:
    random = Random(3)
    with small_disk(tmp_path / "disk"), MAKE[kind](tmp_path / "disk") as place:
        store = ArtifactStore(place)
        written = 0
        with pytest.raises(errors.StorageError):
            for number in range(10_000):
                store.write(**RUN, index=number, name="x", values=[random.randbytes(2000), number])
                written += 1
        assert written > 10
        # What was written before is whole, and can be read, joined too.
        joined = store.read(**RUN, name="x")
        assert len(joined) == 2 * written and joined[1::2] == list(range(written))
        assert store.verify().problems == []
        if kind == "shards":
            # To delete is to write that something is deleted.
            subprocess.run(["mount", "-o", "remount,size=2m", tmp_path / "disk"], check=True)
        store.delete_execution(flow="F", execution="1")
        store.gc(grace=0)
        if isinstance(place, Shards):
            place.store.compact()
            place.store.gc(grace=0)
            subprocess.run(["mount", "-o", "remount,size=1m", tmp_path / "disk"], check=True)
        store.write(**RUN, index=0, name="x", values=["again"])
        assert store.read(**RUN, name="x") == "again"
        assert store.verify().artifacts == 1
