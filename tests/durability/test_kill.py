"""kill -9 at every call that changes the disk, and again while what it left behind is put right.

The calls are those of one table, smartpipe._platform.disk; that nothing else changes the disk is what strace shows
here. A kill between two calls and one within a write are all there are: the kernel does each of the others whole.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

import pytest
import reference
from container.pipes import Blocks, index, warned
from container.process import HOME
from reference import format1
from torture import harness
from torture.harness import MEMORY, Lost, Wrong

import smartpipe
from smartpipe._platform import disk

from . import scenes
from .children import CALLS, Child, Kill
from .content import pairs_of

NAME = "kill -9 at every call of create, append, sync, close, reopen, recover, rebuild, and again during the recovery"
UNIT = "kills"
QUICK = 300
LONG = 20_000

MORE: tuple[bytes, list[tuple[bytes, bytes]]] = (b"one more", [(b"k", b"v" * 50)])


class Point(NamedTuple):
    """Where a scene is killed: before call number `which`, or within it."""

    case: scenes.Case
    which: int
    within: bool


POINTS: list[Point] = []


def setup() -> None:
    """Run every scene once to the end, to know the calls it makes."""
    if POINTS:
        return
    with tempfile.TemporaryDirectory(dir=MEMORY) as folder:
        for number, case in enumerate(scenes.cases()):
            prefix = f"{folder}/{number}-p"
            scenes.lay(case, prefix)
            # Without the timer of a group: the same calls in each run, so that a number means the same case.
            counted = replace(case, durability=case.durability.replace("grouped", "counted"))
            for which, call in enumerate([*calls_of(counted, prefix), "end"]):
                POINTS.append(Point(case, which, False))
                if call == "write":
                    POINTS.append(Point(case, which, True))
    Random(1).shuffle(POINTS)


def calls_of(case: scenes.Case, prefix: str) -> list[str]:
    def work(tell: scenes.Tell) -> None:
        kill = Kill(None)
        kill.install()
        case.scene.work(prefix, case, lambda line: None)
        tell(" ".join(kill.calls))

    return Child(work).end()[0].split()


def case(number: int, random: Random, folder: Path) -> None:
    point = POINTS[number % len(POINTS)]
    part = random.choice((0.0, 0.3, 0.5, 0.9, 1.0)) if point.within else None
    try:
        run(point, part, random, str(folder / "p"))
    except Exception as error:
        place = f"{point.case} at call {point.which}" + ("" if part is None else f", of which {part} was written")
        error.args = (f"{place}: {error.args[0] if error.args else ''}", *error.args[1:])
        raise


def run(point: Point, part: float | None, random: Random, prefix: str) -> None:
    before = scenes.lay(point.case, prefix)

    def work(tell: scenes.Tell) -> None:
        Kill(point.which, part).install()
        point.case.scene.work(prefix, point.case, tell)

    told = Child(work).end()
    aftermath = Aftermath(point.case, prefix, before, told)
    aftermath.look()
    left = files_of(prefix)
    calls = aftermath.put_right()
    first = aftermath.found()
    if calls:
        # Again from the same files, with a kill on the way.
        restore(prefix, left)
        which = random.randrange(len(calls))
        within = random.choice((0.0, 0.5, 1.0)) if calls[which] == "write" and random.random() < 0.7 else None
        aftermath.put_right_killed(which, within)
        aftermath.look()
        aftermath.put_right()
        again = aftermath.found()
        # FORMAT.md, «Format 1»: a kill between the cut of the data and that of the index leaves an empty block.
        emptied = point.case.kind.format == 1 and again[:-1] == first and again[-1:] and again[-1][1] == []
        if again != first and not emptied:
            raise Wrong(f"a recovery that was killed at call {which} leaves other blocks: {named(again)}")
        first = again
    data = data_of(prefix)
    aftermath.put_right()
    # What is recovered once more is written anew, by another id.
    if aftermath.found() != first or (data_of(prefix) != data and point.case.scene.result != "recovered"):
        raise Wrong("a second recovery changes what is there")
    aftermath.go_on(first)


class Aftermath:
    """What a killed writer left, and what may be found there."""

    def __init__(self, case: scenes.Case, prefix: str, before: Blocks, told: list[str]) -> None:
        self.case, self.prefix, self.before, self.told = case, prefix, before, told
        self.acknowledged = max([int(line[4:]) for line in told if line.startswith("ack ")], default=0)
        self.whole = [*before, *case.scene.new]
        self.format = case.kind.format

    @property
    def place(self) -> str:
        """The pipe that was worked on."""
        return self.prefix + "-saved" if self.case.scene.result == "recovered" else self.prefix

    # As it lies

    def look(self) -> None:
        """A reader that comes before anybody puts it right sees the old or the new, or so many whole blocks."""
        if self.case.scene.result == "recovered" and read(self.prefix, self.case.old.format) != self.before:
            raise Wrong("what is recovered from was changed")
        try:
            found = read(self.place, self.format)
        except smartpipe.SmartPipeError as error:
            if not self.may_be_unreadable(error):
                raise
            return
        # FORMAT.md, «Format 1»: where the last listed block ends is then not known.
        hidden = self.format == 1 and has_torn_entry(self.place)
        self.check(found, self.format, 1 if hidden else 0)

    def may_be_unreadable(self, error: smartpipe.SmartPipeError) -> bool:
        result = self.case.scene.result
        if isinstance(error, smartpipe.PipeNotFoundError):
            if result == "replaced":
                return self.without_index()
            if result == "aborted":
                return self.acknowledged == 0 or "aborting" in self.told
            if result == "recovered":
                return "done" not in self.told
            return not self.before and self.acknowledged == 0
        # FORMAT.md, «Files and locks»: replacing by format 1 has an instant without an index, and so has removing one.
        replacing = result in ("replaced", "recovered") or Path(self.place + ".new.idx.ready").exists()
        return (
            isinstance(error, smartpipe.FormatError) and (replacing or "aborting" in self.told) and self.without_index()
        )

    def without_index(self) -> bool:
        return self.format == 1 and not index(self.place).exists()

    def check(self, found: Blocks, format: int, hidden: int = 0) -> None:
        """Compare all blocks that were found with what may be there; so many may lack before it was put right."""
        result, new = self.case.scene.result, self.case.scene.new
        if result == "replaced":
            allowed = [new] if "done" in self.told else [self.before, new] if "closing" in self.told else [self.before]
            if found not in allowed:
                raise Lost(f"neither the old pipe nor the new one: {named(found)}")
        elif result in ("old", "rebuilt"):
            if found != self.before:
                raise Lost(f"not what was there: {named(found)}")
        elif result == "recovered":
            self.check_prefix(found, self.before, len(self.before) - hidden if "done" in self.told else 0, format)
        elif result == "aborted":
            if "done" in self.told and found:
                raise Wrong("a pipe that was aborted is there")
            self.check_prefix(found, self.whole, 0 if "aborting" in self.told else self.acknowledged - hidden, format)
        else:
            self.check_prefix(found, self.whole, len(self.before) + self.acknowledged - hidden, format)

    def check_prefix(self, found: Blocks, whole: Blocks, acknowledged: int, format: int) -> None:
        if len(found) < acknowledged:
            raise Lost(f"{len(found)} blocks, {acknowledged} were acknowledged")
        if found == whole[: len(found)]:
            return
        if self.case.scene.plant is scenes.torn and found == [*self.before, (scenes.TORN_KEY, [])] and format == 1:
            return  # its data was cut, and its entry not yet
        last, expected = found[-1], whole[len(found) - 1]
        # FORMAT.md, «Format 1»: that a kill left a block empty or cut between two pairs can not be told.
        if not (
            format == 1
            and len(found) > acknowledged
            and found[:-1] == whole[: len(found) - 1]
            and last[0] == expected[0]
            and last[1] == expected[1][: len(last[1])]
        ):
            raise Wrong(f"not the blocks that were written: {named(found)}")

    def found(self) -> Blocks:
        """All blocks, after it was put right; read in both ways, and by a reader that knows only FORMAT.md."""
        found = read(self.place, None)
        self.check(found, self.format)
        with smartpipe.open(self.place) as pipe:
            for key, pairs in found:
                if list(pipe[key]) != pairs:
                    raise Wrong(f"block {key!r} is another one by its key")
        if reference.read(self.place).blocks != found:
            raise Wrong("a plain reader finds other blocks")
        return found

    # Putting right

    def repair(self) -> None:
        result = self.case.scene.result
        if result == "rebuilt":
            smartpipe.rebuild_index(self.prefix)
        elif result == "recovered":
            smartpipe.recover(self.prefix, self.place, mode="w", **self.case.options)
        else:
            # A pipe that was to be replaced goes on as what it is.
            options = {} if result in ("replaced", "old") else self.case.kind.options
            mode: Any = "w" if result == "aborted" and self.without_index() else "a"
            smartpipe.open(self.prefix, mode, **options).close()

    def put_right(self) -> list[str]:
        """Let what comes next put it right; gives the calls that it makes."""
        recorded: list[str] = []
        with pytest.MonkeyPatch.context() as patched, warned():
            for name in CALLS:
                patched.setattr(disk, name, recording(recorded, name))
            self.repair()
        return recorded

    def put_right_killed(self, which: int, part: float | None) -> None:
        def work(tell: scenes.Tell) -> None:
            Kill(which, part).install()
            self.repair()

        child = Child(work)
        child.end()
        # The thread that syncs groups makes its calls when it does: with it there may be fewer than were counted.
        assert child.killed or self.case.durability == "grouped"

    def go_on(self, found: Blocks) -> None:
        """Write one more block, and find everything whole; a replacement then leaves nothing beside."""
        with warned() as messages, smartpipe.open(self.place, "a") as pipe:
            assert pipe.recovered is None
            pipe.write(*MORE)
        assert messages == []
        if read(self.place, None) != [*found, MORE]:
            raise Lost("another block changes what is there")
        report = smartpipe.verify(self.place)
        if not report.ok:
            raise Wrong(f"not whole: {report.damage}")
        if self.case.scene.result in ("replaced", "old"):
            with smartpipe.open(self.prefix, "w", **self.case.kind.options) as pipe:
                pipe.write(*MORE)
            assert read(self.prefix, None) == [MORE]
            beside = set(files_of(self.prefix)) - {self.case.kind.data(self.prefix).name, index(self.prefix).name}
            assert not beside, beside


def recording(recorded: list[str], name: str) -> object:
    call = getattr(disk, name)

    def made(*arguments: object) -> object:
        recorded.append(name)
        return call(*arguments)

    return made


def read(prefix: str, format: int | None) -> Blocks:
    """All blocks that a reader finds. With format 1, the last one may be an error: FORMAT.md, «Format 1»."""
    found: Blocks = []
    with warned(), smartpipe.open(prefix) as pipe:
        if format != 1:
            return [(key, list(block)) for key, block in pipe.items()]
        keys = list(pipe)
        for key in keys:
            try:
                found.append((key, list(pipe[key])))
            except smartpipe.CorruptError:
                if key != keys[-1]:
                    raise
    return found


def has_torn_entry(prefix: str) -> bool:
    if not index(prefix).exists():
        return False
    listed = index(prefix).read_bytes()
    return sum(20 + len(entry.key) for entry in format1.read_index(listed)) != len(listed)


def files_of(prefix: str) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in Path(prefix).parent.iterdir()}


def data_of(prefix: str) -> dict[str, bytes]:
    return {name: content for name, content in files_of(prefix).items() if not name.endswith(".idx")}


def restore(prefix: str, content: dict[str, bytes]) -> None:
    folder = Path(prefix).parent
    for path in folder.iterdir():
        path.unlink()
    for name, data in content.items():
        (folder / name).write_bytes(data)


def named(blocks: Blocks) -> list[tuple[bytes, str]]:
    return [(key, "right" if pairs == pairs_of(key) else f"{len(pairs)} pairs") for key, pairs in blocks]


def test_kill_9_at_calls_of_every_scene() -> None:
    harness.quick(sys.modules[__name__])


# That the table is complete

CHANGING = (
    "open openat openat2 creat write writev pwrite64 pwritev pwritev2 truncate ftruncate fallocate fsync fdatasync "
    "sync syncfs sync_file_range msync mmap rename renameat renameat2 unlink unlinkat rmdir mkdir mkdirat mknod "
    "mknodat link linkat symlink symlinkat copy_file_range sendfile splice chmod fchmod fchmodat"
)

TRACED = """
import json, os, sys, threading, warnings
from durability import scenes
from durability.children import CALLS
from smartpipe._platform import disk

