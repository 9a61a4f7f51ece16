"""tail, which shows a pipe while it is written; each test has a process that follows."""

from __future__ import annotations

import functools
import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import smartpipe

Start = Callable[..., "subprocess.Popen[bytes]"]


@pytest.fixture
def live(tmp_path: Path) -> Iterator[smartpipe.Writer]:
    """A writer that is at work, with three blocks written."""
    writer = smartpipe.open(tmp_path / "live", "w", compress=True)
    for number in range(3):
        write(writer, number)
    yield writer
    writer.close()


def write(writer: smartpipe.Writer, number: int) -> None:
    writer.write(b"https://%d" % number, [(b"raw", b"<%d>" % number), (b"log", b"l" * 5000), (b"raw", b"\xff\n")])


def shown(number: int) -> bytes:
    """A block of `write` as `smartpipe ls` shows it."""
    return b"https://%d\n%12d  raw\n        5000  log\n           2  raw\n" % (number, len(b"<%d>" % number))


def damage(prefix: Path, number: int) -> None:
    """Make a block unreadable, from its last byte."""
    with smartpipe.open(prefix) as reader:
        entry = list(reader.entries())[number]
    place = entry.offset + entry.stored - 1
    with open(prefix.with_suffix(".datz"), "r+b") as file:
        byte = os.pread(file.fileno(), 1, place)
        os.pwrite(file.fileno(), bytes([byte[0] ^ 0x55]), place)


@pytest.fixture
def tail(start: Start, environment: dict[str, str]) -> Start:
    """tail("p") starts it. Nothing of its output waits in a buffer here, where `ended` would not find it."""
    environment.pop("PYTHONUNBUFFERED", None)
    return functools.partial(start, "tail", bufsize=0)


def taken(running: subprocess.Popen[bytes], expected: bytes) -> bytes:
    """What the process writes, as many bytes as are expected, or as there are."""
    got = b""
    while len(got) < len(expected) and (part := running.stdout.read(len(expected) - len(got))):
        got += part
    return got


def ended(running: subprocess.Popen[bytes]) -> tuple[int, bytes, str]:
    """Wait for the end: exit code, what was still to be read, and the errors."""
    out, err = running.communicate(timeout=30)
    return running.returncode, out, err.decode()


def test_blocks_are_shown_as_they_are_written_until_the_writer_closes(tail: Start, live: smartpipe.Writer) -> None:
    running = tail("live")
    first = shown(0) + shown(1) + shown(2)
    assert taken(running, first) == first
    for number in range(3, 6):
        # Each is read before the next is written: nothing waits in a buffer.
        write(live, number)
        assert taken(running, shown(number)) == shown(number)
    assert running.poll() is None
    live.close()
    assert ended(running) == (0, b"", "")


@pytest.mark.parametrize("option", ["-n", "--lines"])
def test_it_begins_with_the_last_blocks(option: str, tail: Start, live: smartpipe.Writer) -> None:
    running = tail("live", option, "2")
    assert taken(running, shown(1) + shown(2)) == shown(1) + shown(2)
    write(live, 3)
    live.close()
    assert ended(running) == (0, shown(3), "")


def test_none_of_the_old_blocks(tail: Start, live: smartpipe.Writer) -> None:
    running = tail("live", "-n", "0")
    number = 2
    # Which block is the first new one depends on when the process is ready.
    while not select.select([running.stdout], [], [], 0.1)[0]:
        number += 1
        write(live, number)
    live.close()
    code, out, err = ended(running)
    first = int(out.split(b"\n")[0].removeprefix(b"https://"))
    assert first > 2
    assert (code, out, err) == (0, b"".join(map(shown, range(first, number + 1))), "")


def test_a_closed_pipe_shows_its_last_ten_blocks(tail: Start, tmp_path: Path) -> None:
    with smartpipe.open(tmp_path / "closed", "w", compress=True) as writer:
        for number in range(15):
            write(writer, number)
    assert ended(tail("closed")) == (0, b"".join(map(shown, range(5, 15))), "")
    assert ended(tail("closed", "-n", "0")) == (0, b"", "")
    assert ended(tail("closed", "-n", "1000000")) == (0, b"".join(map(shown, range(15))), "")


def test_an_empty_pipe(tail: Start, tmp_path: Path) -> None:
    smartpipe.open(tmp_path / "empty", "w").close()
    assert ended(tail("empty")) == (0, b"", "")


def test_top_and_json(tail: Start, live: smartpipe.Writer) -> None:
    running = [tail("live", *options) for options in (["--top"], ["--json"], ["--json", "--top"])]
    assert [follower.stdout.readline().count(b"https://0") for follower in running] == [1, 1, 1]
    write(live, 3)
    live.close()
    top, full, both = [ended(follower) for follower in running]
    assert top == (0, b"https://1\nhttps://2\nhttps://3\n", "")
    pairs = [{"key": "raw", "bytes": 3}, {"key": "log", "bytes": 5000}, {"key": "raw", "bytes": 2}]
    assert json.loads(full[1].splitlines()[-1]) == {"block": "https://3", "pairs": pairs}
    assert json.loads(both[1].splitlines()[-1]) == {"block": "https://3"}


