"""A disk that loses power: a record of all calls that change it, and the files that a loss at some point can leave.

`Recording` lets every call of smartpipe._platform.disk do its work in a real folder, and writes it down. `after_loss`
takes the record up to a point and decides by chance what of it had reached the disk.

What is there for certain is what was synced: of a file its bytes and its size as they were when a sync of it began
that has returned, of a folder its names. All else is there or not, in any order:

- a write as a whole, by sectors of 512 bytes, or not at all; what is missing in between reads as zeros, or as what the
  sectors held for another file before;
- the size of a file, apart from its bytes: grown over bytes that never came, or too small for those that did;
- a truncation;
- a name that was made, renamed or removed, each apart from the others and from the content of the file; a rename by
  itself is done or not done.

Half of all losses leave the names in the order in which they were changed, as file systems with a journal do. Others
take single changes, which POSIX allows.

POSIX allows still more. Not played are sectors that are torn in themselves, or that lose what was synced in them when
more is written behind it; no pipe could be appended to on such a disk.
"""

from __future__ import annotations

import fcntl
import os
import threading
from collections.abc import Callable
from pathlib import Path
from random import Random
from types import TracebackType
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

from smartpipe._platform import Descriptor, disk

SECTOR = 512


class Write(NamedTuple):
    file: int
    offset: int
    data: bytes


class Truncate(NamedTuple):
    file: int
    size: int


class Sync(NamedTuple):
    file: int
    begin: int  # the length of the record when it began: what was written down later is not part of it


class Link(NamedTuple):
    name: str
    file: int


class Rename(NamedTuple):
    source: str
    target: str
    file: int


class Unlink(NamedTuple):
    name: str
    file: int


class SyncFolder(NamedTuple):
    begin: int
    folder: str = ""  # within the folder of the record


Call = Write | Truncate | Sync | Link | Rename | Unlink | SyncFolder
Names = dict[str, int]
Files = dict[str, bytes]


