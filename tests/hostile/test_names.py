"""Names of pipes under which lies something else, or nothing that can be opened; and hostile pipes at the command line.

Nothing waits for ever, nothing is written where it was not asked for; the program says one line and ends with a code.
"""

from __future__ import annotations

import contextlib
import os
import socket
import sqlite3
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
from container.pipes import SMALL, Kind, index, plant, planter, read
from reference import format1

import smartpipe

from . import child, readers
from .child import MIB

KIND = Kind(2, False)
HANG = 30


def folder_of_pipes(prefix: Path) -> None:
    Path(f"{prefix}.dat").mkdir()


def fifo(prefix: Path) -> None:
    os.mkfifo(f"{prefix}.dat")


def fifo_as_an_index(prefix: Path) -> None:
    plant(prefix, SMALL, KIND)
    index(prefix).unlink()
    os.mkfifo(index(prefix))


def fifo_as_an_index_of_format1(prefix: Path) -> None:
    plant(prefix, SMALL, Kind(1, False))
    index(prefix).unlink()
    os.mkfifo(index(prefix))


def fifo_as_unfinished_data(prefix: Path) -> None:
    plant(prefix, SMALL, KIND)
    os.mkfifo(f"{prefix}.new.dat")
    os.mkfifo(f"{prefix}.new.idx")


def bound_socket(prefix: Path) -> None:
    bound = socket.socket(socket.AF_UNIX)
    bound.bind(f"{prefix}.dat")
    bound.close()


def link_to(target: str, extension: str = ".dat", kind: Kind | None = None) -> Callable[[Path], None]:
    def make(prefix: Path) -> None:
        if kind is not None:
            plant(prefix, SMALL, kind)
            Path(f"{prefix}{extension}").unlink()
        os.symlink(target, f"{prefix}{extension}")

    return make


def link_loop(prefix: Path) -> None:
    os.symlink(f"{prefix}.datz", f"{prefix}.dat")
    os.symlink(f"{prefix}.dat", f"{prefix}.datz")


def file_of(content: bytes, extension: str = ".dat") -> Callable[[Path], None]:
    def make(prefix: Path) -> None:
        Path(f"{prefix}{extension}").write_bytes(content)

    return make


def sqlite(prefix: Path) -> None:
    with contextlib.closing(sqlite3.connect(f"{prefix}.dat")) as base:
        base.execute("create table t (x)")


def pictures_for_all(prefix: Path) -> None:
    for extension in (".dat", ".datz", ".idx"):
        Path(f"{prefix}{extension}").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(range(256)))


THINGS: dict[str, Callable[[Path], None]] = {
    "a folder": folder_of_pipes,
    "a fifo": fifo,
    "a fifo as its index": fifo_as_an_index,
    "a fifo as its index, format 1": fifo_as_an_index_of_format1,
    "fifos where the new pipe would be": fifo_as_unfinished_data,
    "a socket": bound_socket,
    "/dev/zero": link_to("/dev/zero"),
    "/dev/zero as its index": link_to("/dev/zero", ".idx", KIND),
    "/dev/zero as its index, format 1": link_to("/dev/zero", ".idx", Kind(1, False)),
    "/dev/full": link_to("/dev/full"),
    "/dev/full as its index": link_to("/dev/full", ".idx", KIND),
    "/proc/self/mem": link_to("/proc/self/mem"),
    "a link to nothing": link_to("/nowhere/at/all"),
    "a link to nothing as its index": link_to("/nowhere/at/all", ".idx", KIND),
    "links in a circle": link_loop,
    "gzip": file_of(b"\x1f\x8b\x08" + bytes(300), ".datz"),
    "a stream of zlib": file_of(zlib.compress(bytes(1000)), ".datz"),
    "sqlite": sqlite,
    "pictures": pictures_for_all,
    "text": file_of(b"hello\n" * 100),
    "text as an index": file_of(b"hello\n" * 100, ".idx"),
    "a data file in the place of the index": link_to("pipe.dat", ".idx", KIND),
}


@pytest.mark.parametrize("thing", THINGS)
def test_what_is_no_pipe_is_refused_or_read_as_far_as_it_is_one(thing: str, scratch: str) -> None:
    prefix = Path(scratch)
    THINGS[thing](prefix)

    def run() -> None:
        readers.try_all(prefix, max_block_size=MIB)
        readers.try_mending(prefix, max_block_size=MIB)
        for mode in ("a", "x", "w"):
            try:
                with smartpipe.open(prefix, mode) as pipe:  # type: ignore[call-overload]
                    pipe.write(b"new", {b"k": b"v"})
            except smartpipe.SmartPipeError:
                continue
            assert (b"new", [(b"k", b"v")]) in read(prefix)
            with contextlib.suppress(ValueError), smartpipe.open(f"{prefix}.datz") as reader:
                assert len(reader) >= 0

    def all_errors_are_ours() -> None:
        try:
            run()
        except smartpipe.SmartPipeError:
            pass

    child.run(all_errors_are_ours, child.BEYOND + MIB, HANG)


