"""Many processes write artifacts to one store, are killed at random and run again, while others read, collect and
remove: a check of what they were told against what is there.

A `Play` has the processes, how many artifacts each writes, and the kills. Each process writes, with an index of its
own, half of its values in archives of many and half in archives of one. Half of the values are the same in all
processes, which come to them at about the same time. In between it writes a name anew, `joined`, in version after
version, and tells in memory that all processes share which one it begins and which one is written. So a reader that
joins all indexes knows of each what it may find: the whole of one version that was begun before it ended, and not older
than what was written before it began.
"""

from __future__ import annotations

import json
import mmap
import os
import signal
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from pickle import dumps
from random import Random
from threading import Thread
from typing import Any

from durability.children import Child
from torture.harness import Lost, Wrong

from smartpipe import errors
from smartpipe.locations import Files, Location, Shards
from smartpipe.stores import ArtifactStore
from smartpipe.stores.keys import parsed

RUN = {"flow": "F", "execution": "1", "layer": "L"}
MANY = 100
"""Values of an archive of many."""
MOST_VALUES = 7
"""Values of a version of `joined`, none in some."""
HOURS = 3600 * 4


@dataclass(frozen=True)
class Play:
    """What is played."""

    kind: str
    """Where: "files" or "shards"."""
    processes: int
    artifacts: int
    """Values that each process writes, besides those that it writes anew."""
    kills: int
    """Kills of a phase."""
    phases: int
    """How often all of them are killed, looked at, and run again; in the last one they come to their end."""
    versions: int
    """How often each process writes `joined` anew when it comes to its end, at least."""
    readers: int = 1
    pause: float = 0.1
    """Seconds between two kills, on average."""

    def place(self, folder: Path, process: int = 0) -> Location:
        if self.kind == "files":
            return Files(folder / "tree")
        # Processes need not agree on these.
        options: dict[str, Any] = {"shard_size": (256 << 10, 4 << 20, 64 << 20)[process % 3]}
        return Shards(folder / "shards", durability="none", large=5000 if process % 4 == 1 else 16 << 20, **options)

    def names(self) -> list[tuple[str, range]]:
        """Return the names that are written once, with the numbers of their values."""
        half = self.artifacts // 2
        many = [(f"many-{at}", range(at, min(at + MANY, half))) for at in range(0, half, MANY)]
        return many + [(f"one-{number}", range(number, number + 1)) for number in range(half, self.artifacts)]


@dataclass
class Outcome:
    """What was done and looked at."""

    kills: int = 0
    archives: int = 0
    """Archives that were compared, in all looks."""
    artifacts: int = 0
    """Artifacts in the end."""
    values: int = 0
    """Values that were read in the end."""
    joins: int = 0
    """Times that a reader joined all indexes while they were written."""
    collected: int = 0
    """Artifacts that were collected meanwhile."""
    deleted: int = 0
    """Archives of executions that were deleted meanwhile."""
    verified: int = 0
    """Times that `verify` was clean, while others wrote and when nobody did."""
    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def timed(self, what: str) -> Iterator[None]:
        begin = time.monotonic()
        yield
        self.seconds[what] = self.seconds.get(what, 0.0) + time.monotonic() - begin


