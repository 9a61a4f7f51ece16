"""`smartpipe grep`"""

from __future__ import annotations

import re

import click

import smartpipe
from smartpipe.cli import output
from smartpipe.cli.arguments import as_key, as_regexp, json_option, pipe_argument
from smartpipe.cli.bar import bar
from smartpipe.cli.keys import show
from smartpipe.operations.search import Match

BESIDE = 80
"""How many bytes of the line are shown before and behind a match: a page can be one line."""
LONGEST = 400
"""How many bytes of a match are shown."""


@click.command()
@click.argument("pattern", metavar="REGEXP", type=as_regexp)
@pipe_argument
@click.option("--key", type=as_key, metavar="KEY", help="Only values of this pair key.")
@json_option
@click.pass_context
def grep(context: click.Context, pattern: re.Pattern[bytes], pipe: str, key: bytes | None, as_json: bool) -> None:
    """Search the values with a regular expression.

    A line for each line with a match: block, pair key, offset of the match in the value, the line, with tabs between.
    The exit code is 0 when something was found, 1 when nothing was.
    """
    found = False
    with bar("grep", printing=True) as progress:
        for match in smartpipe.grep(pattern, pipe, key, progress=progress):
            found = True
            if as_json:
                output.json_line(match._asdict())
            else:
                output.line(f"{show(match.block)}\t{show(match.pair)}\t{match.start}\t{_excerpt(match)}")
    context.exit(0 if found else 1)


def _excerpt(match: Match) -> str:
    start = match.start - match.line_start
    first = max(start - BESIDE, 0)
    last = start + min(len(match.text), LONGEST) + BESIDE
    before = "..." if first else ""
    behind = "..." if last < len(match.line) else ""
    return before + show(match.line[first:last]) + behind
