"""`smartpipe map`"""

from __future__ import annotations

from typing import Any

import click

from smartpipe.cli.arguments import PATH, as_key, new_pipe_options


@click.command("map")
@click.argument("src", type=PATH)
@click.argument("dst", type=PATH)
@click.argument("function", metavar="MODULE:FUNCTION")
@click.option(
    "--select", type=as_key, metavar="KEY", multiple=True, help="Read only this pair key; may be given several times."
)
@click.option("-j", "--jobs", type=click.IntRange(min=1), metavar="N", help="Processes.  [default: one a core]")
@click.option(
    "--on-error",
    type=click.Choice(["record", "raise"]),
    default="record",
    show_default=True,
    help="What an exception of the function does: become a pair `error` of its block, or end the run.",
)
@click.option("--resume", is_flag=True, help="Go on where an interrupted run stopped.")
@new_pipe_options
def map_(
    src: str,
    dst: str,
    function: str,
    select: tuple[bytes, ...],
    jobs: int | None,
    on_error: str,
    resume: bool,
    options: dict[str, Any],
) -> None:
    """Run a function over all blocks.

    What it makes of the blocks of pipe SRC is written to the new pipe DST.
    MODULE is imported as Python does, also from the current folder. FUNCTION gets the key and the block, and returns the
    pairs of the new block (a mapping or an iterable of pairs of bytes), or None to leave the block out.
    """
