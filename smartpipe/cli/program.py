"""The program: its commands, and how every way that one can end becomes an exit code."""

from __future__ import annotations

import importlib
import os
import traceback
import warnings
from typing import TextIO

import click
from click.shell_completion import shell_complete

import smartpipe
from smartpipe.cli import output

COMMANDS = {
    "ls": "smartpipe.cli.ls:ls",
    "cat": "smartpipe.cli.cat:cat",
    "cat-all": "smartpipe.cli.cat:cat_all",
    "tail": "smartpipe.cli.tail:tail",
    "info": "smartpipe.cli.info:info",
    "check": "smartpipe.cli.check:check",
    "grep": "smartpipe.cli.grep:grep",
    "diff": "smartpipe.cli.diff:diff",
    "convert": "smartpipe.cli.convert:convert",
    "concat": "smartpipe.cli.convert:concat",
    "train": "smartpipe.cli.train:train",
    "map": "smartpipe.cli.map:map_",
    "crawl": "smartpipe.cli.crawl:crawl",
    "verify": "smartpipe.cli.verify:verify",
    "recover": "smartpipe.cli.recover:recover",
    "rebuild-index": "smartpipe.cli.rebuild:rebuild_index",
    "extract": "smartpipe.cli.folder:extract",
    "import": "smartpipe.cli.folder:import_",
    "store": "smartpipe.cli.store:store",
    "artifacts": "smartpipe.cli.artifacts:artifacts",
    "engines": "smartpipe.cli.engines:engines",
}

COMPLETION = "_SMARTPIPE_COMPLETE"
"""The variable by which a shell asks for completions."""


class Commands(click.Group):
    """The commands, each imported when it is needed. An underscore is a hyphen too: the original had `cat_all`."""

    def list_commands(self, context: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        place = COMMANDS.get(name.replace("_", "-"))
        if place is None:
            return None
        module, _, attribute = place.partition(":")
        command: click.Command = getattr(importlib.import_module(module), attribute)
        return command


def _print_version(context: click.Context, parameter: click.Parameter, wanted: bool) -> None:
    if wanted:
        output.line(f"smartpipe {smartpipe.__version__}")
        context.exit()


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.option(
    "--version", is_flag=True, is_eager=True, expose_value=False, callback=_print_version, help="Print the version."
)
@click.option("--traceback", is_flag=True, help="Show where in the program an error came from.")
def program(traceback: bool) -> None:
    """Very many small byte strings in one pair of files.

    A PIPE is named by its prefix or by one of its files. Keys with other bytes than text are shown and typed as
    \\xNN, or as hex: and digits.
    """


def run(arguments: list[str]) -> int:
    """Run the program; returns 0, 1 for an error (one line on standard error), 2 for wrong usage, 130 for Ctrl-C."""
    asked = os.environ.get(COMPLETION)
    if asked:
        return shell_complete(program, {}, "smartpipe", COMPLETION, asked)
    with warnings.catch_warnings():
        warnings.showwarning = _show_warning
        try:
            return _ended(arguments)
        except (KeyboardInterrupt, click.Abort) as ended:
            # Who reads the output may have stopped to, and what is left of it must not hold up the end.
            output.give_up()
            output.complain(f"interrupted: {ended}" if str(ended) else "interrupted")
            return 130


def _ended(arguments: list[str]) -> int:
    try:
        code = _invoked(arguments)
        output.flush()
        return code
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except BrokenPipeError as error:
        if output.is_closed():
            output.give_up()
            return 0
        return _failed(error)
    except Exception as error:
        return _failed(error)


def _invoked(arguments: list[str]) -> int:
    try:
        with program.make_context("smartpipe", list(arguments)) as context:
            if context.params["traceback"]:
                return _with_traceback(context)
            program.invoke(context)
    except click.exceptions.Exit as ended:
        return ended.exit_code
    return 0


def _with_traceback(context: click.Context) -> int:
    try:
        program.invoke(context)
    except (click.ClickException, click.exceptions.Exit):
        raise
    except Exception:
        traceback.print_exc()
        raise
    return 0


def _failed(error: Exception) -> int:
    try:
        output.flush()
    except OSError:
        output.give_up()
    output.complain(_reason(error))
    return 1


def _reason(error: Exception) -> str:
    match error:
        case smartpipe.SmartPipeError() | ValueError() | TypeError():
            return str(error)
        case OSError(strerror=str(strerror), filename=str(filename)):
            return f"{filename}: {strerror}"
        case OSError():
            return error.strerror or str(error)
        case MemoryError():
            return "not enough memory"
    return f"{type(error).__name__}: {error}"


def _show_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    output.complain(f"warning: {message}")
