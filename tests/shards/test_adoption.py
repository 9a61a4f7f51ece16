"""Writers that die, or whose calls fail, at every call that changes the disk: the next one takes over what they left.

A script of all that a store does is played with a kill before a call, or within a write, or with a call that fails.
After it everything that was acknowledged is there, the shard is taken over and not left, and all goes on; also where
the one that takes it over is killed in turn.
"""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import pytest
from container.pipes import warned
from durability.children import CALLS, Child, Kill
from torture import harness
from torture.harness import MEMORY, Lost, Wrong

import smartpipe
from smartpipe import ShardStore
from smartpipe._platform import disk

NAME = "kill -9, and failing calls, at every call of a store: begin, put, delete, roll, compact, collect, close, adopt"
UNIT = "kills and faults"
QUICK = 260
LONG = 20_000

DURABILITIES: dict[str, Any] = {
    "none": "none",
    "close": "close",
    "block": "block",
    "counted": smartpipe.Grouped(bytes=4096),
}
ERRORS: dict[str, BaseException] = {
    "EIO": OSError(errno.EIO, os.strerror(errno.EIO)),
    "ENOSPC": OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)),
    "interrupt": KeyboardInterrupt(),
}

Blocks = dict[bytes, bytes]
Step = tuple[str, Blocks]

# Of each step what it puts; a delete has the keys of what goes.
SCRIPT: list[Step] = [
    ("put", {b"a": b"1" * 500}),
    ("put", {b"b": b"2" * 9000}),
    ("put_many", {b"%d" % number: b"%d" % number * 700 for number in range(8)}),
    ("delete", {b"a": b"", b"3": b""}),
    ("put", {b"a": b"again" * 10}),
    ("overwrite", {b"b": b"other" * 30, b"5": b"five"}),
    ("flush", {}),
    ("put_many", {b"more %d" % number: b"m" * 3000 for number in range(5)}),
    ("compact", {}),
    ("delete", {b"more 2": b""}),
    ("sync", {}),
    ("gc", {}),
    ("again", {}),
    ("put", {b"last": b"one"}),
    ("close", {}),
]


class Way(NamedTuple):
    durability: str
    codec: Any
    shard_size: int

    @property
    def options(self) -> dict[str, Any]:
        return {
            "durability": DURABILITIES[self.durability],
            "compress": self.codec,
            "shard_size": self.shard_size,
            "level": 1,
        }


WAYS = [
    Way("close", None, 8000),
    Way("none", "zlib", 1 << 20),
    Way("block", None, 1 << 20),
    Way("counted", "zlib", 8000),
]


class Point(NamedTuple):
    """Where the script is broken: at which call, in the middle of it where `within`, and how."""

    way: Way
    which: int
    within: bool
    error: str | None
    """None: killed."""


class Model:
    """What may be there: of each key the values that it may have, None for none."""

    def __init__(self) -> None:
        self.may: dict[bytes, set[bytes | None]] = {}

    def begin(self, step: Step) -> None:
        """From now on each of these may have happened."""
        for key, value in step[1].items():
            self.may.setdefault(key, {None}).add(None if step[0] == "delete" else value)

    def end(self, step: Step) -> None:
        for key, value in step[1].items():
            self.may[key] = {None if step[0] == "delete" else value}

    def check(self, found: Blocks, what: str) -> None:
        for key in {*self.may, *found}:
            if found.get(key) not in self.may.get(key, {None}):
                short = [value and value[:20] for value in self.may.get(key, {None})]
                raise Lost(f"{what}: {key!r} is {(found.get(key) or b'nothing')[:20]!r}, and may be one of {short}")

    def settle(self, found: Blocks) -> None:
        """What was seen stays."""
        self.may = {key: {found.get(key)} for key in self.may}


def play(store: ShardStore, step: Step) -> ShardStore:
    """Do a step of the script; gives the store, which is another object when it was opened again."""
    kind, blocks = step
    if kind == "put_many":
        store.put_many(blocks)
    elif kind == "delete":
        for key in blocks:
            store.delete(key)
    elif kind in ("put", "overwrite"):
        for key, value in blocks.items():
            store.put_bytes(key, value, overwrite=kind == "overwrite")
    elif kind == "gc":
        store.gc(grace=0)
    elif kind == "again":
        store.close()
        return ShardStore(store.path, **store.__reduce__()[1][2])
    else:
        getattr(store, kind)()
    return store


