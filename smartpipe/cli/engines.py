"""`smartpipe engines`"""

from __future__ import annotations

import click

import smartpipe
from smartpipe.cli import output
from smartpipe.cli.arguments import json_option


@click.command()
@json_option
def engines(as_json: bool) -> None:
    """List the engine of each codec.

    Codec, engine, its version, whether it is called from C or from Python, with tabs between.
    """
    found = smartpipe.engines()
    if as_json:
        for codec, engine in found.items():
            output.json_line({"codec": codec, **engine})
        return
    for codec, engine in found.items():
        output.line(f"{codec}\t{engine['engine']}\t{engine['version']}\t{engine['binding']}")