warnings.simplefilter("ignore")
folder, report = sys.argv[1:]
recorded, lock = [], threading.Lock()

def where(file):
    return os.readlink(f"/proc/self/fd/{file.number}").removesuffix(" (deleted)")

LINES = {
    "open": lambda path, flags: ["open", path],
    "write": lambda file, data: ["write", where(file), len(data)],
    "truncate": lambda file, size: ["truncate", where(file), size],
    "sync": lambda file: ["sync", where(file)],
    "rename": lambda source, target: ["rename", source, target],
    "unlink": lambda path: ["unlink", path],
    "sync_folder": lambda path: ["sync", path],
}

def around(name, call):
    def made(*arguments):
        with lock:  # so that the two lists have one order
            recorded.append(LINES[name](*arguments))
            return call(*arguments)
    return made

for name in CALLS:
    setattr(disk, name, around(name, getattr(disk, name)))
for number, case in enumerate(scenes.cases()):
    prefix = f"{folder}/{number}-p"
    if os.path.exists(f"{folder}/{number}-laid"):
        case.scene.work(prefix, case, lambda line: None)
with open(report, "w") as file:
    json.dump(recorded, file)
"""


def test_nothing_but_the_table_changes_the_disk(tmp_path: Path) -> None:
    strace = shutil.which("strace")
    if strace is None or subprocess.run([strace, "-o", "/dev/null", "true"], check=False).returncode != 0:
        assert os.environ.get("CI") != "true", "strace is missing or may not trace"
        pytest.skip("strace is missing or may not trace")
    folder = tmp_path / "pipes"
    folder.mkdir()
    for number, case in enumerate(scenes.cases()):
        if number % 3 == 0:
            scenes.lay(case, f"{folder}/{number}-p")
            (folder / f"{number}-laid").touch()
    calls = ",".join(f"?{call}" for call in CHANGING.split())
    script: list[str | Path] = [sys.executable, "-c", TRACED, folder, tmp_path / "report"]
    subprocess.run(
        [strace, "-f", "-y", "-s", "0", "-e", f"trace={calls}", "-e", "signal=none", "-o", tmp_path / "trace", *script],
        check=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([HOME, str(Path(__file__).parents[1])])},
    )
    recorded = json.loads((tmp_path / "report").read_text())
    assert {line[0] for line in recorded} == {"open", "write", "truncate", "sync", "rename", "unlink"}
    seen = [line for line in traced((tmp_path / "trace").read_text()) if str(folder) in str(line)]
    for number, (one, other) in enumerate(zip(recorded, seen, strict=False)):
        assert one == other, f"call {number}, after {recorded[max(number - 3, 0) : number]}"
    assert len(recorded) == len(seen)


def traced(text: str) -> Iterator[list[Any]]:
    """What changes the disk in the output of strace, as the table would record it."""
    for line in whole_lines(text.splitlines()):
        match = re.match(r"\d+ +(\w+)\((.*)\) += ", line)
        if match is None:
            continue
        call, arguments = match.groups()
        named = re.search(r"<(.*?)>", arguments)
        paths = re.findall(r'"(.*?)"', arguments)
        last = arguments.rpartition(", ")[2]
        if call.startswith(("open", "creat")):
            if call == "creat" or re.search("O_WRONLY|O_RDWR|O_CREAT|O_TRUNC", arguments):
                yield ["open", paths[0]]
        elif call == "mmap":
            if "PROT_WRITE" in arguments and "MAP_SHARED" in arguments:
                yield [call, arguments]
        elif call == "write":
            yield ["write", named[1] if named else "", int(last)]
        elif call == "ftruncate":
            yield ["truncate", named[1] if named else "", int(last)]
        elif call in ("fsync", "fdatasync"):
            yield ["sync", named[1] if named else ""]
        elif call.startswith("rename"):
            yield ["rename", *paths]
        elif call.startswith("unlink"):
            yield ["unlink", *paths]
        else:
            yield [call, arguments]


def whole_lines(lines: list[str]) -> list[str]:
    """The lines of strace, those that another thread interrupted put together where they began."""
    whole: list[str] = []
    begun: dict[str, int] = {}
    for line in lines:
        pid = line.split(None, 1)[0]
        if line.endswith("<unfinished ...>"):
            begun[pid] = len(whole)
            whole.append(line.removesuffix("<unfinished ...>").rstrip())
        elif "<... " in line:
            whole[begun[pid]] += line.partition("resumed>")[2]
        else:
            whole.append(line)
    return whole
