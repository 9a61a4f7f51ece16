"""The progress bar of long work."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from smartpipe.operations.progress import Progress

INTERVAL = 0.1
"""Seconds between two updates: drawing costs more than most blocks."""


@contextmanager
def bar(what: str, *, unit: str = "blocks", printing: bool = False) -> Iterator[Progress | None]:
    """A callback that draws units done, rate and time left on standard error; None where that is no terminal.

    `printing`: the work prints lines while it goes on, so there is no bar when these go to a terminal too.
    """
    if not _is_terminal(sys.stderr) or (printing and _is_terminal(sys.stdout)):
        yield None
        return
    from rich import progress as rich
    from rich.console import Console
    from rich.text import Text

    class Rate(rich.ProgressColumn):
        def render(self, task: rich.Task) -> Text:
            return Text(f"{task.speed:,.0f} {unit}/s" if task.speed else "")

    columns = (
        rich.TextColumn("{task.description}"),
        rich.BarColumn(),
        rich.MofNCompleteColumn(),
        Rate(),
        rich.TimeRemainingColumn(),
    )
    drawn = rich.Progress(*columns, console=Console(stderr=True), transient=True)
    task = drawn.add_task(what, total=None)
    last = 0.0

    def progress(done: int, total: int) -> None:
        nonlocal last
        # Begun only now: it has a thread, and the work may have to fork before.
        drawn.start()
        now = time.monotonic()
        if now - last >= INTERVAL or done == total:
            last = now
            drawn.update(task, completed=done, total=total)

    try:
        yield progress
    finally:
        drawn.stop()


def _is_terminal(stream: object) -> bool:
    return stream is not None and stream.isatty()  # type: ignore[attr-defined]
