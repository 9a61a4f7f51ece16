"""Many processes that write one store are killed at random and run again. Issue 6, «To show»; histories.py."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import Any

import pytest
from durability.children import Child
from torture import harness
from torture.harness import Lost, Wrong

from smartpipe.locations import Shards
from smartpipe.stores import ArtifactStore, artifacts

from .histories import RUN, Play, check_joined, play_all, version_of

NAME = "processes write artifacts and archives, beside readers, gc and deletes, are killed at random and run again"
UNIT = "plays"
QUICK = 2
LONG = 400
SMALL = [Play("shards", 4, 400, 6, 2, 8, pause=0.03), Play("files", 4, 100, 6, 2, 8, pause=0.03)]
LARGE = [Play("shards", 8, 3000, 12, 3, 30, pause=0.3), Play("files", 8, 800, 12, 3, 30, pause=0.5)]


def case(number: int, random: Random, folder: Path) -> None:
    plays = SMALL if number < 10 * QUICK else LARGE
    play_all(plays[number % 2], random.randrange(1 << 30), folder)


@pytest.mark.filterwarnings("ignore::smartpipe.PipeWarning")  # of what a killed process left
def test_processes_that_are_killed_and_run_again_leave_everything_whole_and_once() -> None:
    harness.quick(sys.modules[__name__])


def test_no_value_is_stored_twice_though_several_write_it_at_the_same_time(tmp_path: Path) -> None:
    """Not even a dead copy of one is in the shards."""

    def work(tell: Any) -> None:
        with ArtifactStore(Shards(tmp_path)) as store:
            for number in range(100):
                while time.monotonic() < begin + number * 0.005:
                    time.sleep(0.0001)  # so that all write it now
                store.write(**RUN, index=os.getpid(), name=f"x{number}", values=[f"of all, {number}", (os.getpid(), 1)])

    begin = time.monotonic() + 0.2
    for child in [Child(work) for _ in range(4)]:
        child.end()
    with Shards(tmp_path) as place:
        assert len([1 for content in place.contents(b"F/artifacts/")]) == 100 + 4
        report = place.store.verify()
    assert report.ok
    assert sum(shard.blocks for shard in report.shards) == report.keys == 100 + 4 + 4 * 100


# That the check finds what is wrong


def joined(*versions: int) -> list[object]:
    return [value for process, version in enumerate(versions) for value in version_of(process, version)]


@pytest.mark.parametrize("versions", [(5, 9, 2), (5, 10, 2), (6, 11, 2)])
def test_joined_values_that_may_be(versions: tuple[int, ...]) -> None:
    check_joined(joined(*versions), [5, 9, 2], [6, 11, 2])


WRONG = {
    "an older version": joined(4, 9, 2),
    "a version that was not begun": joined(5, 9, 3),
    "an index that is missing": joined(5, 9),
    "an index twice": joined(5, 9, 2, 2)[:-1] + joined(5, 9, 2)[-1:],
    "half of a version": joined(5, 9, 2)[1:],
    "a mix of versions": [*version_of(0, 5)[:2], *version_of(0, 6)[2:], *joined(5, 9, 2)[5:]],
    "nothing": [],
    "a value too many": [*joined(5, 9, 2), "in all"],
}


@pytest.mark.parametrize("values", WRONG.values(), ids=list(WRONG))
def test_joined_values_that_can_not_be(values: list[object]) -> None:
    with pytest.raises(Wrong):
        check_joined(values, [5, 9, 2], [6, 11, 2])


@contextmanager
def free(*arguments: object) -> Iterator[bool]:
    """A lock that is none."""
    yield True


@pytest.mark.parametrize("kind", ["shards", "files"])
@pytest.mark.parametrize("name", ["alone", "quiet"])
def test_a_lock_that_is_left_out_is_found(
    name: str, kind: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """`gc` does not wait for writers, or combined archives are made while somebody writes."""
    monkeypatch.setattr(artifacts, name, free)
    play = Play(kind, 4, 100, 0, 1, 100)
    for seed in range(100):  # mostly one of the first few
        folder = tmp_path / str(seed)
        folder.mkdir()
        try:
            play_all(play, seed, folder)
        except AssertionError as error:
            # Of a child only the text is known.
            assert isinstance(error, (Lost, Wrong)) or "harness.Lost: " in str(error) or "harness.Wrong: " in str(error)
            return
    pytest.fail("it is not found")
