"""Child processes that are killed, and what they tell before."""

from __future__ import annotations

import os
import signal
import sys
import threading
import traceback
import warnings
from collections.abc import Callable
from typing import Any

from smartpipe._platform import disk

# Every call that changes the disk: whatever the table has.
CALLS = tuple(name for name in vars(type(disk)) if not name.startswith("_"))
LONGEST = 60  # seconds that a child may take


class Child:
    """A forked process that calls a function with `tell`, which sends a line to the parent at once.

    It ends without any of the parent's clean-up. The signal mask and everything else is the parent's.
    """

    def __init__(self, work: Callable[[Callable[[str], None]], object]) -> None:
        self.receiver, sender = os.pipe()
        sys.stdout.flush()
        sys.stderr.flush()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # Python warns of forking where there are threads
            self.pid = os.fork()
        if self.pid > 0:
            os.close(sender)
            self.status: int | None = None
            return
        code = 1
        try:
            os.close(self.receiver)
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            signal.alarm(LONGEST)
            warnings.simplefilter("ignore")

            def tell(line: str) -> None:
                os.write(sender, line.encode() + b"\n")

            try:
                work(tell)
                code = 0
            except BaseException:
                tell("failed " + traceback.format_exc().replace("\n", "\\n"))
        finally:
            os._exit(code)

    def kill(self) -> None:
        os.kill(self.pid, signal.SIGKILL)

    def end(self) -> list[str]:
        """Wait for its end; gives the lines that it told. It must have been killed, or have done its work."""
        with os.fdopen(self.receiver, "rb") as stream:
            text = stream.read()
        _, self.status = os.waitpid(self.pid, 0)
        lines = text.decode().splitlines()
        failures = [line.replace("\\n", "\n") for line in lines if line.startswith("failed ")]
        if failures:
            raise AssertionError(f"a child failed:\n{failures[0][7:]}")
        if self.status != 0 and not self.killed:
            raise AssertionError(f"a child ended with status {self.status:#x} after {lines[-3:]}")
        return lines

    @property
    def killed(self) -> bool:
        assert self.status is not None
        return os.WIFSIGNALED(self.status) and os.WTERMSIG(self.status) == signal.SIGKILL


class Kill:
    """Ends this process with SIGKILL at call number `which` that changes the disk.

    With a part, a number from 0 to 1, the call is a write and that much of its bytes is written before.
    """

    def __init__(self, which: int | None, part: float | None = None) -> None:
        self.which, self.part = which, part
        self.calls: list[str] = []
        self.lock = threading.Lock()

    def install(self) -> None:
        for name in CALLS:
            setattr(disk, name, self.around(name, getattr(disk, name)))

    def around(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def made(*arguments: Any) -> Any:
            with self.lock:
                number = len(self.calls)
                self.calls.append(name)
                if number == self.which:
                    if self.part is not None and name.startswith("write"):
                        file, data = arguments
                        data = memoryview(data)
                        call(file, data[: min(int(len(data) * self.part) or 1, len(data) - 1)])
                    os.kill(os.getpid(), signal.SIGKILL)
            return call(*arguments)

        return made
