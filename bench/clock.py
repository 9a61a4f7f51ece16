"""How a call is measured: by pytest-benchmark, with the processor time noted beside the time."""

import time
from collections.abc import Callable
from typing import TypeVar

from pytest_benchmark.fixture import BenchmarkFixture

T = TypeVar("T")


def measure(benchmark: BenchmarkFixture, function: Callable[[], T], rounds: int = 1, warmup: int = 0) -> T:
    """Measure a call, by default once, as rivals take turns and a round is a test of its own. Returns its result.

    The processor time of this process, of the last call, is the `processor` of the extra information, in seconds.
    """

    def call() -> T:
        begin = time.process_time()
        result = function()
        benchmark.extra_info["processor"] = time.process_time() - begin
        return result

    result: T = benchmark.pedantic(call, rounds=rounds, warmup_rounds=warmup)  # type: ignore[no-untyped-call]
    return result
