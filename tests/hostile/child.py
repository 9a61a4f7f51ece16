"""A test in a process of its own, which may not take more memory than it is given, nor run for ever."""

from __future__ import annotations

import os
import pickle
import resource
import signal
import sys
import traceback
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

MIB = 1 << 20
BEYOND = 256 * MIB
"""What hostile input may take beside max_block_size."""
HANG = 120


@dataclass
class Outcome:
    """What a child answered, and the most memory that it had beyond what it began with, in bytes."""

    answer: Any
    peak: int


def run(function: Callable[[], Any], memory: int | None = None, hang: int = HANG) -> Outcome:
    """The answer of a function in a forked child. A crash, an exception, a hang, more than that memory: AssertionError.

    Not only memory that is touched counts: what is asked for and never used is limited too, to twice as much.
    """
    receiver, sender = os.pipe()
    sys.stdout.flush()
    sys.stderr.flush()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # Python warns of forking where there are threads
        pid = os.fork()
    if pid == 0:
        os.close(receiver)
        _answer(function, memory, hang, sender)
    os.close(sender)
    with os.fdopen(receiver, "rb") as stream:
        text = stream.read()
    _, status = os.waitpid(pid, 0)
    if os.WIFSIGNALED(status):
        ended = signal.Signals(os.WTERMSIG(status))
        raise AssertionError(f"no end after {hang} seconds" if ended == signal.SIGALRM else f"ended with {ended.name}")
    good, answer, peak = pickle.loads(text)
    if not good:
        raise AssertionError(f"in the child:\n{answer}")
    if memory is not None:
        assert peak <= memory, f"{peak / MIB:.0f} MiB were taken, {memory / MIB:.0f} are allowed"
    return Outcome(answer, peak)


def _answer(function: Callable[[], Any], memory: int | None, hang: int, sender: int) -> None:
    try:
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(hang)
        with open("/proc/self/clear_refs", "w") as peak:
            peak.write("5")  # begin to measure the peak anew
        before = _status("VmRSS")
        if memory is not None:
            most = _status("VmSize") + 2 * memory
            resource.setrlimit(resource.RLIMIT_AS, (most, most))
        warnings.simplefilter("ignore")
        answer = (True, function(), _status("VmHWM") - before)
    except BaseException:
        answer = (False, traceback.format_exc(), 0)
    with os.fdopen(sender, "wb") as stream:
        stream.write(pickle.dumps(answer))
    os._exit(0)


def _status(name: str) -> int:
    """A line of /proc/self/status, in bytes."""
    with open("/proc/self/status") as lines:
        for line in lines:
            if line.startswith(name + ":"):
                return int(line.split()[1]) * 1024
    raise ValueError(name)
