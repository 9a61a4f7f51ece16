"""`smartpipe store` and its commands"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from typing import Any

import click

import smartpipe
from smartpipe.cli import output
from smartpipe.cli.arguments import PATH, as_key, grace_option, json_option
from smartpipe.cli.bar import bar
from smartpipe.cli.cat import write_values
from smartpipe.cli.ls import HEADS, columns, print_block, written
from smartpipe.cli.verify import print_verified
from smartpipe.container.reader import MAX_BLOCK_SIZE
from smartpipe.shards.folder import open_folder

store_argument = click.argument("path", metavar="STORE", type=PATH)


def writing_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options of what is written to a store; the command gets them as `options`, for `ShardStore`."""

    @click.option("--compress", type=click.Choice(["none", "zlib", "zstd", "lz4"]), help="Codec of what is written.")
    @click.option("--level", type=click.IntRange(1, 9), metavar="N", help="1 is fastest, 9 smallest.")
    @click.option("--overwrite", is_flag=True, help="Let this content count where the store has another.")
    @functools.wraps(command)
    def with_options(*arguments: Any, compress: str | None, level: int | None, **others: Any) -> Any:
        options: dict[str, Any] = {}
        if compress is not None:
            options["compress"] = False if compress == "none" else compress
        if level is not None:
            options["level"] = level
        return command(*arguments, options=options, **others)

    return with_options


@click.group()
def store() -> None:
    """Stores of many pipes, which many processes use at once.

    A STORE is a folder. `put` and `pack` begin one where there is none.
    """


@store.command()
@store_argument
@click.option("--prefix", type=as_key, default="", metavar="KEY", help="Only blocks whose key begins so.")
@click.option("--long", "-l", is_flag=True, help="With stored and raw bytes, pairs and time of each block.")
@json_option
def ls(path: str, prefix: bytes, long: bool, as_json: bool) -> None:
    """List the blocks.

    In the order of the files. With --long a line is: bytes in the data file, raw bytes, pairs, time when it was
    written (UTC), key; a line of heads comes first.
    """
    with smartpipe.ShardStore(path, "r") as opened:
        if not long:
            for key in opened.keys(prefix):
                print_block({"block": key}, as_json)
            return
        if not as_json:
            output.line(columns({name: head for name, head in HEADS.items() if name != "number"}) + "block")
        for entry in opened.entries(prefix):
            listed = {
                "block": entry.key,
                "stored_bytes": entry.stored,
                "raw_bytes": entry.raw,
                "pair_count": entry.pairs,
                "written": written(entry.stamp),
            }
            print_block(listed, as_json)


@store.command()
@store_argument
@click.argument("block", type=as_key)
@click.option("-k", "--key", type=as_key, metavar="KEY", help="Only the value of this pair key.")
def get(path: str, block: bytes, key: bytes | None) -> None:
    """Write the values of a block.

    As they are and with nothing between; a single value, as `put` stores it, comes back byte for byte.
    """
    with smartpipe.ShardStore(path, "r") as opened:
        write_values(opened[block], key)


@store.command()
@store_argument
@click.argument("block", type=as_key)
@click.argument("file", type=PATH, default="-")
@writing_options
def put(path: str, block: bytes, file: str, overwrite: bool, options: dict[str, Any]) -> None:
    """Store a file under a key, as a single value.

    Without FILE, or where it is -, what comes from standard input. Where the block is there already with the same
    content nothing happens; with another that is an error, or with --overwrite the latest counts.
    """
    content = _content(file)
    with smartpipe.ShardStore(path, **options) as opened:
        opened.put_bytes(block, content, overwrite=overwrite)


def _content(file: str) -> bytes:
    # More than a block may have is not read to its end; the store says how much that is.
    if file != "-":
        with open(file, "rb") as stream:
            return stream.read(MAX_BLOCK_SIZE + 1)
    if sys.stdin is None:
        raise OSError("standard input is closed")
    return sys.stdin.buffer.read(MAX_BLOCK_SIZE + 1)


@store.command()
@store_argument
@click.argument("blocks", metavar="BLOCK...", type=as_key, nargs=-1, required=True)
@click.pass_context
def rm(context: click.Context, path: str, blocks: tuple[bytes, ...]) -> None:
    """Delete blocks.

    Their room is given back by `compact`. A block that is not there is an error; the others are deleted.
    """
    missing = False
    with _existing(path) as opened:
        for block in blocks:
            try:
                opened.delete(block)
            except smartpipe.BlockNotFound as error:
                missing = True
                output.complain_of(error)
    context.exit(1 if missing else 0)


@store.command()
@store_argument
@json_option
def stats(path: str, as_json: bool) -> None:
    """Say how much there is, and how much of it is dead."""
    with smartpipe.ShardStore(path, "r") as opened:
        found = opened.stats()
    output.numbers(found, as_json)


