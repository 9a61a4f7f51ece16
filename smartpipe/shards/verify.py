"""`ShardStore.verify`: every byte of a store looked at, and all that is not whole said."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from smartpipe import errors
from smartpipe._platform import Descriptor, open_reading
from smartpipe.container.headers import CODECS, shard_header
from smartpipe.container.paths import Paths
from smartpipe.container.recovery.damage import Damage
from smartpipe.container.recovery.findings import plural
from smartpipe.container.recovery.identity import Subject
from smartpipe.container.recovery.verify import VerifyReport, verified
from smartpipe.container.source import Source
from smartpipe.shards.folder import Folder, read_folder
from smartpipe.shards.manifest import Listed, Manifest
from smartpipe.shards.shard import index_of


@dataclass(frozen=True)
class StoreReport:
    """What `ShardStore.verify` found."""

    path: str
    """The folder of the store."""
    shards: list[VerifyReport]
    """One for each shard that is there, in the order of the manifest. Their `blocks` count what was overwritten or
    deleted too."""
    keys: int
    """Keys of the store, whole or not."""
    blocks: int
    """Blocks that are whole, in all shards."""
    damaged: int
    """Blocks and other records that are damaged or missing, as far as they can be counted."""
    bytes: int
    """Bytes of data and indexes that were looked at."""
    damage: list[Damage]
    """That of the store's own files, and of each shard. What a process that was killed left unfinished at the end of an
    open shard is a note here: nothing that was acknowledged is lost with it, and the next writer cuts it."""
    notes: list[str]
    """What is no damage and should be known."""

    @property
    def ok(self) -> bool:
        """Whether all is well."""
        return not self.damage

    def as_dict(self) -> dict[str, Any]:
        """`ok` and all fields as plain dictionaries and lists; keys stay bytes."""
        return {"ok": self.ok, **asdict(self), "shards": [shard.as_dict() for shard in self.shards]}


def verify_store(
    folder: Folder, last: Manifest, keys: int, limit: int, progress: Callable[[int, int], object] | None
) -> StoreReport:
    """Verify the shards that a manifest lists, and the files beside them. `progress` is called with (bytes done, bytes
    in all); what shards that grow have got meanwhile is in neither."""
    return _Verification(folder, last, limit, progress).run(keys)


class _Verification:
    def __init__(
        self, folder: Folder, last: Manifest, limit: int, progress: Callable[[int, int], object] | None
    ) -> None:
        self.folder = folder
        self.last = last
        self.limit = limit
        self.progress = progress
        self.shards: list[VerifyReport] = []
        self.damage: list[Damage] = []
        self.notes: list[str] = []
        self.done = self.missing = 0

    def run(self, keys: int) -> StoreReport:
        self.own_files()
        files = set(os.listdir(self.folder.path))
        self.other_files(files)
        sizes = {id: self.size_of(listed) for id, listed in self.last.shards.items()}
        total = sum(sizes.values())
        for id, listed in self.last.shards.items():
            self.shard(listed, total)
            self.done += sizes[id]
            self.tell(0, total)
        return StoreReport(
            self.folder.path,
            self.shards,
            keys,
            sum(shard.blocks for shard in self.shards),
            sum(shard.damaged for shard in self.shards) + self.missing,
            sum(shard.bytes for shard in self.shards),
            self.damage,
            self.notes,
        )

    def tell(self, done: int, total: int) -> None:
        if self.progress is not None:
            self.progress(min(self.done + done, total), total)

    def size_of(self, listed: Listed) -> int:
        try:
            return os.path.getsize(self.folder.file(listed.data))
        except FileNotFoundError:
            return 0

    def bad(self, what: str, file: str, reason: str) -> None:
        self.damage.append(Damage(what, file, 0, 0, None, reason))

    def own_files(self) -> None:
        """The file of the store, and all manifests: an older one that is damaged is of no use to anybody any more."""
        try:
            read_folder(self.folder.path)
        except FileNotFoundError as error:
            self.bad("lost", error.filename, "the file is missing")
        except (errors.CorruptError, errors.FormatError) as error:
            self.bad("damaged", error.path or self.folder.path, str(error.args[0]))
        numbers = self.folder.manifests.numbers()
        if not numbers:
            self.bad("lost", self.folder.manifests.folder, "there is no manifest")
        for number in numbers:
            try:
                self.folder.manifests.read(number)
            except FileNotFoundError:
                continue  # collected meanwhile
            except (errors.CorruptError, errors.FormatError) as error:
                path, reason = self.folder.manifests.path(number), str(error.args[0])
                if number == numbers[-1]:
                    self.bad("damaged", path, reason)
                else:
                    self.notes.append(f"{path}: {reason}; it is not the last one")

    def other_files(self, files: set[str]) -> None:
        known = {listed.data for listed in self.last.shards.values()}
        waiting = {retired.data for retired in self.last.retired.values()}
        retired = sorted(files & waiting)
        if retired:
            self.notes.append(f"{plural(len(retired), 'retired shard')} not collected yet: {', '.join(retired)}")
        known |= waiting
        known |= {index_of(name) for name in known}
        for name in sorted(files - known):
            if os.path.splitext(name)[1] in (".dat", ".datz", ".idx"):
                self.notes.append(
                    f"{name} is in no manifest: a process was killed before it was part of the store, or just begins it"
                )

    def shard(self, listed: Listed, total: int) -> None:
        path = self.folder.file(listed.data)
        paths = Paths(os.path.splitext(path)[0], path)
        try:
            report = verified(
                lambda: identify_shard(path, listed, self.limit), paths, lambda done, _: self.tell(done, total)
            )
        except errors.PipeNotFoundError:
            if self._is_listed(listed):
                self.missing += 1
                self.bad("lost", path, "the shard is missing, and all that it held")
            else:
                self.notes.append(f"{listed.data} was retired and collected meanwhile")
            return
        except errors.FormatError as error:
            self.bad("damaged", path, str(error.args[0]))
            return
        self.shards.append(report)
        for damage in report.damage:
            if damage.what == "torn" and listed.counter > 0:
                self.notes.append(
                    f"{damage.file}: {damage.reason}, at offset {damage.offset}: a process left it that was killed"
                )
            else:
                self.damage.append(damage)
        self.notes += [f"{listed.data}: {note}" for note in report.notes]

    def _is_listed(self, listed: Listed) -> bool:
        """Whether the manifest that counts now lists a shard still."""
        try:
            return listed.id in self.folder.manifests.last().shards
        except (FileNotFoundError, errors.CorruptError):
            return True


def identify_shard(path: str, listed: Listed, limit: int) -> Subject:
    """Open the data file of a shard, whatever its header is like: the manifest tells what it was."""
    try:
        file = open_reading(path)
    except FileNotFoundError:
        raise errors.PipeNotFoundError("the shard is missing", path=path) from None
    try:
        complaint, codec = _complaint(file, path, listed)
    except BaseException:
        file.close()
        raise
    source = Source(path, file, listed.id, limit)
    source.shard = True
    return Subject(source, 2, codec, False, complaint)


def _complaint(file: Descriptor, path: str, listed: Listed) -> tuple[str | None, int]:
    """What is wrong with the header of a shard, and the codec that counts."""
    try:
        id, codec = shard_header(file, path)
    except errors.CorruptError as error:
        return str(error.args[0]), listed.codec
    if id != listed.id:
        return f"the store has the shard {listed.id:016x} here, and this file is {id:016x}", listed.codec
    if codec != listed.codec:
        return f"the codec is {CODECS.get(codec, codec)}, and the manifest says {CODECS[listed.codec]}", codec
    return None, codec
