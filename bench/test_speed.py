"""The time of every case, a round at a time; the first round also notes the peak memory. Nothing asserts a time."""

import shutil

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from bench.cases import Case, cases, reading
from bench.clock import measure
from bench.memory import peak
from bench.rivals.rival import Store
from bench.stores import Stores, stored_size

MEMORY = ("write", "read")


@pytest.mark.parametrize("case", cases(), ids=str)
def test_speed(case: Case, round: int, stores: Stores, benchmark: BenchmarkFixture) -> None:
    blocks = stores.blocks(case.data)
    case.rival.prepare(blocks)
    benchmark.extra_info.update(data=case.data, codec=case.codec, workload=case.workload, rival=case.rival.name)
    benchmark.extra_info["raw"] = sum(
        8 + len(name) + len(value) for _, pairs in blocks for name, value in pairs.items()
    )
    if case.workload == "write":
        folder = stores.fresh()
        benchmark.extra_info["blocks"] = len(blocks)
        measure(benchmark, lambda: case.rival.write(folder, blocks, case.compress))
        benchmark.extra_info["stored"] = stored_size(folder)
        shutil.rmtree(folder)
        source = stores.fresh()
    else:
        source = stores.written(case)
        work = reading(case, blocks)
        store: Store = case.rival.open(source, case.compress)
        benchmark.extra_info["blocks"] = work.blocks
        assert measure(benchmark, lambda: work.run(store)) == work.expected
        store.close()
    if round == 0 and case.workload in MEMORY:
        benchmark.extra_info["memory"] = peak(case, source, stores.corpus)
    if case.workload == "write":
        shutil.rmtree(source)
