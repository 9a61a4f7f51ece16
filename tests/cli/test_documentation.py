"""docs/cli.md: its examples run, and it names every command and option."""

import os
import re
import subprocess
import sys
from pathlib import Path

import click
import pytest

from smartpipe.cli.program import COMMANDS, program

PAGE = (Path(__file__).parents[2] / "docs" / "cli.md").read_text()


def examples():
    """(command, what it prints) of each `$` in the console blocks; lines with `>` go on with the command."""
    found = []
    for block in re.findall(r"^```console\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE):
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            lines = part.splitlines()
            command = [lines.pop(0)]
            while lines and re.match(r">( |$)", lines[0]):
                command.append(lines.pop(0)[2:])
            found.append(("\n".join(command), "".join(line + "\n" for line in lines)))
    return found


def test_the_examples(tmp_path, environment):
    (tmp_path / "bin").mkdir()
    script = tmp_path / "bin" / "smartpipe"
    script.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m smartpipe "$@"\n')
    script.chmod(0o755)
    environment["PATH"] = f"{tmp_path}/bin:{os.environ['PATH']}"
    (tmp_path / "work").mkdir()
    for command, expected in examples():
        done = subprocess.run(
            ["bash", "-c", command],
            cwd=tmp_path / "work",
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        pattern = ".*".join(map(re.escape, expected.split("...")))
        assert re.fullmatch(pattern, done.stdout), f"$ {command}\n{done.stdout}\nexpected:\n{expected}"


def commands_of(name):
    """(words, command) of a command, or of those of a group."""
    command = program.get_command(click.Context(program), name)
    if isinstance(command, click.Group):
        return [(f"{name} {below}", command.commands[below]) for below in command.commands]
    return [(name, command)]


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_and_option_is_described(name):
    sections = re.split(r"^## ", PAGE, flags=re.MULTILINE)
    section = next(text for text in sections if name in text.partition("\n")[0].split())
    assert f"`smartpipe {name} " in PAGE
    if name != "crawl":
        # Its options are in docs/scraping.md.
        common = next(text for text in sections if text.startswith("What holds for every command"))
        for words, command in commands_of(name):
            assert f"`smartpipe {words} " in section or words == name, words
            for parameter in command.params:
                if isinstance(parameter, click.Option):
                    assert any(option in section + common for option in parameter.opts), (words, parameter.opts)


def test_no_example_is_skipped():
    assert len(examples()) == len(re.findall(r"^\$ ", PAGE, re.MULTILINE))
    assert len(examples()) > 20