class Recording:
    """Writes down, as a context manager, what happens in a folder.

    Files have numbers: a name can lead to another file later, and two names to the same. Names are paths within the
    folder. What lies in it before counts as synced, and folders in it are there as soon as they were made.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.calls: list[Call] = []
        self.old: dict[int, bytes] = {}
        """The content of the files that were there before, by number."""
        self.old_names: Names = {}
        for path in sorted(path for path in folder.rglob("*") if path.is_file()):
            self.old_names[self._name(path)] = len(self.old)
            self.old[len(self.old)] = path.read_bytes()
        self.during_sync: Callable[[], object] = lambda: None
        """Is called in each sync of a file, after it began."""
        self._names = dict(self.old_names)
        self._next = len(self.old)
        self._files: WeakKeyDictionary[Descriptor, int] = WeakKeyDictionary()
        self._changing = threading.RLock()
        self._real: dict[str, Callable[..., Any]] = {}
        self._patched: dict[str, Any] = {}

    def __enter__(self) -> Recording:
        self._patched = dict(vars(disk))
        for name in vars(type(disk)):
            if not name.startswith("_"):
                self._real[name] = getattr(disk, name)
                setattr(disk, name, getattr(self, name))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for name in self._real:
            delattr(disk, name)
        vars(disk).update(self._patched)

    def __len__(self) -> int:
        return len(self.calls)

    # The calls of the table

    def open(self, path: str, flags: int) -> Descriptor:
        with self._changing:
            name = self._name(path)
            file = self._real["open"](path, flags)
            if name not in self._names:
                self._names[name] = self._next
                self.calls.append(Link(name, self._next))
                self._next += 1
            elif flags & os.O_TRUNC:
                self.calls.append(Truncate(self._names[name], 0))
            self._files[file] = self._names[name]
            return file

    def write(self, file: Descriptor, data: Any) -> None:
        with self._changing:
            appending = fcntl.fcntl(file.number, fcntl.F_GETFL) & os.O_APPEND
            offset = file.size() if appending else os.lseek(file.number, 0, os.SEEK_CUR)
            self._real["write"](file, data)
            self.calls.append(Write(self._files[file], offset, bytes(data)))

    def allocate(self, file: Descriptor, offset: int, size: int) -> None:
        """Nothing that is read depends on it."""
        self._real["allocate"](file, offset, size)

    def truncate(self, file: Descriptor, size: int) -> None:
        with self._changing:
            self._real["truncate"](file, size)
            self.calls.append(Truncate(self._files[file], size))

    def sync(self, file: Descriptor) -> None:
        begin = len(self.calls)
        self.during_sync()
        self._real["sync"](file)
        with self._changing:
            self.calls.append(Sync(self._files[file], begin))

    def rename(self, source: str, target: str) -> None:
        with self._changing:
            self._real["rename"](source, target)
            file = self._names.pop(self._name(source))
            self._names[self._name(target)] = file
            self.calls.append(Rename(self._name(source), self._name(target), file))

    def unlink(self, path: str) -> None:
        with self._changing:
            self._real["unlink"](path)
            self.calls.append(Unlink(self._name(path), self._names.pop(self._name(path))))

    def sync_folder(self, path: str) -> None:
        begin = len(self.calls)
        self._real["sync_folder"](path)
        if Path(path).is_relative_to(self.folder):
            with self._changing:
                self.calls.append(SyncFolder(begin, os.path.relpath(path, self.folder).lstrip(".")))

    def link(self, source: str, target: str) -> None:
        with self._changing:
            self._real["link"](source, target)
            file = self._names[self._name(source)]
            self._names[self._name(target)] = file
            self.calls.append(Link(self._name(target), file))

    def make_folder(self, path: str) -> None:
        self._real["make_folder"](path)

    def _name(self, path: str | Path) -> str:
        return str(Path(path).relative_to(self.folder))


class Disk(NamedTuple):
    """What is certain after the calls of a record, and what is not yet, in the order of the calls."""

    names: Names
    names_pending: list[tuple[int, Link | Rename | Unlink]]
    contents: dict[int, bytes]
    pending: dict[int, list[tuple[int, Write | Truncate]]]


def synced(recording: Recording, cut: int) -> Disk:
    """The disk after so many calls."""
    names = dict(recording.old_names)
    names_pending: list[tuple[int, Link | Rename | Unlink]] = []
    contents = dict(recording.old)
    pending: dict[int, list[tuple[int, Write | Truncate]]] = {}
    for number, call in enumerate(recording.calls[:cut]):
        if isinstance(call, (Write, Truncate)):
            pending.setdefault(call.file, []).append((number, call))
        elif isinstance(call, Sync):
            waiting = pending.get(call.file, [])
            content = bytearray(contents.get(call.file, b""))
            for made, change in waiting:
                if made < call.begin:
                    apply(content, change)
            contents[call.file] = bytes(content)
            pending[call.file] = [(made, change) for made, change in waiting if made >= call.begin]
        elif isinstance(call, SyncFolder):
            waiting_names, names_pending = names_pending, []
            for made, renaming in waiting_names:
                if made < call.begin and folder_of(renaming) == call.folder:
                    apply_name(names, renaming)
                else:
                    names_pending.append((made, renaming))
        else:
            names_pending.append((number, call))
    return Disk(names, names_pending, contents, pending)


def apply(content: bytearray, change: Write | Truncate) -> None:
    """Make a change of a file's content, all of it."""
    if isinstance(change, Truncate):
        resize(content, change.size)
    else:
        put(content, change.offset, change.data)


def resize(content: bytearray, size: int) -> None:
    del content[size:]
    content.extend(bytes(size - len(content)))


def put(content: bytearray, offset: int, data: bytes) -> None:
    if len(content) < offset:
        resize(content, offset)
    content[offset : offset + len(data)] = data


def folder_of(change: Link | Rename | Unlink) -> str:
    return os.path.dirname(change.target if isinstance(change, Rename) else change.name)


def apply_name(names: Names, change: Link | Rename | Unlink) -> None:
    """Make a change of a name; one of a file that does not have the name, as an earlier change is missing, does not
    take the name from the file that has it."""
    if isinstance(change, Link):
        names[change.name] = change.file
    elif isinstance(change, Unlink):
        if names.get(change.name) == change.file:
            del names[change.name]
    else:
        if names.get(change.source) == change.file:
            del names[change.source]
        names[change.target] = change.file


