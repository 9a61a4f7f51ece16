"""How a long operation tells how far it is."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

Item = TypeVar("Item")

Progress = Callable[[int, int], object]
"""Called with (items done, items in all) after each item."""


def reported(items: Iterable[Item], total: int, progress: Progress | None, before: int = 0) -> Iterator[Item]:
    """Yield the items; report each one when the next is asked for, which is when it has been dealt with.

    `before` items of the `total` were done in an earlier run over others.
    """
    for done, item in enumerate(items, before + 1):
        yield item
        if progress is not None:
            progress(done, total)
