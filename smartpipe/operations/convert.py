"""convert and concat: the blocks of a pipe, or of several, written to a new one."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Literal

import smartpipe
from smartpipe import errors
from smartpipe.container.paths import paths_of
from smartpipe.container.writer import carried, codec_of
from smartpipe.operations.progress import Progress, reported

Path = str | os.PathLike[str]


def convert(
    src: Path,
    dst: Path,
    *,
    mode: Literal["x", "w"] = "x",
    metadata: Mapping[bytes, bytes] | None = None,
    progress: Progress | None = None,
    **options: Any,
) -> dict[str, int]:
    """Write the blocks of the pipe `src`, in their order, to the pipe `dst`.

    `mode` "x" refuses a `dst` that exists (PipeExistsError), "w" replaces it when all is written. `options` are
    those of `smartpipe.open` for `dst`; without `format` it is of format 2, without `compress` it has the
    codec of `src`. With the codec zstd it has the dictionary of `src` (`Reader.dictionary`) where `dictionary` gives no
    other and is not False. The metadata of `src` is carried over, and `metadata` added to it. A `dst` that is `src` is
    a ValueError. On any error nothing is published. Returns the numbers of "blocks" and "pairs".

    >>> import smartpipe
    >>> with smartpipe.open("old", "w", format=1) as pipe:
    ...     pipe.write(b"https://a", {b"raw": b"<html>", b"log": b""})
    >>> smartpipe.convert("old", "new", compress="zlib", level=9)
    {'blocks': 1, 'pairs': 2}
    """
    return concat([src], dst, mode=mode, metadata=metadata, progress=progress, **options)


def concat(
    sources: Iterable[Path],
    dst: Path,
    *,
    mode: Literal["x", "w"] = "x",
    metadata: Mapping[bytes, bytes] | None = None,
    progress: Progress | None = None,
    **options: Any,
) -> dict[str, int]:
    """Write the blocks of all `sources`, one pipe after another, to the pipe `dst`.

    As `convert`; without `compress` the codec is that of the first source, and the dictionary that of the first one
    that has any. Where sources have the same metadata key, the last one counts. A block key that two sources have is a
    DuplicateKeyError.

    >>> import smartpipe
    >>> for name in ("monday", "tuesday"):
    ...     with smartpipe.open(name, "w") as pipe:
    ...         pipe.write(name.encode(), {b"raw": b"<html>"})
    >>> smartpipe.concat(["monday", "tuesday"], "week")
    {'blocks': 2, 'pairs': 2}
    """
    if isinstance(sources, (str, bytes, os.PathLike)):
        raise TypeError(f"concat takes a list of pipes, not the one path {sources!r}")
    if mode not in ("x", "w"):
        raise ValueError(f"mode is 'x' (dst must not exist) or 'w' (dst is replaced), not {mode!r}")
    paths = list(sources)
    if not paths:
        raise ValueError("concat needs at least one pipe to read")
    limit = {name: value for name, value in options.items() if name == "max_block_size"}

    pairs: dict[bytes, bytes] = {}
    blocks = 0
    for path in paths:
        with smartpipe.open(path, **limit) as reader:
            _refuse_same(reader, dst)
            pairs.update(reader.metadata)
            blocks += len(reader)
            if options.get("compress") is None:
                options["compress"] = codec_of(reader.codec, options.get("format"))
            if options["compress"] == "zstd" and options.get("dictionary") is None:
                options["dictionary"] = carried(reader.dictionary)
    if pairs and options.get("format") == 1:
        errors.warn(f"{os.fspath(dst)}: format 1 has no metadata, left out")
        pairs = {}

    counts = {"blocks": 0, "pairs": 0}
    writer = smartpipe.open(dst, mode, metadata={**pairs, **(metadata or {})} or None, **options)
    try:
        for path, key, block in reported(_blocks(paths, limit), blocks, progress):
            try:
                writer.write(key, block)
            except smartpipe.DuplicateKeyError:
                reason = f"{os.fspath(path)} has this block, and it was written before"
                raise smartpipe.DuplicateKeyError(reason, path=os.fspath(dst), block=key) from None
            counts["blocks"] += 1
            counts["pairs"] += len(block)
    except BaseException:
        writer.abort()
        raise
    writer.close()
    return counts


def _blocks(paths: list[Path], limit: dict[str, Any]) -> Iterator[tuple[Path, bytes, smartpipe.Block]]:
    for path in paths:
        with smartpipe.open(path, **limit) as reader:
            for key, block in reader.items():
                yield path, key, block


def _refuse_same(reader: smartpipe.Reader, dst: Path) -> None:
    # By the files and not by their names: links and another codec's file name lead to the same pipe too, and so does
    # where a new pipe is written that takes the place of an old one.
    paths = paths_of(dst)
    for file in (*paths.existing(), paths.index, *paths.new.existing(), paths.new.index):
        for source in (reader.data_path, reader.index_path):
            if os.path.exists(file) and os.path.exists(source) and os.path.samefile(file, source):
                raise ValueError(f"{os.fspath(dst)}: source and destination are the same pipe, {source}")
