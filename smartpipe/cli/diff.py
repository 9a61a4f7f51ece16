"""`smartpipe diff`"""

from __future__ import annotations

import click

import smartpipe
from smartpipe.cli import output
from smartpipe.cli.arguments import PATH, json_option
from smartpipe.cli.bar import bar
from smartpipe.cli.keys import show


@click.command()
@click.argument("first", metavar="PIPE", type=PATH)
@click.argument("second", metavar="PIPE", type=PATH)
@json_option
@click.pass_context
def diff(context: click.Context, first: str, second: str, as_json: bool) -> None:
    """Compare the blocks and values of two pipes.

    A line for each difference: what, block, pair key, sizes, with tabs between. removed: only the first pipe has
    it; added: only the second; changed: another value; moved: what both have stands in another order from here on.
    The exit code is 0 when the pipes hold the same, 1 when not.
    """
    found = False
    with bar("diff", printing=True) as progress:
        for difference in smartpipe.diff(first, second, progress=progress):
            found = True
            if as_json:
                output.json_line(difference._asdict())
                continue
            columns = [difference.kind, show(difference.block)]
            if difference.pair is not None:
                columns.append(show(difference.pair))
            sizes = [f"{size} bytes" for size in (difference.first, difference.second) if size is not None]
            if sizes:
                columns.append(" -> ".join(sizes))
            output.line("\t".join(columns))
    context.exit(1 if found else 0)
