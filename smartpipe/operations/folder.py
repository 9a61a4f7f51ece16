"""extract and import: a pipe as a folder of files, and a folder of files as a pipe."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from typing import Any, BinaryIO, Literal

import smartpipe
from smartpipe import errors
from smartpipe.container.reader import MAX_BLOCK_SIZE
from smartpipe.container.writer import carried, codec_of
from smartpipe.operations.files import check_folder, is_below, open_regular, read_value, walk
from smartpipe.operations.listing import (
    DICTIONARY,
    LIST,
    Head,
    ListedBlock,
    block_line,
    file_names,
    head_line,
    numbered_name,
    plain_name,
    read_list,
)
from smartpipe.operations.progress import Progress, reported
from smartpipe.operations.train import MOST_BYTES

PAIR = b"raw"
"""The key of the one pair that a file outside of an extracted folder becomes: what crawls call the page itself."""

Pairs = list[tuple[bytes, bytes]]


def extract(
    pipe: str | os.PathLike[str], folder: str | os.PathLike[str], *, progress: Progress | None = None, **options: Any
) -> dict[str, int]:
    """Write the blocks of a pipe as files below `folder`, which must be empty or not exist (else PipeExistsError).

    There is a folder for each block and a file for each pair, named by their keys in percent escapes, so that no
    name leads out of `folder`, and a list that keeps order and metadata (docs/cli.md, *extract and import*).
    `options` are those of `smartpipe.open` for the pipe. Returns the numbers of "blocks" and "pairs". When it
    fails, what was written so far stays, and `import_folder` refuses it as incomplete.

    >>> import os, smartpipe
    >>> with smartpipe.open("crawl", "w") as pipe:
    ...     pipe.write(b"https://a/../b", {b"raw": b"<html>"})
    >>> smartpipe.extract("crawl", "pages")
    {'blocks': 1, 'pairs': 1}
    >>> sorted(os.listdir("pages"))
    ['%blocks.jsonl', 'https%3A%2F%2Fa%2F..%2Fb']
    """
    root = os.fspath(folder)
    counts = {"blocks": 0, "pairs": 0}
    with smartpipe.open(pipe, **options) as reader:
        _make_empty(root)
        dictionary = carried(reader.dictionary)
        if dictionary is not None:
            with open(os.path.join(root, DICTIONARY), "xb") as out:
                out.write(dictionary)
        with open(os.path.join(root, LIST), "x", encoding="ascii", newline="\n") as listing:
            has_dictionary = dictionary is not None
            head = Head(reader.format, reader.codec, len(reader), dict(reader.metadata), has_dictionary)
            listing.write(head_line(head))
            for number, (key, block) in enumerate(reported(reader.items(), len(reader), progress)):
                name = _make_block_folder(root, key, number)
                files = file_names(block.keys())
                for file, (_, value) in zip(files, block, strict=True):
                    with open(os.path.join(root, name, file), "xb") as out:
                        out.write(value)
                # Behind its files, so that the list never names what is not there.
                listing.write(block_line(ListedBlock(key, name, list(zip(block.keys(), files, strict=True)))))
                counts["blocks"] += 1
                counts["pairs"] += len(files)
    return counts


def import_folder(
    folder: str | os.PathLike[str],
    pipe: str | os.PathLike[str],
    *,
    mode: Literal["x", "w"] = "x",
    progress: Progress | None = None,
    **options: Any,
) -> dict[str, int]:
    """Write a folder of files to a pipe.

    What `extract` made becomes the pipe that it was. In any other folder each file becomes a block: its key is the
    path below the folder with `/` between, its one pair is `raw`, and the blocks are in the order of their names,
    folder by folder; what is neither a file nor a folder, such as a link, is left out with a PipeWarning.

    `mode` "x" refuses a pipe that exists (PipeExistsError), "w" replaces it when all is written. `options` are
    those of `smartpipe.open` for the pipe; an extracted folder keeps the format and codec of its pipe, and for zstd its
    dictionary, where they do not say otherwise.

    The files of an extracted folder may have new contents. A file that its list does not name, or that is not
    there, is a FormatError; a list that ends early a TruncatedError; a file that is too large for a block a
    BlockTooLargeError. On any error nothing is published. Returns the numbers of "blocks" and "pairs".

    >>> import pathlib, smartpipe
    >>> pathlib.Path("site/docs").mkdir(parents=True)
    >>> _ = pathlib.Path("site/docs/index.html").write_bytes(b"<html>")
    >>> smartpipe.import_folder("site", "imported")
    {'blocks': 1, 'pairs': 1}
    >>> with smartpipe.open("imported") as pipe:
    ...     print(pipe[b"docs/index.html"][b"raw"])
    b'<html>'
    """
    root = os.fspath(folder)
    if mode not in ("x", "w"):
        raise ValueError(f"mode is 'x' (the pipe must not exist) or 'w' (it is replaced), not {mode!r}")
    check_folder(root)
    if is_below(os.path.dirname(os.fspath(pipe)), root):
        raise ValueError(f"{os.fspath(pipe)}: the pipe would lie in the folder that it is made from, {root}")

    limit = options.get("max_block_size", MAX_BLOCK_SIZE)
    if os.path.lexists(os.path.join(root, LIST)):
        return _import_listed(root, pipe, mode, limit, progress, options)
    total = sum(1 for _ in walk(root)) if progress else 0
    return _write(pipe, mode, options, _tree_blocks(root, limit), total, progress)


def _import_listed(
    root: str,
    pipe: str | os.PathLike[str],
    mode: Literal["x", "w"],
    limit: int,
    progress: Progress | None,
    options: dict[str, Any],
) -> dict[str, int]:
    path = os.path.join(root, LIST)
    with _open_file(path) as lines:
        head, blocks = read_list(path, lines)
        if options.get("format") is None:
            options["format"] = head.format
        if options.get("compress") is None:
            options["compress"] = codec_of(head.codec, options.get("format"))
        if head.dictionary and options["compress"] == "zstd" and options.get("dictionary") is None:
            with _open_file(os.path.join(root, DICTIONARY)) as file:
                options["dictionary"] = file.read(MOST_BYTES + 1)
        if head.metadata and options["format"] == 1:
            errors.warn(f"{os.fspath(pipe)}: format 1 has no metadata, left out")
        elif head.metadata:
            options["metadata"] = {**head.metadata, **(options.get("metadata") or {})}
        beside = {LIST, DICTIONARY} if head.dictionary else {LIST}
        return _write(pipe, mode, options, _listed_blocks(root, blocks, beside, limit), head.blocks, progress)


def _write(
    pipe: str | os.PathLike[str],
    mode: Literal["x", "w"],
    options: dict[str, Any],
    blocks: Iterator[tuple[bytes, Pairs]],
    total: int,
    progress: Progress | None,
) -> dict[str, int]:
    counts = {"blocks": 0, "pairs": 0}
    writer = smartpipe.open(pipe, mode, **options)
    try:
        for key, pairs in reported(blocks, total, progress):
            writer.write(key, pairs)
            counts["blocks"] += 1
            counts["pairs"] += len(pairs)
    except BaseException:
        writer.abort()
        raise
    writer.close()
    return counts


def _make_empty(root: str) -> None:
    if os.path.lexists(root) and not os.path.isdir(root):
        raise smartpipe.PipeExistsError("expected a folder, found a file", path=root)
    os.makedirs(root, exist_ok=True)
    with os.scandir(root) as entries:
        if any(True for _ in entries):
            raise smartpipe.PipeExistsError("the folder is not empty", path=root)


def _make_block_folder(root: str, key: bytes, number: int) -> str:
    name = plain_name(key)
    if name is not None:
        try:
            os.mkdir(os.path.join(root, name))
            return name
        except FileExistsError:
            pass
    name = numbered_name(key, number)
    os.mkdir(os.path.join(root, name))
    return name


def _listed_blocks(
    root: str, blocks: Iterator[ListedBlock], beside: set[str], limit: int
) -> Iterator[tuple[bytes, Pairs]]:
    # Names are kept only as a count: memory must not grow with the pipe.
    folders = 0
    for key, name, files in blocks:
        folder = os.path.join(root, name)
        _refuse_unlisted(folder, {file for _, file in files})
        pairs = []
        left = limit
        for pair, file in files:
            left -= 8 + len(pair)
            value = _read_value(os.path.join(folder, file), left, limit)
            left -= len(value)
            pairs.append((pair, value))
        yield key, pairs
        folders += 1
    with os.scandir(root) as entries:
        more = sum(1 for _ in entries) - folders - len(beside)
    if more:
        path = os.path.join(root, LIST)
        with _open_file(path) as lines:
            _refuse_unlisted(root, {*beside, *(block.folder for block in read_list(path, lines)[1])})


def _refuse_unlisted(folder: str, names: set[str]) -> None:
    if not stat.S_ISDIR(_status(folder).st_mode):
        raise smartpipe.FormatError(f"expected a folder, as {LIST} says, found something else", path=folder)
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name not in names:
                raise smartpipe.FormatError(f"{LIST} does not name it, so it belongs to no block", path=entry.path)


def _tree_blocks(root: str, limit: int) -> Iterator[tuple[bytes, Pairs]]:
    for entry in walk(root):
        if not entry.is_file(follow_symlinks=False):
            errors.warn(f"{entry.path}: neither a file nor a folder, left out")
            continue
        key = os.fsencode(os.path.relpath(entry.path, root).replace(os.sep, "/"))
        with open_regular(entry.path) as file:
            yield key, [(PAIR, read_value(file, entry.path, limit - 8 - len(PAIR), limit))]


def _status(path: str) -> os.stat_result:
    try:
        return os.lstat(path)
    except FileNotFoundError:
        raise smartpipe.FormatError(f"{LIST} names it, and it is not there", path=path) from None


def _open_file(path: str) -> BinaryIO:
    _status(path)
    return open_regular(path)


def _read_value(path: str, left: int, limit: int) -> bytes:
    with _open_file(path) as file:
        return read_value(file, path, left, limit)