def after_loss(recording: Recording, cut: int, random: Random, *, stale: bool = True) -> Files:
    """The files that are there when the power is lost after so many calls, by name.

    With `stale`, what never came can read as what its sectors held for another file.
    """
    certain = synced(recording, cut)
    if random.random() < 0.1:
        # As after a kill, with everything in the order of the calls up to an earlier one.
        return in_order(certain, random.randint(0, cut))
    names = dict(certain.names)
    for change in chosen([change for _, change in certain.names_pending], random, ordered=random.random() < 0.5):
        apply_name(names, change)
    others = b"".join(call.data for call in recording.calls[:cut] if isinstance(call, Write)) if stale else b""
    files = {}
    for name, file in sorted(names.items()):
        content = certain.contents.get(file, b"")
        changes = [change for _, change in certain.pending.get(file, [])]
        files[name] = arrived(content, changes, others, random) if changes else content
    return files


def in_order(certain: Disk, last: int) -> Files:
    """The files with what is certain, and with all that was done before a call."""
    names = dict(certain.names)
    for made, renaming in certain.names_pending:
        if made < last:
            apply_name(names, renaming)
    files = {}
    for name, file in names.items():
        content = bytearray(certain.contents.get(file, b""))
        for made, change in certain.pending.get(file, []):
            if made < last:
                apply(content, change)
        files[name] = bytes(content)
    return files


def chosen(changes: list[Any], random: Random, ordered: bool) -> list[Any]:
    """Those changes that reached the disk: the first ones, or any."""
    if ordered or not changes:
        return changes[: random.randint(0, len(changes))]
    share = random.choice((0.1, 0.5, 0.9))
    return [change for change in changes if random.random() < share]


def arrived(content: bytes, changes: list[Write | Truncate], stale: bytes, random: Random) -> bytes:
    """A file's content when some of its last changes had reached the disk."""
    result = bytearray(content)
    sizes = [len(content)]
    for change in changes:
        end = change.size if isinstance(change, Truncate) else max(sizes[-1], change.offset + len(change.data))
        sizes.append(end)
    lost, torn = random.choice(((0.0, 0.0), (1.0, 0.0), (0.0, 0.2), (0.3, 0.0), (0.3, 0.3), (0.8, 0.1), (0.0, 1.0)))
    # The last writes are the least likely to be there.
    last = random.randint(0, len(changes)) if random.random() < 0.4 else len(changes)
    missing: list[tuple[int, int]] = []
    for number, change in enumerate(changes):
        fate = random.random()
        if isinstance(change, Truncate):
            if fate >= lost and number <= last:
                resize(result, change.size)
        elif number > last or fate < lost:
            missing.append((change.offset, change.offset + len(change.data)))
        elif number == last or fate < lost + torn:
            missing += put_sectors(result, change, random)
        else:
            put(result, change.offset, change.data)
    resize(result, size_of(len(result), sizes, random))
    if stale and random.random() < 0.1:
        for begin, end in missing:
            leave(result, max(begin, len(content)), end, stale, random)
    return bytes(result)


def put_sectors(content: bytearray, write: Write, random: Random) -> list[tuple[int, int]]:
    """Make a write in part; gives the ranges that are missing."""
    share = random.choice((0.1, 0.5, 0.9))
    missing = []
    begin, last = write.offset, write.offset + len(write.data)
    while begin < last:
        end = min(last, (begin // SECTOR + 1) * SECTOR)
        if random.random() < share:
            put(content, begin, write.data[begin - write.offset : end - write.offset])
        else:
            missing.append((begin, end))
        begin = end
    return missing


def size_of(natural: int, sizes: list[int], random: Random) -> int:
    """A size that the file can have, by what its sizes were after each change."""
    kind = random.random()
    if kind < 0.4:
        return natural
    if kind < 0.6:
        return sizes[-1]
    number = random.randrange(len(sizes) - 1)
    before, after = sizes[number], sizes[number + 1]
    if kind < 0.75 or after <= before:
        return random.choice((before, after))
    # A write can make the file grow step by step.
    size = random.randint(before, after)
    return size if kind > 0.9 else max(before, size // SECTOR * SECTOR)


def leave(content: bytearray, begin: int, end: int, stale: bytes, random: Random) -> None:
    """Let a range that was never written hold what its sectors held for another file."""
    end = min(end, len(content))
    if begin < end:
        start = random.randrange(len(stale)) // SECTOR * SECTOR
        piece = stale[start : start + end - begin]
        content[begin : begin + len(piece)] = piece
