"""The kinds of arguments that commands share."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from typing import Any

import click

from smartpipe.cli.keys import parse
from smartpipe.operations.train import MOST_BYTES


def as_key(text: str) -> bytes:
    """A block key or pair key, as `keys.parse` reads it."""
    try:
        return parse(text)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


def as_regexp(text: str) -> re.Pattern[bytes]:
    """A regular expression over bytes. `^` and `$` stand for the ends of a line."""
    try:
        return re.compile(text.encode("utf-8", "surrogateescape"), re.MULTILINE)
    except re.error as error:
        raise click.BadParameter(f"{text!r} is no regular expression: {error}") from None


PATH = click.Path()
"""Any path. What lies there is found out by opening it, which says more than click could; shells complete it."""

pipe_argument = click.argument("pipe", type=PATH)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON, one object a line.")


def grace_option(seconds: float) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """The option of commands that remove what nobody needs."""
    return click.option(
        "--grace",
        type=click.FloatRange(min=0),
        default=seconds,
        show_default=True,
        metavar="SECONDS",
        help="Keep what is younger.",
    )


def read_dictionary(path: str) -> bytes:
    """What `smartpipe train` wrote to a file."""
    with open(path, "rb") as file:
        content = file.read(MOST_BYTES + 1)
    if len(content) > MOST_BYTES:
        raise ValueError(f"{path}: more than {MOST_BYTES:,} bytes are no dictionary")
    return content


def new_pipe_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options of a pipe that is written; the command gets them as `options`, for the public functions."""

    @click.option("--format", "number", type=click.Choice(["1", "2"]), help="Format of the new pipe.")
    @click.option("--compress", type=click.Choice(["none", "zlib", "zstd", "lz4"]), help="Codec of the new pipe.")
    @click.option("--level", type=click.IntRange(1, 9), metavar="N", help="1 is fastest, 9 smallest.")
    @click.option("--dictionary", metavar="FILE|none", help="Dictionary of the new pipe, for zstd.")
    @click.option("--threads", type=click.IntRange(min=1), metavar="N", help="Threads that compress.  [default: 1]")
    @click.option("--replace", is_flag=True, help="Replace a pipe that exists, when all is written.")
    @functools.wraps(command)
    def with_options(
        *arguments: Any,
        number: str | None,
        compress: str | None,
        level: int | None,
        dictionary: str | None,
        threads: int | None,
        replace: bool,
        **others: Any,
    ) -> Any:
        options: dict[str, Any] = {"mode": "w" if replace else "x"}
        if number is not None:
            options["format"] = int(number)
        if compress is not None:
            options["compress"] = False if compress == "none" else compress
        if level is not None:
            options["level"] = level
        if dictionary is not None:
            options["dictionary"] = False if dictionary == "none" else read_dictionary(dictionary)
        if threads is not None:
            options["threads"] = threads
        return command(*arguments, options=options, **others)

    return with_options
