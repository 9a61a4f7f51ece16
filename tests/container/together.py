"""Threads that work at the same time."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any


class Together:
    """Threads that begin at the same time, with `start` or `join`; what one of them raises is raised at the end."""

    def __init__(self, seconds: float) -> None:
        self.end = time.monotonic() + seconds
        self.failures: list[BaseException] = []
        self.threads: list[threading.Thread] = []
        self.begin = threading.Event()

    def add(self, work: Callable[..., object], *arguments: Any) -> None:
        def run() -> None:
            self.begin.wait()
            try:
                work(*arguments)
            except BaseException as error:
                self.failures.append(error)

        self.threads.append(threading.Thread(target=run))
        self.threads[-1].start()

    def start(self) -> None:
        self.begin.set()

    def join(self) -> None:
        self.start()
        for thread in self.threads:
            thread.join()
        if self.failures:
            raise self.failures[0]

    def over(self) -> bool:
        """Whether the time is over, or a thread has failed; for threads that would go on for ever."""
        return time.monotonic() > self.end or bool(self.failures)