def test_values_of_one_pair_as_they_are(tail: Start, live: smartpipe.Writer) -> None:
    live.write(b"without", {b"other": b"x"})
    running = tail("live", "-k", "raw", "-n", "2")
    assert taken(running, b"<2>\xff\n") == b"<2>\xff\n"
    write(live, 3)
    assert taken(running, b"<3>\xff\n") == b"<3>\xff\n"
    live.close()
    assert ended(running) == (0, b"", "")


def test_the_timeout_counts_from_the_last_block(tail: Start, live: smartpipe.Writer) -> None:
    running = tail("live", "--timeout", "3", "--top", "-n", "1")
    assert running.stdout.readline() == b"https://2\n"
    for number in (3, 4):
        time.sleep(1.8)
        write(live, number)
    assert ended(running) == (0, b"https://3\nhttps://4\n", "")
    assert ended(tail("live", "--timeout", "0", "-n", "1")) == (0, shown(4), "")


def test_ctrl_c(tail: Start, live: smartpipe.Writer) -> None:
    running = tail("live")
    assert running.stdout.readline() == b"https://0\n"
    running.send_signal(signal.SIGINT)
    code, _, err = ended(running)
    assert (code, err) == (130, "smartpipe: interrupted\n")


def test_a_killed_writer_does_not_end_it(tail: Start, environment: dict[str, str], tmp_path: Path) -> None:
    code = """
import os, signal, smartpipe
writer = smartpipe.open("live", "w")
writer.write(b"https://0", {})
os.kill(os.getpid(), signal.SIGKILL)
"""
    killed = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environment, check=False)
    assert killed.returncode == -signal.SIGKILL
    running = tail("live")
    assert running.stdout.readline() == b"https://0\n"
    with smartpipe.open(tmp_path / "live", "a") as writer:
        writer.write(b"https://1", {})
    assert ended(running) == (0, b"https://1\n", "")


def test_a_damaged_block_is_an_error_and_what_is_behind_it_is_shown(
    tail: Start, live: smartpipe.Writer, tmp_path: Path
) -> None:
    damage(tmp_path / "live", 1)
    running = tail("live")
    assert taken(running, shown(0) + shown(2)) == shown(0) + shown(2)
    write(live, 3)
    live.close()
    code, out, err = ended(running)
    assert (code, out, err.count("\n")) == (1, shown(3), 1)
    assert err.startswith("smartpipe: live.datz: block b'https://1'")
    assert "checksum" in err


def test_damage_of_another_pair_than_the_one_that_is_written(
    tail: Start, live: smartpipe.Writer, tmp_path: Path
) -> None:
    damage(tmp_path / "live", 1)  # in the value of `log`, which lies at the end
    live.close()
    assert ended(tail("live", "-k", "raw")) == (0, b"<0>\xff\n<1>\xff\n<2>\xff\n", "")
    code, out, err = ended(tail("live", "-k", "log"))
    assert (code, out, err.count("\n")) == (1, b"l" * 10000, 1)


def test_a_pipe_that_is_replaced_is_an_error(tail: Start, live: smartpipe.Writer, tmp_path: Path) -> None:
    running = tail("live", "--top")
    keys = b"https://0\nhttps://1\nhttps://2\n"
    assert taken(running, keys) == keys
    # The lock of the writer would keep another from it.
    with smartpipe.open(tmp_path / "other", "w", compress=True) as writer:
        write(writer, 0)
    for suffix in (".datz", ".idx"):
        (tmp_path / f"other{suffix}").replace(tmp_path / f"live{suffix}")
    code, out, err = ended(running)
    assert (code, out, err.count("\n")) == (1, b"", 1)
    assert err.startswith("smartpipe: live.")


def test_what_is_no_pipe(tail: Start, bad_pipes: list[tuple[Path, str]]) -> None:
    for path, named in bad_pipes:
        code, out, err = ended(tail(path))
        assert (code, out, err.count("\n")) == (1, b"", 1)
        assert err.startswith("smartpipe: ") and named in err


@pytest.mark.parametrize("format", [1, 2])
def test_a_closed_output_ends_it_quietly(format: int, tail: Start, tmp_path: Path) -> None:
    with smartpipe.open(tmp_path / "live", "w", format=format) as writer:
        for number in range(3):
            write(writer, number)
        waiting = tail("live", "-n", "1", "--top")
        assert waiting.stdout.readline().startswith(b"https://")
        writing = tail("live")
        for running in (waiting, writing):
            running.stdout.close()
            assert running.wait(timeout=30) == 0
            assert running.stderr.read() == b""
            running.stderr.close()


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["p", "-n", "-1"],
        ["p", "-n", "many"],
        ["p", "--timeout", "-1"],
        ["p", "-k", "raw", "--top"],
        ["p", "-k", "raw", "--json"],
        ["p", "-k", "\\x"],
    ],
)
def test_wrong_usage(arguments: list[str], tail: Start) -> None:
    code, out, err = ended(tail(*arguments))
    assert (code, out) == (2, b"")
    assert "Error: " in err
