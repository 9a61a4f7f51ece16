"""Options and fixtures of the benchmark, and the order of its rounds."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.cases import Case
from bench.corpus import RESULTS, Corpus, pydoc_folder
from bench.machine import describe
from bench.rivals import RIVALS
from bench.stores import Stores

# Rounds, pages and small blocks of a full run and of a quick one.
FULL = 9, 1000, 20_000
QUICK = 3, 150, 2_000


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("smartpipe")
    group.addoption("--quick", action="store_true", help="a small corpus and three rounds: half a minute")
    group.addoption("--corpus", type=Path, help="a folder whose files are the pages, at most 1,000 (default: pydoc's)")
    group.addoption("--stores", type=Path, default=RESULTS / "stores", help="where to write (default: %(default)s)")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    rounds = (QUICK if metafunc.config.getoption("quick") else FULL)[0]
    if "round" in metafunc.fixturenames:
        metafunc.parametrize("round", range(rounds))


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let rivals take turns: round 0 of all who are compared with one another, then round 1, …"""
    items.sort(key=turn)


def turn(item: pytest.Item) -> tuple[str, str, str, int, int]:
    """The place of a test: x"""
    if not isinstance(item, pytest.Function) or not hasattr(item, "callspec"):
        return "", "", "", 0, 0
    parameters = item.callspec.params
    round = int(str(parameters.get("round", 0)))
    case = parameters.get("case")
    if not isinstance(case, Case):
        return "", "", "", round, 0
    return case.data, case.codec, case.workload, round, (RIVALS.index(case.rival) - round) % len(RIVALS)


def pytest_benchmark_update_machine_info(config: pytest.Config, machine_info: dict[str, object]) -> None:
    machine_info["bench"] = describe(config.getoption("stores"))


@pytest.fixture(scope="session")
def stores(pytestconfig: pytest.Config) -> Iterator[Stores]:
    """What is written and read. The folders are removed at the end."""
    _, pages, small = QUICK if pytestconfig.getoption("quick") else FULL
    folder = pytestconfig.getoption("corpus") or pydoc_folder()
    stores = Stores(Corpus(folder.resolve(), pages, small), pytestconfig.getoption("stores"))
    yield stores
    stores.close()


@pytest.fixture(scope="session", autouse=True)
def written_before() -> None:
    """Let what the system still has to write go to the disk first."""
    os.sync()
