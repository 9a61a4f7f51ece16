"""The power is lost at any point: what a sync had acknowledged is there, and nothing is ever wrong.

A story is written once, with every call that changes the disk recorded, and with the point of the record from which on
each block was acknowledged. A case cuts the record somewhere, takes one of the states that the disk can be in then
(`disk.after_loss`), and lets a reader and a writer at it, often to lose the power once more.

What FORMAT.md («Format 1») says that format 1 can not tell is not asked of it: what is behind the last block that was
acknowledged has no checksum.

The story, the point and the state follow from the number of the case. Only file ids, hash keys and stamps differ from
run to run.
"""

from __future__ import annotations

import shutil
import struct
import sys
import tempfile
import threading
import time
import warnings
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import pytest
from container.pipes import KINDS, Kind, Pairs, every_kind, every_kind_of_format2
from torture import harness
from torture.harness import Lost, Wrong

import smartpipe
from smartpipe._platform import disk as table

from .disk import Call, Files, Link, Recording, Sync, SyncFolder, Write, after_loss, in_order, synced

NAME = (
    "power loss: recorded writes since the last sync lost, reordered, torn by sector; folder entries and renames lost"
)
UNIT = "states"
QUICK = 20_000
LONG = 5_000_000

PREFIX = "pipe"
AGAIN = 0.25  # how often the power is lost once more
MODES = ("close", "block", "none")
TEXT = b"".join(b"<p>%d</p>" % (number * number) for number in range(3000))


@dataclass
class Version:
    """What one writer made of a pipe, and those that went on with it. Points are places in a record."""

    kind: Kind
    number: int
    since: int | None
    """From where on it may be found at its prefix; None as long as it is to replace another."""
    until: int | None = None
    """From where on it was replaced for certain."""
    exists: int | None = None
    """From where on it was acknowledged that it is there."""
    blocks: dict[bytes, Pairs] = field(default_factory=dict)
    begun: dict[bytes, int] = field(default_factory=dict)
    """Where the write of each block began."""
    durable: dict[bytes, int] = field(default_factory=dict)
    """Where each block was acknowledged."""
    metadata: list[tuple[dict[bytes, bytes], int]] = field(default_factory=lambda: [({}, 0)])
    """The metadata that it had, and where the write began."""
    metadata_durable: list[tuple[int, int]] = field(default_factory=list)
    """Where which number of these was acknowledged."""

    def possible(self, cut: int) -> bool:
        return self.since is not None and self.since <= cut and (self.until is None or cut < self.until)

    def certain(self, cut: int) -> list[bytes]:
        """The keys that have to be there."""
        return [key for key, point in self.durable.items() if point <= cut]

    def must_exist(self, cut: int) -> bool:
        return self.exists is not None and self.exists <= cut

    def metadata_at(self, cut: int) -> list[dict[bytes, bytes]]:
        """What the metadata may be."""
        first = max((number for number, point in self.metadata_durable if point <= cut), default=0)
        return [metadata for metadata, point in self.metadata if point <= cut][first:]

    def after(self, cut: int) -> Version:
        """This one, as it is when a new record begins where another was cut."""
        version = Version(self.kind, self.number, 0, exists=0 if self.must_exist(cut) else None)
        version.blocks = {key: pairs for key, pairs in self.blocks.items() if self.begun[key] <= cut}
        version.begun = dict.fromkeys(version.blocks, 0)
        version.durable = dict.fromkeys(self.certain(cut), 0)
        version.metadata = [(metadata, 0) for metadata, point in self.metadata if point <= cut]
        version.metadata_durable = [(number, 0) for number, point in self.metadata_durable if point <= cut]
        return version


class Story:
    """What happens to the pipes of a folder, and from where of the record on what has to be there."""

    def __init__(self, name: str, folder: Path, random: Random, again: bool = False) -> None:
        self.name = name
        self.again = again
        self.random = random
        self.folder = folder
        self.recording = Recording(folder)
        self.pipes: dict[str, list[Version]] = {}
        self.count = 0

    @property
    def point(self) -> int:
        return len(self.recording)

    def synced(self) -> bool:
        """Whether all data is on the disk."""
        pending = synced(self.recording, self.point).pending
        return not any(changes and is_data(self, file) for file, changes in pending.items())

    def prefix(self, name: str) -> str:
        return str(self.folder / name)

    def open(self, mode: str, kind: Kind, name: str = PREFIX, **options: Any) -> Session:
        return Session(self, name, mode, kind, options)

    def key(self, number: int) -> bytes:
        # What a torn index of format 1 holds for keys can be an empty one.
        return b"" if number == 2 and not self.again else b"https://%d/" % number

    def pairs(self, number: int, counts: tuple[int, ...]) -> Pairs:
        """Pairs that no other version has."""
        pairs = []
        for count in range(self.random.choice(counts)):
            size = self.random.choice((0, 1, 40, 400, 1500, 5000))
            start = self.random.randrange(len(TEXT) - size)
            value = self.random.choice((TEXT[start : start + size], self.random.randbytes(size)))
            pairs.append((b"%d" % count, b"%d:" % number + value))
        return pairs