def singly(script: list[Step]) -> list[Step]:
    """The script with a step for each key, where a step is not one call."""
    found: list[Step] = []
    for kind, blocks in script:
        if kind in ("put", "overwrite", "delete"):
            found += [(kind, {key: value}) for key, value in blocks.items()]
        else:
            found.append((kind, blocks))
    return found


STEPS = singly(SCRIPT)


@lru_cache
def calls_of(way: Way) -> list[str]:
    """The calls that the script makes."""
    with TemporaryDirectory(dir=MEMORY) as folder:

        def work(tell: Callable[[str], None]) -> None:
            kill = Kill(None)
            kill.install()
            store = ShardStore(folder + "/store", **way.options)
            for step in STEPS:
                store = play(store, step)
            tell(" ".join(kill.calls))

        return Child(work).end()[0].split()


@lru_cache
def points() -> list[Point]:
    found = []
    for way in WAYS:
        for which, call in enumerate(calls_of(way)):
            for error in (None, *ERRORS):
                found.append(Point(way, which, False, error))
                if call == "write":
                    found.append(Point(way, which, True, error))
    # A part of them, which the short form makes, is of all kinds.
    Random(1).shuffle(found)
    return found


def setup() -> None:
    points()


def case(number: int, random: Random, folder: Path) -> None:
    point = points()[number % len(points())]
    try:
        (killed if point.error is None else failed)(point, random, folder)
    except Exception as error:
        call = calls_of(point.way)[point.which]
        error.args = (f"{point}, {call}: {error.args[0] if error.args else ''}", *error.args[1:])
        raise


# Kills


def killed(point: Point, random: Random, folder: Path) -> None:
    path = str(folder / "store")
    part = random.choice((0.0, 0.3, 0.9, 1.0)) if point.within else None

    def work(tell: Callable[[str], None]) -> None:
        Kill(point.which, part).install()
        store = ShardStore(path, **point.way.options)
        for number, step in enumerate(STEPS):
            tell(f"begin {number}")
            store = play(store, step)
            tell(f"end {number}")

    model = told(Child(work).end())
    look(path, model, "as it was left")
    # The next one takes it over, and may be killed too.
    which = random.randrange(20)

    def another(tell: Callable[[str], None]) -> None:
        Kill(which, random.choice((None, 0.5))).install()
        with ShardStore(path, **point.way.options) as store:
            tell("put")
            store.put_bytes(b"another", b"of another")
            tell("done")
            store.compact()

    for _ in range(random.choice((0, 1, 2))):
        lines = Child(another).end()
        if "put" in lines:
            model.begin(("put", {b"another": b"of another"}))
        if "done" in lines:
            model.end(("put", {b"another": b"of another"}))
        look(path, model, "after another one was killed")
    go_on(path, point.way, model)


def told(lines: list[str]) -> Model:
    model = Model()
    for line in lines:
        word, number = line.split()
        getattr(model, word)(STEPS[int(number)])
    return model


def contents(path: str) -> Blocks:
    with warned(), ShardStore(path, mode="r") as store:
        found = {key: block[b""] for key, block in store.items()}
        if len(store) != len(found) or any(store.get_bytes(key) != value for key, value in found.items()):
            raise Wrong("what is found one by one is not what all are")
        return found


def look(path: str, model: Model, what: str) -> None:
    """A reader finds what may be there; what it has seen stays."""
    try:
        found = contents(path)
    except (smartpipe.PipeNotFoundError, smartpipe.FormatError, FileNotFoundError):
        # It was killed before the store was there.
        if any(None not in values for values in model.may.values()):
            raise
        return
    model.check(found, what)