def value_of(process: int, number: int) -> object:
    """The value with a number; every other one is the same in all processes."""
    if number % 2 == 0:
        return {"page": number, "text": f"of all, {number} " * (number % 40)}
    if number % 500 == 1:
        return bytes([number // 500 % 256]) + sha256(b"%d %d" % (process, number)).digest() * 400
    return [process, number, f"of {process}"]


def version_of(process: int, version: int) -> list[object]:
    """What `joined` of a process has in a version: its own values, and one that others have too."""
    count = (process + version) % (MOST_VALUES + 1)
    return [(process, version, number, count) for number in range(count - 1)] + ["in all"] * (count > 0)


def digest_of(value: object) -> str:
    return sha256(dumps(value, protocol=5)).hexdigest()


COUNTED = ("joins", "collected", "deleted", "verified")


class Told:
    """What each process has begun and written, in memory that all share and that a kill leaves as it is."""

    def __init__(self, play: Play) -> None:
        self._counts = 16 * play.processes
        self._over = self._counts + 8 * len(COUNTED)
        self._memory = mmap.mmap(-1, self._over + 1)

    def begun(self, process: int) -> int:
        return int(struct.unpack_from("<q", self._memory, 16 * process)[0])

    def written(self, process: int) -> int:
        return int(struct.unpack_from("<q", self._memory, 16 * process + 8)[0])

    def begin(self, process: int, version: int) -> None:
        struct.pack_into("<q", self._memory, 16 * process, version)

    def end(self, process: int, version: int) -> None:
        struct.pack_into("<q", self._memory, 16 * process + 8, version)

    def count(self, what: str, more: int) -> None:
        at = self._counts + 8 * COUNTED.index(what)
        struct.pack_into("<q", self._memory, at, struct.unpack_from("<q", self._memory, at)[0] + more)

    def counted(self) -> dict[str, int]:
        return dict(zip(COUNTED, struct.unpack_from(f"<{len(COUNTED)}q", self._memory, self._counts), strict=True))

    @property
    def is_over(self) -> bool:
        return self._memory[self._over] == 1

    @is_over.setter
    def is_over(self, value: bool) -> None:
        self._memory[self._over] = value


# What the processes do


def writer(play: Play, process: int, told: Told, folder: Path, seed: int) -> Callable[[Any], None]:
    """Write everything from the beginning, whatever is there already."""

    def work(tell: Any) -> None:
        signal.alarm(HOURS)
        random = Random(f"{seed}:{process}:{os.getpid()}")
        store = ArtifactStore(play.place(folder, process))
        names = play.names()
        often = max(1, len(names) // play.versions)

        def some(part: list[tuple[str, range]]) -> None:
            for name, numbers in part:
                store.write(**RUN, index=process, name=name, values=(value_of(process, number) for number in numbers))

        for at in range(0, len(names), often):
            part = names[at : at + often]
            if process % 4 == 1:  # in threads that share the store
                threads = [Thread(target=some, args=(part[number::2],)) for number in range(2)]
                for thread in threads:
                    thread.start()
                for thread in threads:
                    thread.join()
            elif process % 4 == 2 and random.random() < 0.2:  # in a child that has the store of its parent
                Child(lambda tell: some(part)).end()  # noqa: B023  it is run at once
            else:
                some(part)
            version = max(told.begun(process), told.written(process)) + 1
            told.begin(process, version)
            # Sharded, as it may be the only archive yet, with one value.
            store.write(**RUN, index=process, name="joined", values=version_of(process, version), sharded=True)
            told.end(process, version)
            # What others delete meanwhile.
            scratch = {"flow": "F", "execution": f"scratch-{process % 2}", "layer": "L", "index": process}
            store.write(**scratch, name="x", values=["in all", version, *range(process)])
        store.close()

    return work


def reader(play: Play, told: Told, folder: Path) -> Callable[[Any], None]:
    """Join all indexes again and again."""

    def work(tell: Any) -> None:
        signal.alarm(HOURS)
        store = ArtifactStore(play.place(folder))
        while not told.is_over:
            told.count("joins", read_joined(play, store, told))

    return work


def read_joined(play: Play, store: ArtifactStore, told: Told) -> bool:
    """Read `joined` of all indexes and hold it against what may be there; False where it can not be told."""
    least = [told.written(process) for process in range(play.processes)]
    try:
        accessor = store.read(**RUN, name="joined")
        most = [told.begun(process) for process in range(play.processes)]
        values = accessor[:] if least[0] % 2 else list(accessor)
    except errors.ArtifactNotFound as error:
        now = [told.begun(process) for process in range(play.processes)]
        if b"/archives/" in (error.block or b""):
            if any(least):
                raise Lost(f"{error}, though of these versions all were written: {least}") from error
        elif now == least:
            raise Lost(f"{error}, and nobody wrote: {least}") from error
        return False  # it was written anew, and the values that it had were collected
    check_joined(values, least, most)
    return any(least)


def check_joined(values: list[Any], least: list[int], most: list[int]) -> None:
    """What was joined has to be, one index after another, the whole of a version from `least` to `most`."""
    # Those that may follow: at which value of which process, as some versions have no values, or only one of all.
    places = {0}
    for process, (first, last) in enumerate(zip(least, most, strict=True)):
        following = set()
        for version in range(first, last + 1):
            wanted = version_of(process, version) if version > 0 else []
            for place in places:
                if values[place : place + len(wanted)] == wanted:
                    following.add(place + len(wanted))
        if not following:
            near = values[min(places) : max(places) + MOST_VALUES + 1]
            raise Wrong(f"of index {process} versions {first} to {last} may be there, and not what is read: {near}")
        places = following
    if len(values) not in places:
        raise Wrong(f"{len(values)} values, and not {sorted(places)}: {values}")


def collector(play: Play, told: Told, folder: Path, seed: int) -> Callable[[Any], None]:
    """Collect, delete executions, compact, and look at everything, again and again."""

    def work(tell: Any) -> None:
        signal.alarm(HOURS)
        random = Random(f"{seed}:collector:{os.getpid()}")
        place = play.place(folder)
        store = ArtifactStore(place)
        while not told.is_over:
            told.count("collected", len(store.gc(grace=0).removed))
            told.count("deleted", store.delete_execution(flow="F", execution=f"scratch-{random.randrange(2)}"))
            if random.random() < 0.3:
                check_clean(store)
                told.count("verified", 1)
            if isinstance(place, Shards):
                place.store.compact(dead=0.3)
                place.store.gc(grace=0)
            time.sleep(random.random() * 0.2)

    return work


def check_clean(store: ArtifactStore) -> int:
    report = store.verify()
    if not report.ok:
        raise Wrong(f"not whole: {report.problems[:5]}")
    return report.artifacts


# What came of it


def check(play: Play, folder: Path, told: Told, outcome: Outcome, ended: bool) -> None:
    """Look at a store that nobody writes to: each archive is complete or absent, verify is clean, nothing is twice."""
    with play.place(folder) as place:
        store = ArtifactStore(place)
        keys = [content.key for content in place.contents()]
        if len(keys) != len(set(keys)):
            raise Wrong("a key comes twice")
        with outcome.timed("archives"):
            check_archives(play, place, told, keys, outcome, ended)
        with outcome.timed("verify"):
            artifacts = check_clean(store)
        outcome.verified += 1
        distinct = {kind.name for key in keys if (kind := parsed(key)) is not None and kind.kind == "artifact"}
        stored = [key for key in keys if b"/artifacts/" in key]
        if len(stored) != len(distinct) or artifacts != len(distinct):
            raise Wrong(f"{len(stored)} artifacts are stored, {artifacts} found, of {len(distinct)} digests")
        if ended:
            with outcome.timed("values"):
                check_values(play, store, told, outcome)
            for number in range(2):
                store.delete_execution(flow="F", execution=f"scratch-{number}")
            store.gc(grace=0)
            wanted = expected(play, told)
            found = {kind.name for key in stored_keys(place) if (kind := parsed(key)) is not None}
            if found != wanted:
                raise Wrong(f"{len(found - wanted)} artifacts too many, {len(wanted - found)} too few")
            outcome.artifacts = len(found)


def stored_keys(place: Location) -> list[bytes]:
    return [content.key for content in place.contents(b"F/artifacts/")]


def check_archives(play: Play, place: Location, told: Told, keys: list[bytes], outcome: Outcome, ended: bool) -> None:
    """Compare every archive that is there with what was written; all of them have to be there when it has ended."""
    wanted = dict(play.names())
    left = {(process, name) for process in range(play.processes) for name in [*wanted, "joined"]}
    for key, data in place.read_batch([key for key in keys if key.startswith(b"F/archives/1/")]):
        kind = parsed(key)
        if kind is None or data is None:
            raise Wrong(f"{key!r} can not be read")
        left.discard((kind.index, kind.name))
        digests = [entry["hexdigest"] for entry in json.loads(data)["artifacts"]]
        if kind.name == "joined":
            versions = range(told.written(kind.index), told.begun(kind.index) + 1)
            allowed = [version_of(kind.index, version) for version in versions if version > 0]
        else:
            allowed = [[value_of(kind.index, number) for number in wanted[kind.name]]]
        if digests not in [[digest_of(value) for value in values] for values in allowed]:
            raise Wrong(f"{key!r} has {len(digests)} artifacts, and not those that were written")
        outcome.archives += 1
    if ended and left:
        raise Lost(f"{len(left)} archives are not there: {sorted(left)[:5]}")


def check_values(play: Play, store: ArtifactStore, told: Told, outcome: Outcome) -> None:
    """Read everything, joined over all indexes."""
    # A record makes it needless to look which archives there are, which takes as long as there are many.
    store.write_record(**RUN, splits=play.processes)
    for name, numbers in play.names():
        values = [value_of(process, number) for process in range(play.processes) for number in numbers]
        accessor = store.read(**RUN, name=name)
        if (list(accessor) if play.processes > 1 or len(numbers) > 1 else [accessor]) != values:
            raise Wrong(f"{name} is not what was written")
        outcome.values += len(values)
    last = [told.written(process) for process in range(play.processes)]
    check_joined(list(store.read(**RUN, name="joined")), last, last)


def expected(play: Play, told: Told) -> set[str]:
    """Return the digests of what is named in the end."""
    store = [value_of(process, number) for process in range(play.processes) for number in range(play.artifacts)]
    for process in range(play.processes):
        store += version_of(process, told.written(process))
    return {digest_of(value) for value in store}


# Playing


def play_all(play: Play, seed: int, folder: Path) -> Outcome:
    """Play all phases; Lost or Wrong where something is."""
    random = Random(f"kills:{seed}")
    outcome, told = Outcome(), Told(play)
    for phase in range(play.phases):
        is_last = phase == play.phases - 1
        with outcome.timed("written"):
            play_phase(play, random, seed, folder, told, outcome, is_last)
        check(play, folder, told, outcome, is_last)
    for what, count in told.counted().items():
        setattr(outcome, what, getattr(outcome, what) + count)
    return outcome


def play_phase(
    play: Play, random: Random, seed: int, folder: Path, told: Told, outcome: Outcome, is_last: bool
) -> None:
    """Start all, kill some and start them again, and then kill all that write, or in the last phase wait for them."""
    told.is_over = False
    works = {process: writer(play, process, told, folder, seed) for process in range(play.processes)}
    works[play.processes] = collector(play, told, folder, seed)
    children: dict[int, Child] = {}
    readers: list[Child] = []
    try:
        for _ in range(play.readers):
            readers.append(Child(reader(play, told, folder)))
        for number, work in works.items():
            children[number] = Child(work)
        for _ in range(play.kills):
            time.sleep(random.expovariate(1 / play.pause))
            number = random.choice(list(works))
            children[number].kill()
            children.pop(number).end()
            outcome.kills += 1
            children[number] = Child(works[number])
        if not is_last:
            for process in range(play.processes):
                time.sleep(random.expovariate(4 / play.pause))
                children[process].kill()
                outcome.kills += 1
        for process in range(play.processes):
            children.pop(process).end()
        told.is_over = True
        children.pop(play.processes).end()
        while readers:
            readers.pop().end()
    except BaseException:
        for child in [*children.values(), *readers]:
            child.kill()
        raise
