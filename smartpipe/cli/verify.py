"""`smartpipe verify`"""

from __future__ import annotations

import click

import smartpipe
from smartpipe.cli import output
from smartpipe.cli.arguments import json_option, pipe_argument
from smartpipe.cli.bar import bar
from smartpipe.cli.damage import print_damage


@click.command()
@pipe_argument
@json_option
@click.pass_context
def verify(context: click.Context, pipe: str, as_json: bool) -> None:
    """Look at every byte, and say what is whole and what is not.

    Damage does not end it: a line for each, with what, file, offset, bytes, block, reason, and tabs between. The exit
    code is 0 when all is well, 1 when not.
    """
    with bar("verify", unit="bytes") as progress:
        report = smartpipe.verify(pipe, progress=progress)
    if as_json:
        output.json_line(report.as_dict())
    else:
        print_verified(report, f"{report.blocks:,} blocks whole")
    context.exit(0 if report.ok else 1)


def print_verified(report: smartpipe.VerifyReport | smartpipe.StoreReport, whole: str) -> None:
    """A line that says whether all is well, and one for each damage and note."""
    state = "all is well" if report.ok else "NOT all is well"
    damaged = f", {report.damaged:,} damaged or missing" if report.damaged else ""
    output.line(f"{report.path}: {state}: {whole}{damaged}, {report.bytes:,} bytes")
    print_damage(report.damage)
    for note in report.notes:
        output.line(f"note\t{note}")
