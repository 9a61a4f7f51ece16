"""`smartpipe info`"""

from __future__ import annotations

from datetime import datetime, timezone

import click

import smartpipe
from smartpipe.cli import output
from smartpipe.cli.arguments import json_option, pipe_argument
from smartpipe.cli.bar import bar
from smartpipe.cli.keys import show


@click.command()
@pipe_argument
@json_option
def info(pipe: str, as_json: bool) -> None:
    """Say what a pipe is and what lies in it."""
    with bar("info") as progress:
        found = smartpipe.info(pipe, progress=progress)
    if as_json:
        output.json_line(found.as_dict())
        return
    _fact("pipe", found.path)
    _fact("format", str(found.format))
    _fact("codec", found.codec + (f", {found.engine}" if found.engine else ""))
    if found.dictionary_bytes is not None:
        _fact("dictionary", f"{found.dictionary_bytes:,} bytes")
    _fact("blocks", f"{found.blocks:,}")
    _fact("pairs", f"{found.pairs:,}")
    _fact("raw bytes", f"{found.raw_bytes:,}")
    _fact("data file", f"{found.data_bytes:,} bytes" + (f", {found.ratio:.1%} of raw" if found.ratio else ""))
    _fact("index file", f"{found.index_bytes:,} bytes")
    if found.first_stamp is not None and found.last_stamp is not None:
        _fact("written", f"{_time(found.first_stamp)} to {_time(found.last_stamp)}")
    for key, value in found.metadata.items():
        _fact("metadata", f"{show(key)} = {show(value)}")
    if found.largest:
        output.line()
        output.line("raw bytes of a block")
        _size(found.smallest_block, "smallest")
        for percent, size in found.quantiles.items():
            _size(size, f"{percent} % are not larger")
        _size(found.largest_block, "largest")
        output.line()
        output.line("largest blocks")
        for block in found.largest:
            _size(block.raw_bytes, show(block.key))
    if found.pair_keys:
        output.line()
        output.line("pair keys: bytes of their values, pairs")
        for pair in found.pair_keys:
            name = "(others)" if pair.key is None else show(pair.key)
            output.line(f"{pair.value_bytes:>16,} {pair.pairs:>12,}  {name}")


def _fact(name: str, value: str) -> None:
    output.line(f"{name:<12}{value}")


def _size(size: int | None, what: str) -> None:
    output.line(f"{size:>16,}  {what}")


def _time(stamp: int) -> str:
    return datetime.fromtimestamp(stamp / 1e9, timezone.utc).strftime("%Y-%m-%d %H:%M:%S UTC")
