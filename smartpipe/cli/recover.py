"""`smartpipe recover`"""

from __future__ import annotations

from typing import Any

import click

import smartpipe
from smartpipe.cli import output
from smartpipe.cli.arguments import PATH, json_option, new_pipe_options
from smartpipe.cli.bar import bar
from smartpipe.cli.damage import print_damage


@click.command()
@click.argument("src", type=PATH)
@click.argument("dst", type=PATH)
@json_option
@new_pipe_options
@click.pass_context
def recover(context: click.Context, src: str, dst: str, as_json: bool, options: dict[str, Any]) -> None:
    """Write what can be read of a damaged pipe to a new one.

    The blocks of pipe SRC that are whole are written to the new pipe DST, which is then verified. A line for each block
    that is lost, with what, file, offset, bytes, block, reason, and tabs between. The exit code is 0 when nothing was
    lost, 3 when something was. Without options DST is of format 2 and has the codec of SRC.
    """
    with bar("recover", unit="bytes") as progress:
        report = smartpipe.recover(src, dst, progress=progress, **options)
    if as_json:
        output.json_line(report.as_dict())
    else:
        lost = f", {max(report.missing, len(report.lost)):,} lost" if report.lost or report.missing else ""
        output.line(f"{dst}: {report.blocks:,} blocks, {report.pairs:,} pairs{lost}")
        print_damage([*report.lost, *report.torn])
        for note in report.notes:
            output.line(f"note\t{note}")
    context.exit(3 if report.lost or report.missing else 0)
