"""Locks on the numbers of a place, between threads and between processes."""

from __future__ import annotations

import os
import pickle
from collections.abc import Iterator
from pathlib import Path
from threading import Event, Thread

import pytest
from durability.children import Child

from smartpipe import errors
from smartpipe.locations import Files, Location, Memory, Shards

MAKE = {
    "memory": lambda folder: Memory(str(folder)),
    "files": lambda folder: Files(folder / "tree"),
    "shards": lambda folder: Shards(folder / "shards"),
}
LAST = (1 << 62) - 1


@pytest.fixture(params=MAKE)
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Location]:
    with MAKE[request.param](tmp_path) as made:
        yield made


def is_free(place: Location, start: int, length: int = 1, exclusive: bool = True) -> bool:
    with place.lock(start, length, exclusive=exclusive, wait=False) as held:
        return held


def test_an_exclusive_lock_keeps_all_others_out(place: Location) -> None:
    with place.lock(10, 5) as held:
        assert held
        assert [is_free(place, number) for number in (9, 10, 14, 15)] == [True, False, False, True]
        assert not is_free(place, 0, 11, exclusive=False)
        assert is_free(place, 0, 10)
        assert not is_free(pickle.loads(pickle.dumps(place)), 12)
    assert is_free(place, 10, 5)


def test_many_hold_what_is_not_locked_exclusively(place: Location) -> None:
    with place.lock(7, exclusive=False), place.lock(7, exclusive=False) as held:
        assert held
        assert is_free(place, 7, exclusive=False)
        assert not is_free(place, 7)
    assert is_free(place, 7)


def test_the_highest_number_is_one_like_others(place: Location) -> None:
    with place.lock(LAST):
        assert not is_free(place, LAST)
        assert is_free(place, LAST - 1)


@pytest.mark.parametrize("start, length", [(-1, 1), (0, 0), (0, -1), (LAST, 2), (1 << 62, 1), (1 << 63, 1), ("1", 1)])
def test_what_is_no_number_is_told(place: Location, start: int, length: int) -> None:
    with pytest.raises(ValueError, match="can not be locked"), place.lock(start, length):
        pass


def test_a_lock_ends_with_an_error(place: Location) -> None:
    with pytest.raises(KeyError), place.lock(1):
        raise KeyError
    assert is_free(place, 1)


def test_a_lock_is_waited_for(place: Location) -> None:
    order = []
    begun = Event()

    def wait() -> None:
        begun.set()
        with place.lock(3):
            order.append("second")

    thread = Thread(target=wait)
    with place.lock(3):
        thread.start()
        assert begun.wait(60)
        thread.join(0.1)
        order.append("first")
    thread.join()
    assert order == ["first", "second"]


@pytest.mark.parametrize("kind", ["files", "shards"])
def test_the_lock_of_a_killed_process_is_free(kind: str, tmp_path: Path) -> None:
    place = MAKE[kind](tmp_path)

    def work(tell: object) -> None:
        with place.lock(5):
            tell("held")  # type: ignore[operator]
            os.read(os.pipe()[0], 1)

    child = Child(work)
    assert os.read(child.receiver, 5) == b"held\n"
    assert not is_free(place, 5)
    child.kill()
    child.end()
    assert is_free(place, 5)
    place.close()


@pytest.mark.parametrize("kind", ["files", "shards"])
def test_a_forked_child_does_not_hold_what_its_parent_held(kind: str, tmp_path: Path) -> None:
    place = MAKE[kind](tmp_path)
    end, go_on = os.pipe()
    with place.lock(5):
        child = Child(lambda tell: os.read(end, 1))
    assert is_free(place, 5)
    os.write(go_on, b"x")
    child.end()
    os.close(end)
    os.close(go_on)
    place.close()


def test_a_place_that_is_only_read_has_no_locks(tmp_path: Path) -> None:
    with Shards(tmp_path / "shards") as place:
        place.write(b"a", b"value")
    with Shards(tmp_path / "shards", mode="r") as place, pytest.raises(errors.UnsupportedError), place.lock(1):
        pass
