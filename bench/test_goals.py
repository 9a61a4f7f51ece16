"""What has a goal of its own: the time of `import smartpipe`, and what a small pair costs beside a large one."""

import subprocess
import sys
from pathlib import Path

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

import smartpipe
from bench.cases import SMALL_PAIR
from bench.clock import measure
from bench.stores import Stores

PROGRAMS = {"interpreter": "pass", "import": "import smartpipe"}
PAGE = 1 << 20


@pytest.mark.parametrize("program", PROGRAMS)
def test_start(program: str, round: int, benchmark: BenchmarkFixture) -> None:
    benchmark.extra_info["program"] = program
    command = [sys.executable, "-c", PROGRAMS[program]]
    measure(benchmark, lambda: subprocess.run(command, check=True), rounds=3, warmup=1)


def test_one_small_pair_of_a_block_with_a_page(stores: Stores, tmp_path: Path, benchmark: BenchmarkFixture) -> None:
    pairs = dict(stores.blocks("pages")[0][1])
    pages = b"".join(pairs[b"raw"] for _, pairs in stores.blocks("pages"))
    pairs[b"raw"] = (pages * (PAGE // len(pages) + 1))[:PAGE]
    with smartpipe.open(tmp_path / "pipe", "w", compress=True) as pipe:
        pipe.write(b"page", pairs)
    with smartpipe.open(tmp_path / "pipe") as pipe:
        value = measure(benchmark, lambda: pipe[b"page"][SMALL_PAIR])
        benchmark.extra_info["inflated"] = pipe.stats()["inflated_bytes"]
    assert value == pairs[SMALL_PAIR]