@store.command()
@store_argument
@json_option
@click.pass_context
def verify(context: click.Context, path: str, as_json: bool) -> None:
    """Look at every byte, and say what is whole and what is not.

    Damage does not end it: a line for each, with what, file, offset, bytes, block, reason, and tabs between. The exit
    code is 0 when all is well, 1 when not.
    """
    with smartpipe.ShardStore(path, "r") as opened, bar("verify", unit="bytes") as progress:
        report = opened.verify(progress=progress)
    if as_json:
        output.json_line(report.as_dict())
    else:
        print_verified(report, f"{report.keys:,} keys, {report.blocks:,} blocks whole")
    context.exit(0 if report.ok else 1)


@store.command()
@store_argument
@click.option(
    "--dead",
    type=click.FloatRange(0, 1),
    default=0.0,
    metavar="PART",
    help="Only shards of which this part is dead, from 0 to 1.",
)
@json_option
def compact(path: str, dead: float, as_json: bool) -> None:
    """Write shards anew without what is dead in them.

    Small ones are joined. Other processes go on meanwhile, and shards that they write to are left alone; so are damaged
    ones, with a warning. The old files are removed when nobody needs them, a minute later at the earliest, by `gc` or
    the next `compact`.
    """
    with _existing(path) as opened, bar("compact", unit="bytes") as progress:
        report = opened.compact(dead=dead, progress=progress)
    if as_json:
        output.json_line(report.as_dict())
        return
    output.line(
        f"{path}: {report.shards:,} shards compacted, {report.records:,} records,"
        f" {report.bytes_before:,} bytes before, {report.bytes_after:,} after"
    )


@store.command()
@store_argument
@grace_option(60.0)
@json_option
def gc(path: str, grace: float, as_json: bool) -> None:
    """Remove files that nobody needs.

    These are compacted shards, and what killed processes left. What another process may have open stays.
    """
    with _existing(path) as opened:
        report = opened.gc(grace=grace)
    if as_json:
        output.json_line(report.as_dict())
        return
    output.line(f"{path}: {len(report.removed):,} files removed, {report.bytes:,} bytes; {report.waiting:,} wait")


@store.command()
@store_argument
@click.argument("dst", type=PATH)
@json_option
def backup(path: str, dst: str, as_json: bool) -> None:
    """Copy a store while it is used.

    DST is new, empty, or an earlier backup of STORE, to which only what is new is copied. It is a store.
    """
    with smartpipe.ShardStore(path, "r") as opened, bar("backup", unit="bytes") as progress:
        report = opened.backup(dst, progress=progress)
    if as_json:
        output.json_line(report.as_dict())
        return
    output.line(f"{dst}: {len(report.copied):,} shards copied, {report.bytes:,} bytes; {report.kept:,} were there")


@store.command()
@click.argument("folder", metavar="DIR", type=PATH)
@store_argument
@writing_options
@click.pass_context
def pack(context: click.Context, folder: str, path: str, overwrite: bool, options: dict[str, Any]) -> None:
    """Store a tree of files.

    Each file below DIR becomes a single value, its key the path below DIR. Links and whatever else is no file are left
    out, with a warning; folders without files, times and permissions are not kept. A file that can not be stored, as
    it changes meanwhile, is too large, or has another content in STORE, is an error; the others are stored.
    """
    with bar("pack", unit="bytes") as progress:
        counts = smartpipe.pack(
            folder, path, overwrite=overwrite, on_error=output.complain_of, progress=progress, **options
        )
    _print_counts(path, counts)
    context.exit(1 if counts["failed"] else 0)


@store.command()
@store_argument
@click.argument("folder", metavar="DIR", type=PATH)
@click.option("--overwrite", is_flag=True, help="Replace files that exist.")
@click.pass_context
def unpack(context: click.Context, path: str, folder: str, overwrite: bool) -> None:
    """Write a store as a tree of files.

    Each single value becomes a file below DIR, its name the key. Files that exist are kept, unless --overwrite. A block
    whose key is no path below DIR (absolute, with `..`, too long), that has several pairs, or that is damaged is an
    error, and so is one whose key begins with another block's key and a slash; the others are written. No link in DIR
    is followed.
    """
    with bar("unpack", unit="files") as progress:
        counts = smartpipe.unpack(path, folder, overwrite=overwrite, on_error=output.complain_of, progress=progress)
    _print_counts(folder, counts)
    context.exit(1 if counts["failed"] else 0)


def _existing(path: str) -> smartpipe.ShardStore:
    """A store for writing that is there already: what only makes one smaller begins none."""
    open_folder(path, False)
    return smartpipe.ShardStore(path)


def _print_counts(path: str, counts: dict[str, int]) -> None:
    kept = f", {counts['kept']:,} kept" if counts.get("kept") else ""
    failed = f", {counts['failed']:,} failed" if counts["failed"] else ""
    output.line(f"{path}: {counts['files']:,} files, {counts['bytes']:,} bytes{kept}{failed}")