def go_on(path: str, way: Way, model: Model) -> None:
    """The next writer takes over what is there, goes on, and collects what is left over."""
    with warned() as messages, ShardStore(path, **way.options) as store:
        found = {key: block[b""] for key, block in store.items()}
        model.check(found, "for the next writer")
        model.settle(found)
        before = open_shards(store)
        size = len(store)
        store.put_bytes(b"next", b"n" * 100)
        if len(before) > 0 and not open_shards(store) <= before and way.shard_size > 8000:
            raise Wrong(f"of the open shards {before} none was taken over: {open_shards(store)}")
        if len(store) != size + 1:
            raise Wrong(f"{len(store)} keys, and {size} before")
    if not all("unfinished" in message or "index" in message for message in messages):
        raise Wrong(str(messages))
    model.end(("put", {b"next": b"n" * 100})) if b"next" in model.may else model.may.update({b"next": {b"n" * 100}})
    model.check(contents(path), "after the next writer")
    with warned() as messages, ShardStore(path, **way.options) as store:
        store.compact()
        make_old(path)
        store.gc(grace=0)
        model.check({key: block[b""] for key, block in store.items()}, "after compacting")
        listed = {shard.data for shard in store.manifest.shards.values()}
        files = {name for name in os.listdir(path) if name.endswith((".dat", ".datz"))}
        if files != listed:
            raise Wrong(f"files {sorted(files)}, and shards {sorted(listed)}")
        aside = [name for name in os.listdir(path + "/manifest") if name.startswith(".")]
        if aside:
            raise Wrong(f"left over: {aside}")
    if messages:
        raise Wrong(f"a second time: {messages}")
    model.check(contents(path), "in the end")


def open_shards(store: ShardStore) -> set[int]:
    return {listed.id for listed in store.manifest.shards.values() if listed.counter > 0}


def make_old(path: str) -> None:
    """Let all that was written aside be old enough to be collected."""
    for folder, _, names in os.walk(path):
        for name in names:
            os.utime(os.path.join(folder, name), (0, 0))


# Failing calls


def failed(point: Point, random: Random, folder: Path) -> None:
    """One call fails, or all from there on: nothing acknowledged is lost, and the next store goes on."""
    path = str(folder / "store")
    last = point.which + random.choice((0, 0, 2, 1000))
    fault = Fault(point, last)
    model = Model()
    store = None
    error: str | None = None
    with warned():
        with pytest.MonkeyPatch.context() as patched:
            for name in CALLS:
                patched.setattr(disk, name, fault.around(name, getattr(disk, name)))
            try:
                store = ShardStore(path, **point.way.options)
                for step in STEPS:
                    model.begin(step)
                    store = play(store, step)
                    model.end(step)
            except (smartpipe.StorageError, KeyboardInterrupt) as caught:
                error = type(caught).__name__  # not itself: it would keep what it was raised through
                expected = ERRORS[point.error or ""]
                if isinstance(caught, smartpipe.StorageError) and caught.errno != getattr(expected, "errno", None):
                    raise
        if store is not None and not store.closed:
            after(store, model, error)
            try:
                store.close()
            except smartpipe.StorageError:
                pass  # what it could not finish is not said to be
        look(path, model, "after the error")
    del store
    go_on(path, point.way, model)


def after(store: ShardStore, model: Model, error: str | None) -> None:
    """The store reads on, and either writes on or says that it does not."""
    model.check({key: block[b""] for key, block in store.items()}, "in the store that failed")
    for number in range(2):
        step: Step = ("overwrite", {b"after": b"the error %d" % number, b"b": b"after %d" % number})
        for one in singly([step]):
            model.begin(one)
            try:
                play(store, one)
            except smartpipe.StorageError:
                if error is None:
                    raise
            else:
                model.end(one)
                if store.get_bytes(next(iter(one[1]))) != next(iter(one[1].values())):
                    raise Lost(f"what was put behind {error}")