@pytest.mark.parametrize("length", [200, 300, 5000])
def test_very_long_names(length: int, tmp_path: Path) -> None:
    name = str(tmp_path / ("n" * length))
    for mode in ("r", "a", "w", "x"):
        if length == 200 and mode != "r":
            smartpipe.open(name, mode).close()  # type: ignore[call-overload]
            Path(name + ".dat").unlink()
            Path(name + ".idx").unlink()
        else:
            with pytest.raises((smartpipe.PipeNotFoundError, smartpipe.StorageError)):
                smartpipe.open(name, mode)  # type: ignore[call-overload]
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("mode", ["r", "a", "w", "x"])
def test_a_nul_in_a_name_is_misuse(mode: str, tmp_path: Path) -> None:
    with pytest.raises((ValueError, smartpipe.SmartPipeError)):
        smartpipe.open(f"{tmp_path}/a\0b", mode)  # type: ignore[call-overload]
    assert not list(tmp_path.iterdir())


def test_names_of_bytes_that_are_no_text(tmp_path: Path) -> None:
    name = os.path.join(os.fsencode(tmp_path), b"p\xff\n\x1b[2J")
    with smartpipe.open(os.fsdecode(name), "w") as pipe:
        pipe.write(b"a", {b"k": b"v"})
    assert read(os.fsdecode(name)) == [(b"a", [(b"k", b"v")])]
    assert os.path.exists(name + b".dat")


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can become somebody else")
@pytest.mark.parametrize("what", ["data", "index", "folder"])
def test_files_that_may_not_be_read(what: str, scratch: str) -> None:
    prefix = Path(scratch)
    plant(prefix, SMALL, KIND)
    path = {"data": KIND.data(prefix), "index": index(prefix), "folder": prefix.parent}[what]
    path.chmod(0)
    if what != "folder":
        prefix.parent.chmod(0o777)

    def run() -> list[str]:
        os.setgid(65534)
        os.setuid(65534)
        errors = []
        for mode in ("r", "a", "x", "w"):
            try:
                smartpipe.open(prefix, mode).close()  # type: ignore[call-overload]
            except smartpipe.SmartPipeError as error:
                errors.append(type(error).__name__)
        return errors

    try:
        errors = child.run(run, None, HANG).answer
    finally:
        path.chmod(0o700)
    assert errors, "it could be read"
    assert set(errors) <= {"StorageError", "PipeExistsError", "PipeNotFoundError"}
    assert read(prefix) == SMALL


# The command line


def bomb(prefix: Path) -> None:
    Path(f"{prefix}.datz").write_bytes(zlib.compress(bytes(300 * MIB), 9))
    index(prefix).write_bytes(format1.LENGTH.pack(1) + b"a" + format1.OFFSETS.pack(0, 0))


def truncated(prefix: Path) -> None:
    plant(prefix, SMALL, KIND)
    os.truncate(f"{prefix}.dat", 100)


def damaged_header(prefix: Path) -> None:
    plant(prefix, SMALL, KIND)
    data = bytearray(Path(f"{prefix}.dat").read_bytes())
    data[10] ^= 1
    Path(f"{prefix}.dat").write_bytes(data)


def damaged_block(prefix: Path) -> None:
    plant(prefix, SMALL, KIND)
    data = bytearray(Path(f"{prefix}.dat").read_bytes())
    data[100] ^= 1
    Path(f"{prefix}.dat").write_bytes(data)


def an_unknown_flag(prefix: Path) -> None:
    writer = planter(KIND)
    writer.data[16] = 1
    writer.data[28:32] = struct.pack("<I", zlib.crc32(writer.data[:28]))
    writer.save(prefix)


BAD: dict[str, Callable[[Path], None]] = {
    "a bomb": bomb,
    "a cut": truncated,
    "a damaged header": damaged_header,
    "a damaged block": damaged_block,
    "an unknown flag": an_unknown_flag,
    "nothing": lambda prefix: None,
    **{name: THINGS[name] for name in ("a folder", "a fifo", "/dev/zero", "links in a circle", "sqlite", "pictures")},
}
COMMANDS = {"ls": [], "cat": ["first"], "info": [], "check": [], "verify": []}
# Commands that do not look at everything, and so can do without.
FINE = {("info", "a damaged block"), ("ls", "a damaged block"), ("info", "a bomb"), ("ls", "a bomb")}


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("bad", BAD)
def test_the_program_says_one_line_and_ends_with_a_code(bad: str, command: str, scratch: str) -> None:
    if command == "verify" and not hasattr(smartpipe, "verify"):
        pytest.skip("there is no verify yet")
    prefix = Path(scratch)
    BAD[bad](prefix)
    arguments = ["a"] if bad == "a bomb" and command == "cat" else COMMANDS[command]
    done = subprocess.run(
        [sys.executable, "-m", "smartpipe", command, scratch, *arguments],
        capture_output=True,
        timeout=child.HANG,
        check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
    )
    said = done.stderr.decode()
    assert "Traceback" not in said
    if (command, bad) in FINE:
        assert done.returncode in (0, 1)
        return
    assert done.returncode == 1, (done.returncode, said)
    lines = [line for line in said.splitlines() if "warning: " not in line]
    # verify may tell what it found as its result.
    assert len(lines) == 1 or (command == "verify" and (done.stdout or lines)), said
