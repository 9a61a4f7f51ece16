"""`smartpipe convert` and `smartpipe concat`"""

from __future__ import annotations

from typing import Any

import click

import smartpipe
from smartpipe.cli import output
from smartpipe.cli.arguments import PATH, new_pipe_options
from smartpipe.cli.bar import bar


@click.command()
@click.argument("src", type=PATH)
@click.argument("dst", type=PATH)
@new_pipe_options
def convert(src: str, dst: str, options: dict[str, Any]) -> None:
    """Write a pipe in another form.

    The blocks of pipe SRC are written to the new pipe DST. Without options DST is of format 2 and has the codec of SRC.
    """
    with bar("convert") as progress:
        counts = smartpipe.convert(src, dst, progress=progress, **options)
    print_counts(dst, counts)


@click.command()
@click.argument("sources", metavar="SRC...", type=PATH, nargs=-1, required=True)
@click.argument("dst", type=PATH)
@new_pipe_options
def concat(sources: tuple[str, ...], dst: str, options: dict[str, Any]) -> None:
    """Join pipes.

    The blocks of all pipes SRC, one pipe after another, are written to the new pipe DST. Without options DST is of
    format 2 and has the codec of the first SRC. No block key may be in two of them.
    """
    with bar("concat") as progress:
        counts = smartpipe.concat(sources, dst, progress=progress, **options)
    print_counts(dst, counts)


def print_counts(path: str, counts: dict[str, int]) -> None:
    """The line that says what was written to where."""
    output.line(f"{path}: {counts['blocks']:,} blocks, {counts['pairs']:,} pairs")
