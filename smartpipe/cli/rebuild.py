"""`smartpipe rebuild-index`"""

from __future__ import annotations

import click

import smartpipe
from smartpipe.cli import output
from smartpipe.cli.arguments import json_option, pipe_argument
from smartpipe.cli.damage import print_damage


@click.command("rebuild-index")
@pipe_argument
@json_option
def rebuild_index(pipe: str, as_json: bool) -> None:
    """Make the index anew from the data.

    The data file stays as it is. What is damaged there, and an unfinished block at its end, has a line each: what,
    file, offset, bytes, block, reason, with tabs between.
    """
    report = smartpipe.rebuild_index(pipe)
    if as_json:
        output.json_line(report.as_dict())
        return
    output.line(f"{report.path}: {report.blocks:,} blocks")
    print_damage(report.damage)
