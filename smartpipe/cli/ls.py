"""`smartpipe ls`"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timezone
from typing import Any

import click

import smartpipe
from smartpipe.cli import output
from smartpipe.cli.arguments import as_key, json_option, pipe_argument
from smartpipe.cli.keys import show

WIDTHS = {"number": 8, "stored_bytes": 11, "raw_bytes": 11, "pair_count": 6, "written": 25}
"""Of the columns with --long."""
HEADS = {
    "number": "number",
    "stored_bytes": "stored",
    "raw_bytes": "raw",
    "pair_count": "pairs",
    "written": "written",
}


@click.command()
@pipe_argument
@click.argument("block", type=as_key, required=False)
@click.option("--top", is_flag=True, help="Only the blocks, not their pairs.")
@click.option("--long", "-l", is_flag=True, help="With number, stored and raw bytes, pairs and time of each block.")
@json_option
def ls(pipe: str, block: bytes | None, top: bool, long: bool, as_json: bool) -> None:
    """List blocks and their pairs.

    Below each block, or only BLOCK, its pairs: bytes of the value, pair key. With --long a block's line is: number,
    bytes in the data file, raw bytes, pairs, time when it was written (UTC), key; a line of heads comes first. What a
    file does not say is a -.
    """
    if block is not None and (top or long):
        raise click.UsageError("--top and --long list all blocks: leave BLOCK out")
    with smartpipe.open(pipe) as reader:
        if block is not None:
            print_block({"block": block, "pairs": pairs_of(reader[block])}, as_json)
        else:
            if long and not as_json:
                output.line(columns(HEADS) + "block")
            for listed in _blocks(reader, top, long):
                print_block(listed, as_json)


def _blocks(reader: smartpipe.Reader, top: bool, long: bool) -> Iterator[dict[str, Any]]:
    for entry in reader.entries():
        listed: dict[str, Any] = _entry(entry) if long else {"block": entry.key}
        if not top:
            # By key and not by items(), which reads values.
            listed["pairs"] = pairs_of(reader[entry.key])
        yield listed


def _entry(entry: smartpipe.Entry) -> dict[str, Any]:
    return {
        "block": entry.key,
        "number": entry.number,
        "offset": entry.offset,
        "stored_bytes": entry.stored,
        "raw_bytes": entry.raw,
        "pair_count": entry.pairs,
        "written": written(entry.stamp),
    }


def written(stamp: int | None) -> str | None:
    """When a block was written, as it is listed; None where that is not known."""
    return None if stamp is None else datetime.fromtimestamp(stamp / 1e9, timezone.utc).isoformat(" ", "seconds")


def pairs_of(block: smartpipe.Block) -> list[dict[str, Any]]:
    """The pairs of a block, as they are listed."""
    return [{"key": key, "bytes": size} for key, size in block.sizes()]


def print_block(listed: dict[str, Any], as_json: bool) -> None:
    """A block as a line, and a line for each of its pairs; or all of it as a line of JSON."""
    if as_json:
        output.json_line(listed)
        return
    output.line((columns(listed) if "written" in listed else "") + show(listed["block"]))
    for pair in listed.get("pairs", ()):
        output.line(f"{pair['bytes']:>12}  {show(pair['key'])}")


def columns(listed: dict[str, Any]) -> str:
    """What --long has of a block in front of its key."""
    shown = [f"{_or_dash(listed[name]):>{width}}" for name, width in WIDTHS.items() if name in listed]
    return " ".join(shown) + "  "


def _or_dash(value: object) -> str:
    return "-" if value is None else str(value)
