"""The one place that calls pytest-benchmark, whose functions have no types."""

from collections.abc import Callable
from typing import TypeVar

from pytest_benchmark.fixture import BenchmarkFixture

T = TypeVar("T")


def measure(benchmark: BenchmarkFixture, function: Callable[[], T], rounds: int = 1, warmup: int = 0) -> T:
    """Measure a call, by default once: rivals take turns, so that rounds are tests of their own. Returns its result."""
    result: T = benchmark.pedantic(function, rounds=rounds, warmup_rounds=warmup)  # type: ignore[no-untyped-call]
    return result
