"""`smartpipe check`"""

from __future__ import annotations

import click

import smartpipe
from smartpipe.cli import output
from smartpipe.cli.arguments import json_option, pipe_argument
from smartpipe.cli.bar import bar


@click.command()
@pipe_argument
@click.option("-l", "--limit", type=click.IntRange(min=0), metavar="N", help="Only the first N blocks.")
@click.option(
    "-r",
    "--random",
    "random_reads",
    type=click.IntRange(min=0),
    default=0,
    metavar="N",
    help="Then N blocks at random.",
)
@json_option
def check(pipe: str, limit: int | None, random_reads: int, as_json: bool) -> None:
    """Read everything, and say how fast that went.

    So all of it is verified; the first damage is an error.
    """
    with bar("check") as progress:
        report = smartpipe.check(pipe, limit, random_reads, progress=progress)
    if as_json:
        output.json_line(report.as_dict())
        return
    for name, reading in (("in order", report.sequential), ("at random", report.random)):
        if reading is not None:
            output.line(
                f"{name:<10} {reading.blocks:,} blocks, {reading.pairs:,} pairs, {reading.raw_bytes:,} bytes"
                f" in {reading.seconds:.3f} s: {reading.blocks_per_second:,.0f} blocks/s,"
                f" {reading.bytes_per_second / 1e6:,.1f} MB/s"
            )