class Fault:
    """Lets calls fail, in the middle of a write where the point says so."""

    def __init__(self, point: Point, last: int) -> None:
        self.point, self.last = point, last
        self.count = 0

    def around(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def made(*arguments: Any) -> Any:
            number = self.count
            self.count += 1
            if not self.point.which <= number <= self.last:
                return call(*arguments)
            if self.point.within and name == "write":
                file, data = arguments
                call(file, memoryview(data)[: len(data) // 2])
            error = ERRORS[self.point.error or ""]
            raise type(error)(*error.args)

        return made


def test_kills_and_faults_at_calls_of_a_store() -> None:
    harness.quick(sys.modules[__name__])


# Who takes over what


def leave(path: str, key: bytes, part: float | None = None) -> None:
    """A process that is killed with a block under a key, and a part of another one."""

    def work(tell: Callable[[str], None]) -> None:
        store = ShardStore(path)
        store.put_bytes(key, key * 100)
        Kill(0, part).install()
        store.put_bytes(b"torn", b"x" * 5000)

    child = Child(work)
    child.end()
    assert child.killed


def data_files(path: str) -> list[str]:
    return sorted(name for name in os.listdir(path) if name.endswith(".dat"))


def test_what_a_killed_writer_left_unfinished_is_cut_with_a_warning(tmp_path: Path) -> None:
    path = str(tmp_path / "store")
    leave(path, b"key", 0.5)
    (name,) = data_files(path)
    with warned() as messages, ShardStore(path) as store:
        assert store.get_bytes(b"key") == b"key" * 100
        assert b"torn" not in store
        messages.clear()
        store.put_bytes(b"next", b"value")
    assert len([message for message in messages if "cut off" in message and name in message]) == 1
    assert data_files(path) == [name]
    with ShardStore(path) as store:  # and nothing is to be said any more
        assert {key: block[b""] for key, block in store.items()} == {b"key": b"key" * 100, b"next": b"value"}


def test_more_processes_than_open_shards(tmp_path: Path) -> None:
    """Three shards were left, and five writers come: each has a shard of its own, and three of them an old one."""
    path = str(tmp_path / "store")
    first = [ShardStore(path) for _ in range(3)]
    for number, store in enumerate(first):
        store.put_bytes(b"%d" % number, b"1")
    for store in first:
        store.close()
    left = set(data_files(path))
    assert len(left) == 3
    stores = [ShardStore(path) for _ in range(5)]
    for number, store in enumerate(stores):
        store.put_bytes(b"new %d" % number, b"1")
    assert left < set(data_files(path))
    assert len(data_files(path)) == 5
    for store in stores:
        assert len(store) == 8
        store.close()


def test_processes_that_come_at_the_same_time_never_take_over_the_same(tmp_path: Path) -> None:
    path = str(tmp_path / "store")
    for _ in range(4):
        leave(path, b"%d" % _)
        with ShardStore(path) as store:
            store.put_bytes(b"kept %d" % _, b"1")

    def work(tell: Callable[[str], None]) -> None:
        with ShardStore(path) as store:
            tell("open")
            os.read(begin, 1)
            for number in range(20):
                store.put_bytes(b"%d/%d" % (os.getpid(), number), b"%d" % os.getpid())
            (own,) = (shard.id for shard in store.shards.values() if shard.output is not None)
            tell(f"own {own}")
            os.read(end, 1)

    for _ in range(3):
        begin, start = os.pipe()
        end, stop = os.pipe()
        children = [Child(work) for _ in range(8)]
        os.write(start, b"!" * 8)
        os.write(stop, b"!" * 8)
        for child in children:
            child.end()
        for number in (begin, start, end, stop):
            os.close(number)
        with ShardStore(path, mode="r") as store:
            # 20 blocks of each of 8 processes, whole: two in one file would have written over each other.
            assert all(block[b""] == key.split(b"/")[0] for key, block in store.items() if b"/" in key)
            assert len([key for key in store if b"/" in key]) == 8 * 20 * (_ + 1)
            assert store.stats()["open_shards"] <= 9


def test_a_shard_that_somebody_writes_is_not_taken_over(tmp_path: Path) -> None:
    path = str(tmp_path / "store")
    with ShardStore(path) as one:
        one.put_bytes(b"a", b"1")
        with ShardStore(path) as two:
            two.put_bytes(b"b", b"2")
            assert len(data_files(path)) == 2
        with ShardStore(path) as three:
            three.put_bytes(b"c", b"3")
            assert len(data_files(path)) == 2
        one.put_bytes(b"d", b"4")
        assert len(one) == 4


def test_a_shard_of_another_codec_waits_for_a_writer_of_its_own(tmp_path: Path) -> None:
    path = str(tmp_path / "store")
    for codec in (None, "zlib", None, "zlib", False):
        with ShardStore(path, compress=codec if codec is not None else False) as store:  # type: ignore[arg-type]
            store.put_bytes(b"%r" % codec, b"1", overwrite=True)
    names = [name for name in os.listdir(path) if name.endswith((".dat", ".datz"))]
    assert len(names) == 2