class Session:
    """A writer, and what it was told and acknowledged."""

    def __init__(self, story: Story, name: str, mode: str, kind: Kind, options: dict[str, Any]) -> None:
        self.story = story
        versions = story.pipes.setdefault(name, [])
        there = versions[-1] if versions else None
        self.before = there if mode == "w" else None
        metadata = options.get("metadata")
        if mode == "a" and there is not None:
            self.version = there
        else:
            story.count += 1
            self.version = Version(kind, story.count, None if self.before else story.point)
            versions.append(self.version)
        self.older = versions[:-1]
        if metadata:
            self.version.metadata.append(({**self.version.metadata[-1][0], **metadata}, story.point))
        self.durability = options.get("durability", "close")
        self.pipe: Any = opened(story.prefix(name), mode, {**kind.options, **options})
        self.present = [key for key in self.version.blocks if key in self.pipe]

    def write(self, count: int = 1, pairs: Pairs | None = None) -> None:
        for _ in range(count):
            version = self.version
            key = self.story.key(len(version.blocks))
            # The first has pairs: a pipe of format 1 without any has no bytes that tell it from a new one.
            counts = (0, 1, 1, 2, 4) if version.blocks else (1, 2)
            version.blocks[key] = self.story.pairs(version.number, counts) if pairs is None else pairs
            version.begun[key] = self.story.point
            self.pipe.write(key, version.blocks[key])
            self.present.append(key)
            if self.durability == "block":
                self.acknowledge()

    def acknowledge(self) -> None:
        point = self.story.point
        for key in self.present:
            self.version.durable.setdefault(key, point)
        self.version.metadata_durable.append((len(self.version.metadata) - 1, point))
        if self.version.exists is None:
            self.version.exists = point
        if self.before is None:
            for older in self.older:
                older.until = point if older.until is None else older.until

    def sync(self) -> None:
        self.pipe.sync()
        self.acknowledge()

    def flush(self) -> None:
        self.pipe.flush()

    def close(self) -> None:
        if self.before is not None:
            # If the new pipe is there, then all of it.
            self.version.since = self.story.point
            self.acknowledge()
        self.pipe.close()
        if self.before is not None:
            self.before.until = self.story.point
        elif self.durability != "none":
            self.acknowledge()

    def abort(self) -> None:
        self.pipe.abort()

    def drop(self) -> None:
        """End as a killed process does."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ResourceWarning)
            self.pipe = None


def opened(prefix: str, mode: str, options: dict[str, Any]) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", smartpipe.PipeWarning)
        return smartpipe.open(prefix, mode, **options)  # type: ignore[call-overload]


# The stories


def create(story: Story, kind: Kind, durability: Any) -> None:
    pipe = story.open("x", kind, durability=durability, **described(kind, b"1"))
    pipe.write(2)
    pipe.flush()
    pipe.write(2)
    pipe.sync()
    pipe.write(2)
    pipe.flush()
    pipe.write(2)
    pipe.close()


def append(story: Story, kind: Kind, durability: Any) -> None:
    """Go on with a closed pipe, and again without writing anything."""
    pipe = story.open("w", kind, durability=durability)
    pipe.write(3)
    pipe.close()
    pipe = story.open("a", kind, durability=durability, **described(kind, b"2"))
    pipe.write(3)
    pipe.sync()
    pipe.write(3)
    pipe.close()
    story.open("a", kind).close()
    pipe = story.open("a", kind, durability=durability)
    pipe.write(2)
    pipe.close()


def crash(story: Story, kind: Kind, durability: Any) -> None:
    """Writers are killed, before and behind a sync, and others go on."""
    pipe = story.open("a", kind, durability=durability)
    pipe.write(3)
    pipe.flush()
    pipe.write(2)
    pipe.drop()
    pipe = story.open("a", kind, durability=durability)
    pipe.write(2)
    pipe.sync()
    pipe.write(2)
    pipe.flush()
    pipe.write(2)
    pipe.drop()
    story.open("a", kind, durability=durability).close()
    pipe = story.open("a", kind, durability=durability)
    pipe.write(2)
    pipe.drop()
    story.open("a", kind).close()


def many_frames(story: Story, kind: Kind, durability: Any) -> None:
    """So many frames that the index is made anew, small blocks, and one that fills many sectors."""
    pipe = story.open("x", kind, durability=durability)
    for number in range(18):
        pipe.write(1, [(b"n", b"%d" % number)])
        pipe.flush()
    pipe.write(1, [(b"large", story.random.randbytes(60_000))])
    pipe.sync()
    pipe.close()
    pipe = story.open("a", kind, durability=durability)
    for number in range(3):
        pipe.write(1, [(b"n", b"%d" % number)])
        pipe.sync()
    pipe.close()


def replace(story: Story, kind: Kind, new: Kind, durability: Any) -> None:
    """Replace a pipe, go on with the new one, and replace that by one of the old kind."""
    pipe = story.open("w", kind)
    pipe.write(4)
    pipe.close()
    pipe = story.open("w", new, durability=durability, **described(new, b"new"))
    pipe.write(2)
    pipe.sync()
    pipe.write(2)
    pipe.close()
    pipe = story.open("a", new)
    pipe.write(2)
    pipe.close()
    pipe = story.open("w", kind)
    pipe.write(1)
    pipe.close()


def give_up(story: Story, kind: Kind, new: Kind) -> None:
    """Replacements that end halfway leave the old pipe alone."""
    pipe = story.open("w", kind)
    pipe.write(3)
    pipe.close()
    pipe = story.open("w", new)
    pipe.write(2)
    pipe.sync()
    pipe.abort()
    forget_last(story)
    pipe = story.open("w", new)
    pipe.write(2)
    pipe.sync()
    pipe.drop()
    forget_last(story)
    pipe = story.open("w", new)
    pipe.write(2)
    pipe.close()


def forget_last(story: Story) -> None:
    """The last version never took the place of the one before."""
    story.pipes[PREFIX].pop()


def group(story: Story, kind: Kind, durability: Any) -> None:
    """Blocks are synced now and then; where a thread of its own does it, it is waited for."""
    pipe = story.open("x", kind, durability=durability, **described(kind, b"1"))
    for _ in range(4):
        pipe.write(2)
        wait_for_sync(pipe)
    pipe.write(2)
    pipe.flush()
    pipe.drop()
    pipe = story.open("a", kind, durability=durability)
    pipe.write(3)
    wait_for_sync(pipe)
    pipe.write(1)
    pipe.close()


def wait_for_sync(pipe: Session) -> None:
    """Wait until a thread has synced what was written."""
    if pipe.durability.milliseconds is not None:
        end = time.monotonic() + 60
        while not pipe.story.synced():
            assert time.monotonic() < end, "nothing was synced"
            time.sleep(0.001)
        pipe.acknowledge()


def overlap(story: Story, kind: Kind) -> None:
    """Blocks are written while a thread of its own syncs."""
    begun, written = threading.Semaphore(0), threading.Semaphore(0)
    writer = threading.get_ident()
    going = True

    def wait_for_write() -> None:
        if threading.get_ident() != writer and going:
            begun.release()
            written.acquire()

    story.recording.during_sync = wait_for_write
    pipe = story.open("x", kind, durability=smartpipe.Grouped(milliseconds=1))
    pipe.write(1)
    for number in range(7):
        begun.acquire()
        pipe.write(1)
        if number == 4:
            pipe.sync()
            pipe.write(1)
        written.release()
    going = False
    written.release()
    pipe.close()


def described(kind: Kind, value: bytes) -> dict[str, Any]:
    return {"metadata": {b"by": b"a test", b"version": value}} if kind.format == 2 else {}


def recover(story: Story, kind: Kind, durability: Any) -> None:
    """Recover a pipe into another one; the first stays as it is."""
    pipe = story.open("w", kind)
    pipe.write(5)
    pipe.sync()
    pipe.write(2)
    pipe.drop()
    version = Version(kind, 0, story.point)
    story.pipes["second"] = [version]
    (first,) = story.pipes[PREFIX]
    version.blocks = dict(first.blocks)
    version.begun = dict.fromkeys(version.blocks, story.point)
    smartpipe.recover(story.prefix(PREFIX), story.prefix("second"), durability=durability, **kind.options)
    if durability != "none":
        version.durable = dict.fromkeys(version.blocks, story.point)
        version.exists = story.point


def rebuild(story: Story, kind: Kind) -> None:
    """Make an index anew, of a closed pipe and of one whose writer was killed."""
    pipe = story.open("w", kind)
    pipe.write(4)
    pipe.close()
    smartpipe.rebuild_index(story.prefix(PREFIX))
    pipe = story.open("a", kind)
    pipe.write(2)
    pipe.sync()
    pipe.write(2)
    pipe.drop()
    smartpipe.rebuild_index(story.prefix(PREFIX))
    pipe = story.open("a", kind)
    pipe.write(1)
    pipe.close()


def tales() -> list[tuple[str, Callable[[Story], None]]]:
    """All stories, by name."""
    found: list[tuple[str, Callable[[Story], None]]] = []

    def tell(name: str, tale: Callable[..., None], *arguments: Any) -> None:
        words = " ".join(str(argument) for argument in arguments)
        found.append((f"{name} {words}", lambda story: tale(story, *arguments)))

    for kind in KINDS:
        for durability in MODES:
            tell("create", create, kind, durability)
            tell("append", append, kind, durability)
            tell("crash", crash, kind, durability)
        tell("many frames", many_frames, kind, "close")
        tell("group", group, kind, smartpipe.Grouped(milliseconds=1))
        tell("group", group, kind, smartpipe.Grouped(bytes=2000))
        tell("overlap", overlap, kind)
        for new in KINDS:
            tell("replace", replace, kind, new, MODES[len(found) % len(MODES)])
            tell("give up", give_up, kind, new)
        if kind.format == 2:
            tell("rebuild", rebuild, kind)
        for durability in MODES:
            tell("recover", recover, kind, durability)
    return found


def written(name: str, tale: Callable[[Story], None]) -> Story:
    """Write a story."""
    folder = tempfile.mkdtemp(prefix="torture-power-", dir=harness.MEMORY)
    try:
        story = Story(name, Path(folder), Random(name))
        with story.recording:
            tale(story)
        everything = in_order(synced(story.recording, story.point), story.point)
        assert everything == content(Path(folder)), "a call went around the table"
        return story
    finally:
        shutil.rmtree(folder)


stories: list[Story] = []


def setup() -> None:
    stories[:] = [written(name, tale) for name, tale in tales()]


# What is found after a loss


@dataclass
class Found:
    """What a reader finds: the keys in their order, and the blocks that could be read."""

    format: int
    keys: list[bytes]
    blocks: dict[bytes, Pairs]
    metadata: dict[bytes, bytes] | None


def look(prefix: str, random: Random) -> Found:
    """Read everything, one block after another or each by its key."""
    blocks: dict[bytes, Pairs] = {}
    with opened(prefix, "r", {}) as pipe:
        keys = list(pipe.keys())
        if random.random() < 0.5:
            items = iter(pipe.items())
            while True:
                try:
                    key, block = next(items)
                    blocks[key] = list(block)
                except StopIteration:
                    break
                except smartpipe.CorruptError:
                    pass  # the others follow
        else:
            for key in keys:
                try:
                    blocks[key] = list(pipe[key])
                except smartpipe.CorruptError:
                    pass
        try:
            metadata = dict(pipe.metadata)
        except smartpipe.CorruptError:
            metadata = None
        return Found(pipe.format, keys, blocks, metadata)


def fit(found: Found, version: Version, cut: int, mended: bool) -> None:
    """Raise where this is not the version: Lost where something is missing, Wrong where it is something else.

    FORMAT.md, «Format 1»: where the last block ends is not known when the index ends within an entry, as long as no
    writer came and mended it.
    """
    certain = version.certain(cut)
    if version.kind.format == 1 and not mended and certain and found.keys[-1:] == certain[-1:]:
        certain = [key for key in certain if key != found.keys[-1] or key in found.blocks]
    if found.format != version.kind.format and (found.keys or certain):
        raise Wrong(f"a pipe of format {found.format}")
    for key in certain:
        if key not in found.blocks:
            raise Lost(f"{key!r} was acknowledged; there are {found.keys} and of these {list(found.blocks)} are whole")
        if found.blocks[key] != version.blocks[key]:
            raise Wrong(f"{key!r} was acknowledged, and holds something else")
    if version.kind.format == 1:
        if [key for key in found.keys if key in certain] != certain:
            raise Wrong(f"the keys are {found.keys}, acknowledged were {certain}")
        return
    for key in found.keys:
        if key not in version.blocks or version.begun[key] > cut:
            raise Wrong(f"{key!r} was never written")
        if key in found.blocks and found.blocks[key] != version.blocks[key]:
            raise Wrong(f"{key!r} holds something else")
    order = [key for key in version.blocks if key in found.keys]
    if found.keys != order:
        raise Wrong(f"the keys are {found.keys}, written were {order}")
    allowed = version.metadata_at(cut)
    # None: the record of one that was not synced is damaged.
    if found.metadata not in allowed and not (found.metadata is None and len(allowed) > 1):
        raise Lost(f"the metadata is {found.metadata}, and should be one of {allowed}")


def fitting(found: Found, versions: list[Version], cut: int, mended: bool) -> Version:
    """The one version that this is; raises for the last one where it is none."""
    for version in versions[:-1]:
        try:
            fit(found, version, cut, mended)
        except AssertionError:
            continue
        return version
    fit(found, versions[-1], cut, mended)
    return versions[-1]


def header_is_whole(prefix: str) -> bool:
    """Whether there is a data file of format 2 that tells what it is."""
    for extension in (".dat", ".datz"):
        path = Path(prefix + extension)
        header = path.read_bytes()[:32] if path.exists() else b""
        if len(header) == 32 and header[0] == 0x89 and zlib.crc32(header[:28]) == int.from_bytes(header[28:], "little"):
            return True
    return False


def content(folder: Path) -> Files:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def check_recovered(prefix: str, possible: list[Version], cut: int, random: Random) -> None:
    """Recover a pipe that can not be opened, and look at what came of it."""
    rescued = prefix + "-rescued"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", smartpipe.PipeWarning)
        smartpipe.recover(prefix, rescued, format=1)
    fitting(look(rescued, random), possible, cut, mended=True)


def examine(
    folder: Path, name: str, versions: list[Version], cut: int, random: Random
) -> tuple[Version, Found] | tuple[None, None]:
    """Read a pipe after a loss, go on with it, and read it again; gives the version that it is, and what is there."""
    prefix = str(folder / name)
    possible = [version for version in versions if version.possible(cut)]
    needed = any(version.must_exist(cut) for version in possible)
    # FORMAT.md, «Files and locks»: replacing by format 1 shows an error for a moment, until the next writer comes.
    between = len(possible) > 1 and any(version.kind.format == 1 for version in possible)
    whole_header = header_is_whole(prefix)
    found = seen = None
    try:
        found = look(prefix, random)
    except smartpipe.SmartPipeError as error:
        if needed and not between:
            # FORMAT.md, «Format 1»: an index of which a part in the middle did not arrive is an error; recover reads
            # what lies before and behind.
            if not isinstance(error, smartpipe.CorruptError) or any(version.kind.format == 2 for version in possible):
                raise Lost(f"what was acknowledged can not be read: {error!r}") from error
            check_recovered(prefix, possible, cut, random)
            return None, None
        if whole_header and not between and all(version.kind.format == 2 for version in possible):
            raise Lost(f"the file has its header, and can not be read: {error!r}") from error
    else:
        if not possible:
            raise Wrong(f"there was no pipe yet, and {found.keys} are there")
        seen = fitting(found, possible, cut, mended=False)
    if not possible:
        return None, None
    try:
        opened(prefix, "a", {}).close()
    except smartpipe.SmartPipeError as error:
        # FORMAT.md, «Format 1»: of the last block only what is missing is cut; one that is damaged is an error.
        refusable = isinstance(error, smartpipe.CorruptError) and any(version.kind.format == 1 for version in possible)
        if (needed and found is None) or (found is not None and not refusable):
            raise Lost(f"nothing can be appended: {error!r}") from error
        if found is not None:
            fitting(found, possible, cut, mended=True)
        return None, None
    try:
        mended = look(prefix, random)
    except smartpipe.SmartPipeError as error:
        raise Lost(f"what a writer made of it can not be read: {error!r}") from error
    version = fitting(mended, possible, cut, mended=True)
    if found is not None and seen is version and version.kind.format == 2:
        gone = [key for key in found.blocks if mended.blocks.get(key) != found.blocks[key]]
        if gone:
            raise Lost(f"{gone} could be read before a writer came")
    before = content(folder)
    try:
        opened(prefix, "a", {}).close()
    except smartpipe.SmartPipeError as error:
        raise Wrong(f"to recover a second time is an error: {error!r}") from error
    if content(folder) != before:
        raise Wrong("to recover twice gives something else")
    return version, mended


def go_on(folder: Path, name: str, random: Random) -> None:
    """Append a block, and find it behind all others."""
    prefix = str(folder / name)
    old = look(prefix, random)
    key, pairs = b"another", [(b"k", TEXT[: random.choice((0, 10, 6000))])]
    with opened(prefix, "a", {}) as pipe:
        pipe.write(key, pairs)
    new = look(prefix, random)
    if new.keys != [*old.keys, key] or new.blocks != {**old.blocks, key: pairs}:
        raise Wrong(f"a block behind {old.keys}, {list(old.blocks)} whole, gives {new.keys}, {list(new.blocks)}")
    verify(prefix, new)


def verify(prefix: str, found: Found) -> None:
    """What verify finds wrong is what can not be read; between the blocks there can be damage that has no name."""
    report = smartpipe.verify(prefix)
    whole = len(found.blocks) == len(found.keys)
    if report.ok and not whole:
        raise Wrong("verify finds nothing wrong with blocks that can not be read")
    if whole and any(damage.block is not None for damage in report.damage):
        raise Wrong(f"verify finds damage in blocks that can be read: {report.as_dict()}")


def put(files: Files, folder: Path) -> None:
    for name, data in files.items():
        (folder / name).write_bytes(data)


def case(number: int, random: Random, folder: Path) -> None:
    story = stories[number % len(stories)]
    lose(story, random, folder, again=random.random() < AGAIN)


def lose(story: Story, random: Random, folder: Path, again: bool) -> None:
    """Lose the power somewhere in a story, and look at what is left."""
    cut = random.randint(1, story.point)
    # Without checksums nothing tells the old content of a sector from an entry of an index of format 1.
    of_format1 = any(version.kind.format == 1 for versions in story.pipes.values() for version in versions)
    files = after_loss(story.recording, cut, random, stale=not of_format1)
    put(files, folder)
    try:
        if again:
            second = go_on_and_lose(story, cut, random, folder)
            if second is not None:
                lose(second, random, folder, again=random.random() < AGAIN)
            return
        for name, versions in story.pipes.items():
            version, _ = examine(folder, name, versions, cut, random)
            if version is not None:
                go_on(folder, name, random)
    except Exception as error:
        sizes = {name: len(data) for name, data in files.items()}
        call = story.recording.calls[cut - 1]
        error.args = (f"{error}\n{story.name}, lost after call {cut} of {story.point}, {shown(call)}: {sizes}",)
        raise


def shown(call: Any) -> str:
    fields = (f"{len(field)} bytes" if isinstance(field, bytes) else repr(field) for field in call)
    return f"{type(call).__name__}({', '.join(fields)})"


def go_on_and_lose(story: Story, cut: int, random: Random, folder: Path) -> Story | None:
    """Let a writer recover what a loss left, and write more, as a story of its own, whose power can be lost too.

    None where nothing is there to go on with.
    """
    possible = [version for version in story.pipes[PREFIX] if version.possible(cut)]
    files = content(folder)
    version, mended = examine(folder, PREFIX, possible, cut, random)
    empty(folder)
    if version is None or mended is None or mended.metadata is None:
        return None
    put(files, folder)
    second = Story(f"{story.name}, cut at {cut}, and again", folder, random, again=True)
    others = [other.after(cut) for other in possible if other is not version]
    version = version.after(cut)
    version.metadata = [(mended.metadata, 0)]
    version.metadata_durable = []
    second.pipes[PREFIX] = [*others, version]
    with second.recording:
        pipe = second.open("a", version.kind)
        # A damaged block does not become whole by a sync.
        pipe.present = [key for key, pairs in version.blocks.items() if mended.blocks.get(key) == pairs]
        if random.random() < 0.5:
            pipe.write(1)
            pipe.sync()
        pipe.write(1)
        random.choice((pipe.close, pipe.flush, pipe.drop))()
        pipe.drop()
    empty(folder)
    return second


def empty(folder: Path) -> None:
    for path in folder.iterdir():
        path.unlink()


def test_the_power_may_fail_anywhere() -> None:
    harness.quick(sys.modules[__name__])


# FORMAT.md, «Record»


def test_no_more_is_claimed_to_be_synced_than_was() -> None:
    """`synced` of a record: every byte below had reached the disk when it was written."""
    setup()
    claims = []
    for story in stories:
        for number, call in enumerate(story.recording.calls):
            if isinstance(call, Write) and call.data.startswith(b"\xf1SPr") and is_data(story, call.file):
                on_disk = len(synced(story.recording, number).contents.get(call.file, b""))
                at = 0
                while at < len(call.data):
                    claim, size = struct.unpack_from("<QI", call.data, at + 16)
                    assert claim <= on_disk, f"{story.name}, call {number}: {claim} of {on_disk} bytes"
                    claims.append(claim)
                    at += size
    assert any(claims)


# That bugs are found


def failures(story: Story, folder: Path, cases: int) -> list[AssertionError]:
    """What so many losses in a story find, up to the first."""
    for number in range(cases):
        folder.mkdir()
        try:
            lose(story, Random(f"{story.name}:{number}"), folder, again=False)
        except AssertionError as error:
            return [error]
        finally:
            shutil.rmtree(folder)
    return []


def without(story: Story, unwanted: Callable[[Call], bool]) -> Story:
    """A story whose writers left out some calls; the points of the record stay where they are."""
    calls = story.recording.calls
    story.recording.calls = [Write(-1, 0, b"") if unwanted(call) else call for call in calls]
    assert story.recording.calls != calls
    return story


@every_kind
def test_no_sync_of_the_data_is_noticed(kind: Kind, tmp_path: Path) -> None:
    story = written("append", lambda story: append(story, kind, "close"))
    assert not failures(story, tmp_path / "pipe", 100)
    story = without(story, lambda call: isinstance(call, Sync) and is_data(story, call.file))
    assert failures(story, tmp_path / "pipe", 1000)


@every_kind
def test_no_sync_of_a_new_pipe_before_it_replaces_the_old_one_is_noticed(kind: Kind, tmp_path: Path) -> None:
    story = written("replace", lambda story: replace(story, kind, kind, "close"))
    assert not failures(story, tmp_path / "pipe", 100)
    unwanted = [call for call in story.recording.calls if isinstance(call, Sync) and is_data(story, call.file, ".new")]
    story = without(story, lambda call: call in unwanted)
    assert failures(story, tmp_path / "pipe", 1000)


@every_kind
@pytest.mark.parametrize("tale", [create, append])
def test_no_sync_of_the_folder_is_noticed(kind: Kind, tale: Callable[..., None], tmp_path: Path) -> None:
    story = written("folder", lambda story: tale(story, kind, "close"))
    assert not failures(story, tmp_path / "pipe", 100)
    assert failures(without(story, lambda call: isinstance(call, SyncFolder)), tmp_path / "pipe", 1000)


@every_kind_of_format2
def test_what_is_said_to_be_synced_before_it_is_is_noticed(kind: Kind, tmp_path: Path) -> None:
    """Each sync returns only when the next record was written."""
    story = written("early", lambda story: create(story, kind, "close"))
    assert not failures(story, tmp_path / "pipe", 100)
    calls = story.recording.calls
    records = [number for number, call in enumerate(calls) if isinstance(call, Write) and is_data(story, call.file)]
    for number, call in reversed(list(enumerate(calls))):
        if isinstance(call, Sync) and is_data(story, call.file):
            later = next((record for record in records if record > number), number)
            calls.insert(later, calls.pop(number))
    assert failures(story, tmp_path / "pipe", 1000)


@every_kind
def test_a_cut_below_what_was_synced_is_noticed(kind: Kind, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    story = written("crash", lambda story: crash(story, kind, "close"))
    assert not failures(story, tmp_path / "pipe", 100)
    truncate = table.truncate
    monkeypatch.setattr(table, "truncate", lambda file, size: truncate(file, max(0, size - 1)))
    assert failures(story, tmp_path / "pipe", 1000)


def is_data(story: Story, file: int, part: str = "") -> bool:
    """Whether a file was created as the data of a pipe, with part in its name."""
    name = next(call.name for call in story.recording.calls if isinstance(call, Link) and call.file == file)
    return f"{part}.dat" in name
