"""Each call that changes the disk fails: once, twice, or from then on; or writes less than it was asked to.

Nothing that was acknowledged is lost, the error says what the system said, and the writer does nothing more. Calls fail
in smartpipe._platform.disk, a write after it has written half; short writes are those of os.write, as the kernel may
make them.
"""

from __future__ import annotations

import errno
import itertools
import os
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache, partial
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

import pytest
from container.pipes import KINDS, Blocks, Kind, every_kind, plant, read, warned
from torture import harness
from torture.harness import MEMORY, Lost, Wrong

import smartpipe
from smartpipe._platform import disk

from .children import CALLS
from .content import blocks_of, pairs_of

NAME = "ENOSPC, EIO, EINTR, short writes, failing fsync at every call N, once and for good"
UNIT = "faults"
LONG = 100_000

# No timer: which call comes when follows from the script.
DURABILITIES: dict[str, Any] = {
    "none": "none",
    "close": "close",
    "block": "block",
    "grouped": smartpipe.Grouped(bytes=4096),
}
ERRORS: dict[str, BaseException] = {
    "EIO": OSError(errno.EIO, os.strerror(errno.EIO)),
    "ENOSPC": OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)),
    "EINTR": OSError(errno.EINTR, os.strerror(errno.EINTR)),
    "interrupt": KeyboardInterrupt(),
}
FOREVER = 1_000_000
MODES: tuple[Any, ...] = ("x", "a", "w")

OLD = blocks_of([b"old-%d" % number for number in range(3)])
MORE: tuple[bytes, list[tuple[bytes, bytes]]] = (b"one more", [(b"k", b"v")])

Step = tuple[str, bytes]
SCRIPT: list[Step] = [
    ("write", b"large-1"),
    ("write", b"small"),
    ("sync", b""),
    ("checkpoint", b"empty"),
    ("checkpoint", b"large-4"),
    ("flush", b""),
    ("write", b"last"),
]


class Way(NamedTuple):
    """How a pipe is written: mode x makes a new pipe, a goes on with one, w replaces one."""

    kind: Kind
    durability: str
    mode: Any

    @property
    def options(self) -> dict[str, Any]:
        return {**self.kind.options, "durability": DURABILITIES[self.durability]}


class Point(NamedTuple):
    """What fails: so many calls from number `which` on."""

    way: Way
    error: str
    which: int
    calls: int


