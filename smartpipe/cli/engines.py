"""`smartpipe engines`"""

from __future__ import annotations

import click

import smartpipe
from smartpipe.cli import output
from smartpipe.cli.arguments import json_option
from smartpipe.operations.speed import measure, sample

HEADS = ("codec", "level", "writes", "reads", "MB/s in", "MB/s out", "stored")


@click.command()
@json_option
def engines(as_json: bool) -> None:
    """List what compresses and inflates each codec at each level, and how fast it is here.

    A pipe of pages is written and read with each, on one thread, which takes two or three seconds in all. For a
    codec that has no engine here it says what to install.
    """
    found = smartpipe.engines()
    page = sample()
    if not as_json:
        output.line("\t".join(HEADS))
    for codec in ("zlib", "zstd", "lz4"):
        if codec not in found:
            install = f"pip install 'smartpipe[{codec}]'"
            if as_json:
                output.json_line({"codec": codec, "engine": None, "install": install})
            else:
                output.line(f"{codec}\t-\tmissing: {install}")
            continue
        reads = found[codec]
        for level, writes in reads["levels"].items():
            speed = measure(codec, level, page)
            if as_json:
                output.json_line(
                    {
                        "codec": codec,
                        "level": level,
                        "writes": dict(writes),
                        "reads": {name: value for name, value in reads.items() if name != "levels"},
                        "bytes_per_second_in": round(speed.written),
                        "bytes_per_second_out": round(speed.read),
                        "stored": round(speed.ratio, 4),
                    }
                )
            else:
                fields = (
                    codec,
                    str(level),
                    f"{writes['engine']} {writes['version']} ({writes['binding']}), level {writes['level']}",
                    f"{reads['engine']} {reads['version']} ({reads['binding']})",
                    f"{speed.written / 1e6:.0f}",
                    f"{speed.read / 1e6:.0f}",
                    f"{speed.ratio:.1%}",
                )
                output.line("\t".join(fields))
