import io
import os
import subprocess
import sys
import warnings
from pathlib import Path
from typing import NamedTuple

import pytest

import smartpipe

ROOT = Path(__file__).parents[2]


class Result(NamedTuple):
    code: int
    out: bytes
    err: str

    @property
    def lines(self):
        return self.out.decode().splitlines()


class Output(io.TextIOWrapper):
    """Standard output or error as the program finds it, kept in memory."""

    def __init__(self):
        super().__init__(io.BytesIO(), encoding="utf-8", write_through=True)

    def bytes(self):
        self.flush()
        return self.buffer.getvalue()


@pytest.fixture
def run(monkeypatch):
    """run("ls", path) runs a command in this process, all of it but the interpreter's start and end."""
    from smartpipe.cli.program import run as run_program

    def run(*arguments):
        out, err = Output(), Output()
        with monkeypatch.context() as patched, warnings.catch_warnings():
            # As an interpreter has them, which shows warnings and does not raise them.
            warnings.simplefilter("default")
            patched.setattr(sys, "stdout", out)
            patched.setattr(sys, "stderr", err)
            code = run_program([str(argument) for argument in arguments])
        return Result(code, out.bytes(), err.bytes().decode())

    return run


@pytest.fixture
def environment():
    """The environment for a process that runs `python -m smartpipe` from anywhere."""
    return {**os.environ, "PYTHONPATH": str(ROOT)}


@pytest.fixture
def start(environment, tmp_path):
    """start("ls", path) starts `python -m smartpipe` as a process of its own."""

    def start(*arguments, **options):
        command = [sys.executable, "-m", "smartpipe", *map(str, arguments)]
        options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "cwd": tmp_path, "env": environment, **options}
        return subprocess.Popen(command, **options)

    return start


@pytest.fixture
def process(start):
    """process("ls", path) runs it and gives the result."""

    def process(*arguments, **options):
        started = start(*arguments, **options)
        out, err = started.communicate(timeout=60)
        return Result(started.returncode, out, (err or b"").decode())

    return process


@pytest.fixture
def pipe(tmp_path):
    """The prefix of a compressed pipe of three blocks: two pages, and binary and empty keys."""
    with smartpipe.open(tmp_path / "pages", "w", compress=True, metadata={b"who": b"me"}) as writer:
        writer.write(b"https://a", [(b"raw", b"<html>a</html>\n" * 1000), (b"log", b"ok\n"), (b"log", b"again\n")])
        writer.write("caf\u00e9 \\".encode(), [(b"raw", b"<html>b</html>\n")])
        writer.write(b"\x00\xff", [(b"", b"\x00\x01\xfe"), (b"\x1b[2J", b""), (b"hex:", b"h")])
    return tmp_path / "pages"


@pytest.fixture
def bad_pipes(tmp_path):
    """Paths where no pipe is that could be read, each with what the error says of it."""
    (tmp_path / "folder").mkdir()
    (tmp_path / "foreign.dat").write_bytes(b"%PDF-1.4 and no pipe at all, but long enough")
    (tmp_path / "text").write_text("a file without a pipe beside it")
    with smartpipe.open(tmp_path / "cut", "w") as writer:
        for number in range(3):
            writer.write(b"%d" % number, {b"raw": os.urandom(5000)})
    with open(tmp_path / "cut.dat", "r+b") as file:
        file.truncate(9000)
    return [
        (tmp_path / "nowhere", "nowhere"),
        (tmp_path / "folder", "folder"),
        (tmp_path / "foreign", "foreign"),
        (tmp_path / "text", "text"),
        (tmp_path / "cut", "cut.dat"),
    ]
