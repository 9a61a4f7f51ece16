"""`smartpipe map`"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable
from typing import Any

import click

import smartpipe
from smartpipe.cli import output
from smartpipe.cli.arguments import PATH, as_key, new_pipe_options
from smartpipe.cli.bar import bar


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

    What it makes of the blocks of pipe SRC is written to the new pipe DST. MODULE is imported as Python does, also
    from the current folder. FUNCTION gets the key and the block, and returns the pairs of the new block (a mapping
    or an iterable of pairs of bytes), or None to leave the block out. Without options DST is of format 2 and not
    compressed.
    """
    if resume and options["mode"] == "w":
        raise click.UsageError("--resume goes on with DST and --replace begins anew: give one of them")
    found = _function(function)
    with bar("map") as progress:
        counts = smartpipe.map(
            src, dst, found, select or None, jobs, on_error=on_error, resume=resume, progress=progress, **options
        )
    parts = [f"{counts.written:,} blocks"]
    for number, what in ((counts.dropped, "left out"), (counts.failed, "failed"), (counts.skipped, "there before")):
        if number:
            parts.append(f"{number:,} {what}")
    rate = counts.read_bytes / counts.seconds / 1e6 if counts.seconds else 0.0
    output.line(
        f"{dst}: {', '.join(parts)}; {counts.read_bytes:,} bytes read, {counts.written_bytes:,} written,"
        f" in {counts.seconds:.2f} s ({rate:.1f} MB/s)"
    )


def _function(name: str) -> Callable[..., Any]:
    module_name, colon, path = name.partition(":")
    if not (module_name and colon and path):
        raise click.BadParameter(f"{name!r}: expected MODULE:FUNCTION", param_hint="MODULE:FUNCTION")
    # As `python -m` has it: a script in the current folder counts before what is installed.
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    try:
        found: Any = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        # What the module itself imports and does not find is an error of the module, not of the name.
        if error.name is None or not f"{module_name}.".startswith(f"{error.name}."):
            raise
        raise click.BadParameter(f"there is no module {error.name!r}", param_hint="MODULE:FUNCTION") from None
    for attribute in path.split("."):
        if not hasattr(found, attribute):
            raise click.BadParameter(f"{module_name} has no {path!r}", param_hint="MODULE:FUNCTION")
        found = getattr(found, attribute)
    if not callable(found):
        kind = type(found).__name__
        raise click.BadParameter(f"{name} is no function but a {kind}", param_hint="MODULE:FUNCTION")
    function: Callable[..., Any] = found
    return function
