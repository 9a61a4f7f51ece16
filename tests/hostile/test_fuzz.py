"""Coverage-guided fuzzing: csrc with libFuzzer, the public API with atheris. See the package `fuzz`."""

from __future__ import annotations

import os
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from durability.children import Child
from torture import harness
from torture.harness import Figures

from .fuzz import api, targets

NAME = "libFuzzer on index, record, head, inflate and zstd; atheris through the public API"
UNIT = "executions"
SECONDS = 120  # in `make test`


def run(seconds: float, seed: int) -> Figures:
    """Fuzz all targets for so long, two at a time."""
    figures = Figures(NAME, UNIT, seed=seed)
    targets.build()
    begin = time.monotonic()
    jobs = min(2, os.cpu_count() or 1)
    with ThreadPoolExecutor(jobs) as pool:
        results = pool.map(
            lambda target: targets.fuzz(target, jobs * seconds * targets.SHARES[target], seed), targets.SHARES
        )
    for result in results:
        figures.cases += result.executions
        figures.peak = max(figures.peak, result.peak)
        if result.failure is not None:
            figures.failures.append(result.failure)
            if result.mismatch:
                figures.wrong += 1
            else:
                figures.crashes += 1
    figures.seconds = time.monotonic() - begin
    return figures


@pytest.fixture(scope="module")
def built() -> None:
    """The targets, built. Where they can not be, the tests are skipped, but not where it is their only run."""
    reason = targets.missing()
    if reason is not None and os.environ.get("CI") == "true":
        pytest.fail(reason)
    if reason is not None:
        pytest.skip(reason)
    targets.build()


def inputs_of_the_api() -> list[Path]:
    return sorted(path for folder in ("corpus", "crashers") for path in (targets.HERE / folder / "api").glob("*"))


@pytest.mark.parametrize("path", inputs_of_the_api(), ids=lambda path: f"{path.parent.parent.name}-{path.name}")
def test_a_seed_or_what_once_failed_through_the_api(path: Path, tmp_path: Path) -> None:
    api.try_input(path.read_bytes(), tmp_path)


@pytest.mark.timeout(900)
@pytest.mark.usefixtures("built")
@pytest.mark.parametrize("target", targets.SHARES)
def test_seeds_and_what_once_failed_in_a_target(target: str) -> None:
    failure = targets.replay(target).failure
    assert failure is None, failure


@pytest.mark.usefixtures("built")
def test_the_memory_of_who_starts_a_target_is_not_taken_for_its_own() -> None:
    def work(tell: object) -> None:
        held = b"x" * (1200 << 20)
        failure = targets.fuzz("record", 3, 1).failure
        assert failure is None, failure
        assert len(held) > targets.MOST << 20

    Child(work).end()


@pytest.mark.timeout(900)
@pytest.mark.usefixtures("built")
@pytest.mark.skipif(os.environ.get("SMARTPIPE_ENGINE") == "python", reason="the engine makes no difference to it")
def test_nothing_is_found_by_fuzzing() -> None:
    figures = run(SECONDS * harness.scale(), seed=1)
    assert figures.good, "\n\n".join(figures.failures)
    assert figures.cases > 0
