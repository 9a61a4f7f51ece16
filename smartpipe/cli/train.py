"""`smartpipe train`"""

from __future__ import annotations

import os
from typing import Any

import click

import smartpipe
from smartpipe.cli import output
from smartpipe.cli.arguments import PATH, as_key, pipe_argument
from smartpipe.operations.train import LEAST_BYTES, MOST_BYTES


@click.command()
@pipe_argument
@click.option("-o", "--output", "path", type=PATH, required=True, metavar="FILE", help="Where the dictionary goes.")
@click.option(
    "--size", type=click.IntRange(LEAST_BYTES, MOST_BYTES), metavar="BYTES", help="At most.  [default: 112640]"
)
@click.option(
    "--select", type=as_key, metavar="KEY", multiple=True, help="Take only this pair key; may be given several times."
)
def train(pipe: str, path: str, size: int | None, select: tuple[bytes, ...]) -> None:
    """Make a dictionary of what blocks have in common.

    It is for `--dictionary` of other commands, so that many small similar blocks shrink. FILE must not exist.
    """
    if os.path.lexists(path):
        raise FileExistsError(f"{path}: there is such a file already")
    options: dict[str, Any] = {} if size is None else {"size": size}
    dictionary = smartpipe.train(pipe, select=select or None, **options)
    with open(path, "xb") as file:
        file.write(dictionary)
    output.line(f"{path}: {len(dictionary):,} bytes")
