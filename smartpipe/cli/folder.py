"""`smartpipe extract` and `smartpipe import`"""

from __future__ import annotations

from typing import Any

import click

import smartpipe
from smartpipe.cli.arguments import PATH, new_pipe_options, pipe_argument
from smartpipe.cli.bar import bar
from smartpipe.cli.convert import print_counts


@click.command()
@pipe_argument
@click.argument("folder", metavar="DIR", type=PATH)
def extract(pipe: str, folder: str) -> None:
    """Write a pipe as a folder of files.

    Each block becomes a folder in DIR, each of its pairs a file in that. DIR must be empty or not exist. `smartpipe
    import` makes the same pipe of it again.
    """
    with bar("extract") as progress:
        counts = smartpipe.extract(pipe, folder, progress=progress)
    print_counts(folder, counts)


@click.command("import")
@click.argument("folder", metavar="DIR", type=PATH)
@pipe_argument
@new_pipe_options
def import_(folder: str, pipe: str, options: dict[str, Any]) -> None:
    """Pack a folder of files into a pipe.

    What `extract` made becomes the pipe that it was. In any other folder each file becomes a block, its key
    the path below DIR, its one pair `raw`; without options the pipe is of format 2 and not compressed.
    """
    with bar("import") as progress:
        counts = smartpipe.import_folder(folder, pipe, progress=progress, **options)
    print_counts(pipe, counts)
