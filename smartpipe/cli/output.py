"""What goes to standard output (raw bytes, lines of text, JSON), and lines on standard error."""

from __future__ import annotations

import json
import os
import select
import sys
from typing import TYPE_CHECKING, Any, BinaryIO

from smartpipe.cli.keys import show, show_text

if TYPE_CHECKING:
    from smartpipe import SmartPipeError


def write(data: bytes) -> None:
    """Write bytes as they are."""
    stream = _stream()
    try:
        stream.write(data)
    except OSError as error:
        error.filename = "standard output"
        raise


def line(text: str = "") -> None:
    """Write a line, as UTF-8 whatever the locale, and at once where somebody watches."""
    write(text.encode("utf-8", "surrogateescape") + b"\n")
    if sys.stdout.isatty():
        flush()


def json_line(value: Any) -> None:
    """Write a value as one line of JSON; bytes in it as `keys.show` shows them."""
    line(json.dumps(_plain(value), ensure_ascii=False))


def flush() -> None:
    """Hand over what was written."""
    stream = _stream()
    try:
        stream.flush()
    except OSError as error:
        error.filename = "standard output"
        raise


def complain(text: str) -> None:
    """Write one line to standard error; what would be more than a line, or move the cursor, is escaped."""
    text = text.replace("overwrite=True", "--overwrite")  # what errors advise is for callers in Python
    if sys.stderr is not None:
        try:
            sys.stderr.buffer.write(f"smartpipe: {show_text(text)}\n".encode())
            sys.stderr.buffer.flush()
        except OSError:
            pass


def complain_of(error: SmartPipeError) -> None:
    """Say what is wrong with a part of what is done; the rest of it goes on."""
    complain(str(error))


def numbers(found: dict[str, int], as_json: bool) -> None:
    """Write names and numbers, a line for each or as JSON."""
    if as_json:
        json_line(found)
        return
    for name, number in found.items():
        line(f"{name.replace('_', ' '):<16}{number:>16,}")


def is_closed() -> bool:
    """Whether nobody reads standard output any more, as with `| head`."""
    if sys.stdout is None:
        return False
    poll = select.poll()
    poll.register(sys.stdout.fileno(), 0)
    return any(events & (select.POLLERR | select.POLLHUP) for _, events in poll.poll(0))


def give_up() -> None:
    """Let what is still buffered go nowhere, so that the interpreter does not complain of it when it ends."""
    if sys.stdout is not None:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)


def _stream() -> BinaryIO:
    if sys.stdout is None:
        raise OSError("standard output is closed")
    return sys.stdout.buffer


def _plain(value: Any) -> Any:
    if isinstance(value, bytes):
        return show(value)
    if isinstance(value, dict):
        return {_plain(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value
