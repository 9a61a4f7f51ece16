"""`smartpipe.recover`: everything of a pipe that can be read, in a new one."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from smartpipe import errors
from smartpipe.container.block import Block
from smartpipe.container.headers import CODECS
from smartpipe.container.opening import begin_replacement, finish_replacement, lock_existing, publish, remove
from smartpipe.container.paths import Paths, paths_of
from smartpipe.container.reader import MAX_BLOCK_SIZE, check_limit
from smartpipe.container.recovery.damage import Damage
from smartpipe.container.recovery.identity import Subject, identify
from smartpipe.container.recovery.salvage1 import Salvage1
from smartpipe.container.recovery.salvage2 import Salvage2
from smartpipe.container.recovery.verify import verify
from smartpipe.container.writer import Writer, carried, codec_of, wanted_codec

Path = str | os.PathLike[str]


@dataclass(frozen=True)
class RecoverReport:
    """What `recover` brought over, and what it could not."""

    path: str
    """The data file of the new pipe."""
    blocks: int
    pairs: int
    lost: list[Damage]
    """What is not in the new pipe, in the order of the old one, each with its key where that is known."""
    missing: int
    """Blocks and other records that are lost, as far as they can be counted; more than `lost` names, where it names
    only the place."""
    torn: list[Damage]
    """Writes that had never been finished. Nothing that a writer promised is lost with them."""
    notes: list[str]
    """What is damaged and no loss: one of the two copies of a dictionary."""

    def as_dict(self) -> dict[str, Any]:
        """All fields as plain dictionaries and lists; keys stay bytes."""
        return asdict(self)


def recover(
    src: Path,
    dst: Path,
    *,
    mode: Literal["x", "w"] = "x",
    metadata: Mapping[bytes, bytes] | None = None,
    progress: Callable[[int, int], object] | None = None,
    **options: Any,
) -> RecoverReport:
    """Write everything that can be read of a damaged pipe `src` to the new pipe `dst`, and verify that.

    A block is brought over whole or not at all. It also reads what `smartpipe.open` refuses: files that were cut, and
    those whose header or index is destroyed. Of a key that occurs twice the last block that is whole counts. The
    metadata of `src` is carried over, and `metadata` added to it; so is its last dictionary that is whole, where the
    codec is zstd and `dictionary` gives no other and is not False. A pipe of format 1 needs its index, which has the
    keys.

    `mode` "x" refuses a `dst` that exists (PipeExistsError), "w" replaces it. `options` are those of
    `smartpipe.open` for `dst`; without `format` it is of format 2, without `compress` it has the codec of `src`.
    `max_block_size` holds for reading too. `progress` is called with (bytes done, bytes in all). Until `dst` is
    complete and verified it lies under its name with `.new`; on any error nothing is published. A `dst` that is `src`
    is a ValueError, and a codec that needs a package which is not installed an EngineError.

    >>> import smartpipe
    >>> with smartpipe.open("crawl", "w") as pipe:
    ...     pipe.write(b"https://a", {b"raw": b"<html>"})
    ...     pipe.write(b"https://b", {b"raw": b"<html>"})
    >>> with open("crawl.dat", "r+b") as file:
    ...     _ = file.seek(-1, 2), file.write(b"!")
    >>> report = smartpipe.recover("crawl", "rescued")
    >>> report.blocks, [(lost.block, lost.reason) for lost in report.lost]
    (1, [(b'https://b', 'the head of the record: the checksum does not match')])
    """
    if mode not in ("x", "w"):
        raise ValueError(f"mode is 'x' (dst must not exist) or 'w' (dst is replaced), not {mode!r}")
    limit = check_limit(options.get("max_block_size", MAX_BLOCK_SIZE))
    source, target = paths_of(src), paths_of(dst).absolute()
    with errors.storage_errors(target.prefix):
        subject = identify(source, limit)
        try:
            _refuse_same(subject.source.path, source.index, target, dst)
            return _recover(subject, source, paths_of(dst), mode, dict(metadata or {}), progress, options)
        finally:
            subject.source.close()


def _recover(
    subject: Subject,
    source: Paths,
    shown: Paths,
    mode: str,
    metadata: dict[bytes, bytes],
    progress: Callable[[int, int], object] | None,
    options: dict[str, Any],
) -> RecoverReport:
    target = shown.absolute()
    salvage = (Salvage1 if subject.format == 1 else Salvage2)(subject, source.index, progress)
    pairs = {**salvage.metadata, **metadata}
    if pairs and options.get("format") == 1:
        errors.warn(f"{target.prefix}: format 1 has no metadata, left out")
        pairs = {}
    if wanted_codec(target, options.get("compress")) is None:
        codec = CODECS.get(salvage.codec, "zlib") if salvage.codec > 0 or target.data is None else "zlib"
        options["compress"] = codec_of(codec, options.get("format"))
    if options.get("compress") == "zstd" and options.get("dictionary") is None:
        # The salvage has met all of them.
        last = subject.source.last_dictionary()
        options["dictionary"] = None if last is None else carried(last.content)
    if mode == "w":
        finish_replacement(target)
    else:
        _refuse_existing(target)
    guards = begin_replacement(target)
    try:
        written = _write(target.new, salvage.blocks(), pairs, options)
        guards.append(lock_existing(written.data_path))
        limit = {name: value for name, value in options.items() if name == "max_block_size"}
        report = verify(written.data_path, **limit)
        if not report.ok or report.blocks != len(written):
            remove([written.index_path, written.data_path])
            raise errors.CorruptError(f"what was recovered is not whole: {report.damage[:1]}", path=written.data_path)
        if mode == "x":
            _refuse_existing(target, [written.index_path, written.data_path])
        publish(target, written.data_path, written.index_path, written.format)
    finally:
        for guard in guards:
            guard.close()
    path = shown.data_path(written.codec != "none")
    return RecoverReport(path, len(written), salvage.pairs, salvage.lost, salvage.missing, salvage.torn, salvage.notes)


def _write(paths: Paths, blocks: Iterator[Block], metadata: dict[bytes, bytes], options: dict[str, Any]) -> Writer:
    """Write blocks to a new pipe, and let all of it reach the disk."""
    writer = Writer(paths.prefix, "x", metadata=metadata or None, **options)
    try:
        for block in blocks:
            writer.write(block.key, block)
        writer.sync()
    except BaseException:
        writer.abort()
        raise
    writer.close()
    return writer


def _refuse_existing(paths: Paths, unpublished: list[str] | None = None) -> None:
    present = [file for file in (*paths.existing(), paths.index) if os.path.lexists(file)]
    if present:
        remove(unpublished or [])
        raise errors.PipeExistsError(f"there is a pipe already: {present[0]}", path=paths.prefix)


def _refuse_same(data_path: str, index_path: str, target: Paths, dst: Path) -> None:
    # By the files and not by their names: links lead to the same pipe too, and so does where the new pipe is written.
    for file in (*target.existing(), target.index, *target.new.existing(), target.new.index):
        for source in (data_path, index_path):
            if os.path.exists(file) and os.path.exists(source) and os.path.samefile(file, source):
                raise ValueError(f"{os.fspath(dst)}: source and destination are the same pipe, {source}")
