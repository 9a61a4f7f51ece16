"""What is measured inside one process, by pytest-benchmark: calls of smartpipe that take microseconds, and its import.

Nothing asserts a time. `python -m pytest bench/test_speed.py` prints the tables; its options compare with earlier runs.
"""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

import smartpipe
from bench.child import SMALL_PAIR
from bench.corpus import Block

PROGRAMS = {"interpreter": "pass", "import": "import smartpipe"}
PAGE = 1 << 20
MOST = 20_000  # bytes that may be inflated for one small pair


@pytest.fixture(params=[False, True], ids=["plain", "compressed"])
def pipe(request: pytest.FixtureRequest, corpora: dict[str, list[Block]], tmp_path: Path) -> Iterator[smartpipe.Reader]:
    with smartpipe.open(tmp_path / "pipe", "w", compress=request.param) as writer:
        for key, pairs in corpora["pages"]:
            writer.write(key, pairs)
    with smartpipe.open(tmp_path / "pipe") as reader:
        yield reader


@pytest.mark.parametrize("program", PROGRAMS)
def test_start(program: str, benchmark: BenchmarkFixture) -> None:
    benchmark(subprocess.run, [sys.executable, "-c", PROGRAMS[program]], check=True)


def test_lookup(pipe: smartpipe.Reader, corpora: dict[str, list[Block]], benchmark: BenchmarkFixture) -> None:
    key, _ = corpora["pages"][-1]
    assert benchmark(pipe.__contains__, key)


def test_one_small_pair(pipe: smartpipe.Reader, corpora: dict[str, list[Block]], benchmark: BenchmarkFixture) -> None:
    key, pairs = corpora["pages"][-1]
    assert benchmark(lambda: pipe[key][SMALL_PAIR]) == pairs[SMALL_PAIR]


def test_all_pairs(pipe: smartpipe.Reader, corpora: dict[str, list[Block]], benchmark: BenchmarkFixture) -> None:
    key, pairs = corpora["pages"][-1]
    assert dict(benchmark(lambda: list(pipe[key]))) == pairs


def test_a_small_pair_inflates_little_of_a_block_with_a_large_page(
    corpora: dict[str, list[Block]], tmp_path: Path, benchmark: BenchmarkFixture
) -> None:
    pairs = dict(corpora["pages"][0][1])
    pages = b"".join(pairs[b"raw"] for _, pairs in corpora["pages"])
    pairs[b"raw"] = (pages * (PAGE // len(pages) + 1))[:PAGE]
    with smartpipe.open(tmp_path / "pipe", "w", compress=True) as writer:
        writer.write(b"page", pairs)
    with smartpipe.open(tmp_path / "pipe") as reader:
        value = benchmark.pedantic(lambda: reader[b"page"][SMALL_PAIR])
        assert reader.stats()["inflated_bytes"] < MOST
    assert value == pairs[SMALL_PAIR]
