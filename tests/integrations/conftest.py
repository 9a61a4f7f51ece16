"""The local site, and the ways to crawl it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from .process import Process, Ran
from .site import Site


@pytest.fixture
def site() -> Iterator[Site]:
    site = Site()
    yield site
    site.stop()


@pytest.fixture
def other_site() -> Iterator[Site]:
    site = Site()
    yield site
    site.stop()


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Process]]:
    """Starts `python ARGUMENTS` in tmp_path."""
    processes: list[Process] = []

    def started(*arguments: str) -> Process:
        processes.append(Process(tmp_path, *arguments))
        return processes[-1]

    yield started
    for process in processes:
        process.kill()


@pytest.fixture
def crawl(start: Callable[..., Process]) -> Callable[..., Ran]:
    """Runs `smartpipe crawl ARGUMENTS` to its end."""
    return lambda *arguments: start("-m", "smartpipe", "crawl", *map(str, arguments)).wait()
