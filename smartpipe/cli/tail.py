"""`smartpipe tail`"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator

import click

import smartpipe
from smartpipe.cli import output
from smartpipe.cli.arguments import as_key, json_option, pipe_argument
from smartpipe.cli.ls import pairs_of, print_block

LOOK = 1.0
"""Seconds between two looks whether anybody still reads the output, while no block comes."""


@click.command()
@pipe_argument
@click.option(
    "-n",
    "--lines",
    "count",
    type=click.IntRange(min=0),
    metavar="N",
    default=10,
    show_default=True,
    help="Begin with the last N blocks; 0: only new ones.",
)
@click.option("-k", "--key", type=as_key, metavar="KEY", help="Write the values of this pair as they are.")
@click.option(
    "--timeout",
    type=click.FloatRange(min=0),
    metavar="SECONDS",
    help="End after so many seconds without a block.",
)
@click.option("--top", is_flag=True, help="Only the blocks, not their pairs.")
@json_option
@click.pass_context
def tail(
    context: click.Context, pipe: str, count: int, key: bytes | None, timeout: float | None, top: bool, as_json: bool
) -> None:
    """Show the blocks of a pipe while it is written.

    The last blocks, as `smartpipe ls` shows them, and then each new one, until the writer has closed the pipe. A block
    that can not be read is an error; what is behind it is shown, and the exit code at the end is 1.
    """
    if key is not None and (top or as_json):
        raise click.UsageError("--key writes values as they are: leave --top and --json out")
    if timeout is not None and math.isnan(timeout):
        raise click.UsageError("--timeout is no number of seconds")
    failed = False

    def fail(error: smartpipe.SmartPipeError) -> None:
        nonlocal failed
        failed = True
        output.complain_of(error)

    with smartpipe.open(pipe) as reader:
        for name, block in _blocks(reader, max(len(reader) - count, 0), key, timeout, fail):
            if key is not None:
                for value in block.getall(key):
                    output.write(value)
            else:
                print_block({"block": name} if top else {"block": name, "pairs": pairs_of(block)}, as_json)
            output.flush()
    context.exit(1 if failed else 0)


def _blocks(
    reader: smartpipe.Reader,
    start: int,
    key: bytes | None,
    timeout: float | None,
    fail: Callable[[smartpipe.SmartPipeError], None],
) -> Iterator[tuple[bytes, smartpipe.Block]]:
    """The blocks from `start` on, until the writer has closed the pipe, or nobody reads the output any more."""
    select = None if key is None else [key]
    last = time.monotonic()
    while True:
        begin = time.monotonic()
        wait = LOOK if timeout is None else min(LOOK, max(last + timeout - begin, 0))
        for pair in reader.follow(wait, select, start, fail):
            yield pair
            begin = last = time.monotonic()
        now = time.monotonic()
        # A follower that did not wait as long as it might was ended by the writer.
        if now - begin < wait or (timeout is not None and now - last >= timeout):
            return
        if output.is_closed():
            raise BrokenPipeError
        start = len(reader)