class Fault:
    """Lets calls of the disk fail, those whose number is in `which`."""

    def __init__(self, error: str, which: Any) -> None:
        self.error, self.which = error, which
        self.count = self.hits = 0
        self.failed_syncs = 0
        self.tried_again = False

    @contextmanager
    def installed(self) -> Iterator[None]:
        with pytest.MonkeyPatch.context() as patched:
            if self.error == "short":
                patched.setattr(os, "write", self.short(os.write))
            else:
                for name in CALLS:
                    patched.setattr(disk, name, self.around(name, getattr(disk, name)))
            yield

    def hit(self) -> bool:
        number = self.count
        self.count += 1
        self.hits += number in self.which
        return number in self.which

    def around(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def made(*arguments: Any) -> Any:
            self.tried_again |= name == "sync" and self.failed_syncs > 0 and self.error != "interrupt"
            if not self.hit():
                return call(*arguments)
            if name.startswith("write"):
                file, data = arguments
                call(file, memoryview(data)[: len(data) // 2])
            self.failed_syncs += name.startswith("sync")
            error = ERRORS[self.error]
            raise type(error)(*error.args)  # a new one: it keeps what it is raised through

        return made

    def short(self, call: Callable[[int, Any], int]) -> Callable[[int, Any], int]:
        def made(number: int, data: Any) -> int:
            if self.hit() and len(data) > 1:
                data = memoryview(data)[: (1, len(data) // 2, len(data) - 1)[self.count % 3]]
            return call(number, data)

        return made


class Played:
    """A script that was played: how many of its blocks were written and acknowledged, and what came out."""

    def __init__(self) -> None:
        self.written = self.acknowledged = 0
        self.raised: BaseException | None = None
        self.count: int | None = None
        """len() of the writer after the failure."""

    def play(self, prefix: str, way: Way, script: list[Step], fault: Fault) -> None:
        waits = way.durability == "none"
        pipe = None
        begun = False
        try:
            pipe = smartpipe.open(prefix, way.mode, **way.options)
            for step, key in script:
                if step == "write":
                    pipe.write(key, pairs_of(key))
                    # What was begun by a checkpoint comes behind it.
                    self.written += 1
                elif step == "checkpoint":
                    pipe.checkpoint(key)
                    self.written += begun
                    begun = True
                    for pair in pairs_of(key):
                        pipe.append(*pair)
                    pipe.checkpoint(key + b"-end")
                    self.written += 1
                else:
                    getattr(pipe, step)()
                    self.acknowledged = self.written
                if not waits:
                    self.acknowledged = self.written
            pipe.close()
            self.acknowledged = self.written + begun
        except (smartpipe.StorageError, KeyboardInterrupt) as error:
            self.raised = error.with_traceback(None)
            if pipe is not None:
                self.after(pipe, fault)

    def after(self, pipe: smartpipe.Writer, fault: Fault) -> None:
        """The writer is of no use any more, but honest."""
        if isinstance(self.raised, smartpipe.StorageError) and not pipe.closed:
            before = fault.count
            for call in (lambda: pipe.write(*MORE), lambda: pipe.block(b"x"), pipe.flush, pipe.sync):
                try:
                    call()
                except smartpipe.StorageError:
                    continue
                raise Wrong(f"a writer goes on after {self.raised}")
            if fault.count != before:
                raise Wrong("a writer that failed touches the disk")
        self.count = len(pipe)
        if isinstance(self.raised, KeyboardInterrupt):
            pipe.__exit__(KeyboardInterrupt, self.raised, None)
            return
        try:
            pipe.close()
        except smartpipe.StorageError:
            pass  # what it could not finish is not said to be


def keys_of(script: list[Step]) -> list[bytes]:
    """The keys of all blocks of a script, in the order in which they are written."""
    keys: list[bytes] = []
    current = None
    for step, key in script:
        if step == "checkpoint":
            keys += [current] if current else []
            keys.append(key)
            current = key + b"-end"
        elif step == "write":
            keys.append(key)
    return [*keys, current] if current else keys


def expected(script: list[Step]) -> Blocks:
    return [(key, [] if key.endswith(b"-end") else pairs_of(key)) for key in keys_of(script)]


def judge(way: Way, script: list[Step], fault: Fault, prefix: str) -> None:
    before = [] if way.mode == "x" else OLD
    if before:
        plant(prefix, OLD, way.kind)
    played = Played()
    with warned(), fault.installed():
        played.play(prefix, way, script, fault)
    raised, error = played.raised, ERRORS.get(fault.error)
    if isinstance(raised, smartpipe.StorageError):
        if not isinstance(error, OSError) or raised.errno != error.errno:
            raise Wrong(f"{fault.error} came out as {raised!r} with errno {raised.errno}")
        if raised.path is None or not raised.path.startswith(str(Path(prefix).parent)):
            raise Wrong(f"the error names {raised.path}")
    elif raised is not None and fault.error != "interrupt":
        raise Wrong(f"{fault.error} came out as {raised!r}")
    elif raised is None and fault.failed_syncs:
        raise Wrong("a sync failed, and nobody was told")
    if fault.tried_again:
        raise Wrong("after a sync that failed there was another")
    with warned():
        look(
            way,
            [*before, *expected(script)] if way.mode != "w" else expected(script),
            before,
            played,
            fault.hits > 1,
            prefix,
        )


def look(way: Way, whole: Blocks, before: Blocks, played: Played, many: bool, prefix: str) -> None:
    """What is there is the old or the new, or what was acknowledged and perhaps more; and it goes on."""
    complete = played.raised is None
    if way.kind.format == 1 and not complete and way.mode != "w" and way.kind.data(prefix).exists():
        smartpipe.open(prefix, "a", **way.kind.options).close()  # cuts what could not be cut
    found = found_at(prefix, way.kind)
    if way.mode == "w":
        if found is None:
            smartpipe.open(prefix, "a").close()  # the old index was taken away: who comes next finishes it
            found = read(prefix)
        if found not in ([whole] if complete else [before, whole]):
            raise Lost(f"neither the old pipe nor the new one: {[key for key, _ in found]}")
    else:
        if found is None or len(found) < (len(whole) if complete else len(before) + played.acknowledged):
            raise Lost(f"{found and [key for key, _ in found]}, and {played.acknowledged} were acknowledged")
        if found != whole[: len(found)] and not (way.kind.format == 1 and many and cut_between_pairs(found, whole)):
            raise Wrong(f"not what was written: {[key for key, _ in found]}")
        if isinstance(played.raised, smartpipe.StorageError) and played.count is not None:
            # Where the system does not let them be cut off, some blocks of those that waited together may be whole, and
            # in format 1 the last may look so (FORMAT.md: empty, or cut between two pairs).
            more = many and (way.durability == "none" or len(found) == played.count + (way.kind.format == 1))
            if played.count > len(found) or (played.count < len(found) and not more):
                raise Wrong(f"the writer says {played.count} blocks, and there are {len(found)}")
    with smartpipe.open(prefix, "a", **way.kind.options) as pipe:
        pipe.write(*MORE)
    # A replacement by format 1 that was interrupted is finished by who comes next: FORMAT.md, «Files and locks».
    finished = whole if way.mode == "w" and way.kind.format == 1 else found
    if read(prefix) not in ([*found, MORE], [*finished, MORE]):
        raise Lost("it does not go on")


def cut_between_pairs(found: Blocks, whole: Blocks) -> bool:
    (key, pairs), expected = found[-1], whole[len(found) - 1]
    return found[:-1] == whole[: len(found) - 1] and (key, pairs) == (expected[0], expected[1][: len(pairs)])


def found_at(prefix: str, kind: Kind) -> Blocks | None:
    """What is there; None where a pipe of format 1 has no index at this instant, or is told to be replaced just now."""
    try:
        return read(prefix)
    except smartpipe.PipeNotFoundError:
        return []
    except smartpipe.FormatError as error:
        if kind.format == 2 or not ("index" in str(error) or "being replaced" in str(error)):
            raise
        return None


@pytest.fixture
def scratch(tmp_path: Path) -> Iterator[Path]:
    """A folder in memory where the system has one."""
    with tempfile.TemporaryDirectory(dir=MEMORY or tmp_path) as folder:
        yield Path(folder)


@lru_cache
def points() -> list[Point]:
    """Every fault of the script in every way, found by playing it without one."""
    found = []
    for way in itertools.starmap(Way, itertools.product(KINDS, DURABILITIES, MODES)):
        for error in (*ERRORS, "short"):
            fault = Fault(error, range(0))
            with tempfile.TemporaryDirectory(dir=MEMORY) as folder:
                judge(way, SCRIPT, fault, folder + "/p")
            for calls in {"interrupt": (1,), "EIO": (1, 2, FOREVER)}.get(error, (1, FOREVER)):
                found += [Point(way, error, which, calls) for which in range(fault.count)]
    # A part of them, which a slow build makes, is of all ways.
    Random(1).shuffle(found)
    return found


def __getattr__(name: str) -> int:
    if name == "QUICK":  # known only when the calls of the script were counted
        return len(points())
    raise AttributeError(name)


def setup() -> None:
    points()


def case(number: int, random: Random, folder: Path) -> None:
    """First every fault of the script, then random ones of random scripts."""
    if number < len(points()):
        point = points()[number]
        way, script = point.way, SCRIPT
        fault = Fault(point.error, range(point.which, point.which + point.calls))
    else:
        way = Way(random.choice(KINDS), random.choice(list(DURABILITIES)), random.choice(MODES))
        script = random_script(random)
        rate = random.choice((0.01, 0.05, 0.3))
        which: Any = {number for number in range(200) if random.random() < rate}
        if random.random() < 0.5:
            first = random.randrange(60)
            which = range(first, first + random.choice((1, 2, 3, FOREVER)))
        fault = Fault(random.choice(("EIO", "ENOSPC", "EINTR", "short")), which)
    try:
        judge(way, script, fault, str(folder / "p"))
    except Exception as error:
        place = f"{way}, {script if script is not SCRIPT else 'the script'}, {fault.error} at {fault.which}"
        error.args = (f"{place}: {error.args[0] if error.args else ''}", *error.args[1:])
        raise


def random_script(random: Random) -> list[Step]:
    script = []
    for number in range(random.randrange(1, 25)):
        step = random.choice(("write", "write", "write", "checkpoint", "flush", "sync"))
        script.append((step, b"" if step in ("flush", "sync") else b"%d" % number))
    return script


def test_every_fault_of_one_script() -> None:
    harness.quick(sys.modules[__name__])


# What the script does not show


@every_kind
@pytest.mark.parametrize("durability", DURABILITIES)
def test_a_writer_that_failed_writes_nothing_more(kind: Kind, durability: str, scratch: Path) -> None:
    """Writes and syncs in turn, one of which fails: nothing is done after it, and what was done before is there."""
    for which in range(60):
        prefix = str(scratch / str(which))
        fault = Fault("EIO", range(which, which + 1))
        failed = False
        pipe = smartpipe.open(prefix, "w", **kind.options, durability=DURABILITIES[durability])
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(disk, "write", fault.around("write", disk.write))
            patched.setattr(disk, "sync", fault.around("sync", disk.sync))
            for number in range(8):
                for call in (partial(pipe.write, b"%d" % number, {b"k": b"v" * 100}), pipe.sync):
                    try:
                        call()
                        assert not failed
                    except smartpipe.StorageError:
                        failed = True
            count = len(pipe)
            try:
                pipe.close()
            except smartpipe.StorageError:
                failed = True  # what can not be synced is not said to be closed
        with warned():
            assert read(prefix) == [(b"%d" % number, [(b"k", b"v" * 100)]) for number in range(count)]
            assert count == 8 or failed
        if fault.count <= which:
            return
    raise AssertionError("the calls did not end")


@every_kind
def test_a_sync_that_fails_in_the_timer_is_the_error_of_what_comes_next(kind: Kind, tmp_path: Path) -> None:
    prefix = str(tmp_path / "p")
    fault = Fault("EIO", range(FOREVER))
    with (
        warned(),
        smartpipe.open(prefix, "x", **kind.options, durability=smartpipe.Grouped(milliseconds=1)) as pipe,
        pytest.MonkeyPatch.context() as patched,
    ):
        patched.setattr(disk, "sync", fault.around("sync", disk.sync))
        written: Blocks = []
        with pytest.raises(smartpipe.StorageError, match=os.strerror(errno.EIO)):
            while True:
                key = b"%d" % len(written)
                pipe.write(key, pairs_of(key))
                written.append((key, pairs_of(key)))
        # A sync that failed is not tried again. In format 1 one of the index, for a block, may be under way meanwhile.
        hits = fault.hits
        assert hits == 1 or (kind.format == 1 and hits == 2)
        for call in (lambda: pipe.write(*MORE), pipe.flush, pipe.sync):
            with pytest.raises(smartpipe.StorageError):
                call()
        assert len(pipe) == len(written)
        with pytest.raises(smartpipe.StorageError):
            pipe.close()  # what can not be synced is not said to be closed
        assert fault.hits == hits
    with warned():
        assert read(prefix) == written


@every_kind
@pytest.mark.parametrize("durability", DURABILITIES)
def test_signals_that_arrive_all_the_time(kind: Kind, durability: str, tmp_path: Path) -> None:
    prefix = str(tmp_path / "p")
    arrived = []
    large = bytes(range(256)) * 4096
    old = signal.signal(signal.SIGALRM, lambda number, frame: arrived.append(number))
    signal.setitimer(signal.ITIMER_REAL, 0.0002, 0.0002)
    try:
        with smartpipe.open(prefix, "x", **kind.options, durability=DURABILITIES[durability], level=1) as pipe:
            for number in range(20):
                pipe.write(b"%d" % number, {b"k": large, b"n": b"%d" % number})
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, old)
    assert arrived
    assert read(prefix) == [(b"%d" % number, [(b"k", large), (b"n", b"%d" % number)]) for number in range(20)]
