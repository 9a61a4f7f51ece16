"""The manifest: each number is committed once, no change is lost, and damaged bytes are never another manifest."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

import pytest
from container.pipes import warned
from durability.children import Child, Kill
from torture.harness import MEMORY

import smartpipe
from smartpipe import ShardStore
from smartpipe._platform import disk
from smartpipe.shards.manifest import Listed, Manifest, Manifests, Retired

STORE = "00112233445566ff"
PROCESSES = 32
CHANGES = 4


@pytest.fixture
def folder() -> Iterator[str]:
    """A folder with manifest 1, which lists nothing."""
    with TemporaryDirectory(dir=MEMORY) as folder:
        assert Manifests(folder, STORE).create(Manifest(1, STORE, {}, {}))
        yield folder


def listed(id: int) -> Listed:
    return Listed(id, f"{id:016x}.dat", 0, id % 7)


def adding(id: int) -> Callable[[Manifest], Manifest | None]:
    """A change that adds a shard."""
    return lambda last: None if id in last.shards else last.with_shards(listed(id))


def history(folder: str) -> list[set[int]]:
    """What each manifest lists, from the first to the last; all of them are there, and are what their name says."""
    manifests = Manifests(folder, STORE)
    numbers = manifests.numbers()
    assert numbers == list(range(1, len(numbers) + 1))
    found = []
    for number in numbers:
        manifest = Manifest.decode(Path(manifests.path(number)).read_bytes(), "")
        assert manifest.number == number
        assert all(shard == listed(id) for id, shard in manifest.shards.items())
        found.append(set(manifest.shards))
    return found


# Races


def test_32_processes_commit_each_number_once_and_lose_no_change(folder: str) -> None:
    def process(first: int) -> Callable[[Callable[[str], None]], None]:
        def work(tell: Callable[[str], None]) -> None:
            manifests = Manifests(folder, STORE)
            last = manifests.last()
            for id in range(first, first + CHANGES):
                last = manifests.commit(last, adding(id))
                assert id in last.shards
            os.listdir(folder)

        return work

    children = [Child(process(number * CHANGES)) for number in range(PROCESSES)]
    for child in children:
        child.end()
    found = history(folder)
    # A number that was committed twice would have lost a change: each adds one.
    assert [len(ids) for ids in found] == list(range(PROCESSES * CHANGES + 1))
    assert all(before < after for before, after in pairwise(found))
    assert found[-1] == set(range(PROCESSES * CHANGES))
    assert [name for name in os.listdir(folder) if name.startswith(".")] == []


def test_processes_that_are_killed_at_any_call_lose_no_change(folder: str) -> None:
    """Each is killed at a call of its commit, and what it was told before is there."""

    def process(id: int, which: int) -> Callable[[Callable[[str], None]], None]:
        def work(tell: Callable[[str], None]) -> None:
            manifests = Manifests(folder, STORE)
            manifests.commit(manifests.last(), adding(id))
            tell(str(id))
            Kill(which).install()
            manifests.commit(manifests.last(), adding(id + 1000))
            tell(str(id + 1000))

        return work

    chance = Random(1)
    told: set[int] = set()
    for first in range(0, 96, 8):
        children = [Child(process(id, chance.randrange(8))) for id in range(first, first + 8)]
        for child in children:
            told.update(map(int, child.end()))
    assert len(told) > 96
    found = history(folder)
    assert told <= found[-1] <= {*range(96), *range(1000, 1096)}
    assert [len(ids) for ids in found] == list(range(len(found)))


@contextmanager
def before_the_link(work: Callable[[], object]) -> Iterator[None]:
    """Does something once, when a process that commits has decided, and is about to take the number."""
    with pytest.MonkeyPatch.context() as patched:
        link = disk.link

        def linked(source: str, target: str) -> None:
            patched.undo()
            work()
            link(source, target)

        patched.setattr(disk, "link", linked)
        yield


def test_a_change_is_decided_anew_where_others_were_faster(folder: str) -> None:
    one, two = Manifests(folder, STORE), Manifests(folder, STORE)
    seen: list[set[int]] = []

    def change(last: Manifest) -> Manifest | None:
        seen.append(set(last.shards))
        return last.with_shards(listed(1))

    with before_the_link(lambda: two.commit(two.last(), adding(2))):
        committed = one.commit(one.last(), change)
    assert seen == [set(), {2}]
    assert (committed.number, set(committed.shards)) == (3, {1, 2})
    assert history(folder) == [set(), {2}, {1, 2}]


def test_a_change_that_has_become_needless_is_not_made(folder: str) -> None:
    one, two = Manifests(folder, STORE), Manifests(folder, STORE)
    with before_the_link(lambda: two.commit(two.last(), adding(1))):
        assert one.commit(one.last(), adding(1)).number == 2
    assert history(folder) == [set(), {1}]


@pytest.mark.parametrize("kept", [1, 3])
def test_a_process_that_was_stopped_takes_a_number_that_was_removed_since(folder: str, kept: int) -> None:
    """Its file then lies below the others: its change is decided anew, and is in what counts."""
    one, two = Manifests(folder, STORE), Manifests(folder, STORE)

    def go_on() -> None:
        for id in range(10, 16):
            two.commit(two.last(), adding(id))
        for number in two.numbers()[:-kept]:
            os.unlink(two.path(number))

    with before_the_link(go_on):
        committed = one.commit(one.last(), adding(1))
    assert 1 in committed.shards
    last = two.last()
    assert last == committed
    assert (last.number, set(last.shards)) == (8, {1, *range(10, 16)})
    assert two.commit(last, adding(2)).number == 9


def test_what_is_written_aside_may_be_collected_meanwhile(folder: str) -> None:
    """A process was stopped so long that its file looked like one that a killed process had left."""
    manifests = Manifests(folder, STORE)

    def collect() -> None:
        for name in os.listdir(folder):
            if name.startswith("."):
                os.unlink(os.path.join(folder, name))

    with before_the_link(collect):
        assert set(manifests.commit(manifests.last(), adding(1)).shards) == {1}
    assert history(folder) == [set(), {1}]


def test_the_last_one_is_read_while_lower_ones_are_removed(folder: str, monkeypatch: pytest.MonkeyPatch) -> None:
    manifests, others = Manifests(folder, STORE), Manifests(folder, STORE)
    numbers = manifests.numbers

    def overtaken() -> list[int]:
        found = numbers()
        monkeypatch.undo()
        others.commit(others.last(), adding(1))
        os.unlink(others.path(1))
        return found

    monkeypatch.setattr(manifests, "numbers", overtaken)
    assert manifests.last().number == 2


def test_other_names_in_the_folder_are_no_manifests(folder: str) -> None:
    for name in (".7.123.abc", "8.tmp", "x9", "٣", "-1", "1.0"):
        Path(folder, name).write_bytes(b"nothing")
    assert Manifests(folder, STORE).last().number == 1


# Damage

LARGE = Manifest(
    12,
    STORE,
    {id: listed(id) for id in (1, 0xFFFFFFFFFFFFFFFF, 300)},
    {7: Retired("0000000000000007.datz", 9)},
)


def test_what_is_encoded_is_decoded() -> None:
    assert Manifest.decode(LARGE.encode(), "") == LARGE


def test_every_bit_that_flips_is_an_error() -> None:
    data = bytearray(LARGE.encode())
    for place in range(8 * len(data)):
        data[place // 8] ^= 1 << place % 8
        with pytest.raises((smartpipe.CorruptError, smartpipe.FormatError)) as caught:
            Manifest.decode(bytes(data), "the/path")
        assert caught.value.path == "the/path"
        data[place // 8] ^= 1 << place % 8


def test_every_truncation_and_what_is_appended_is_an_error() -> None:
    data = LARGE.encode()
    for size in range(len(data)):
        for damaged in (data[:size], data[:size] + bytes(len(data) - size), data + data[: size + 1]):
            with pytest.raises((smartpipe.CorruptError, smartpipe.FormatError)):
                Manifest.decode(damaged, "the/path")


def test_a_manifest_of_another_number_or_store_is_an_error(folder: str) -> None:
    manifests = Manifests(folder, STORE)
    for wrong in (Manifest(3, STORE, {}, {}), Manifest(2, "ff", {}, {})):
        Path(manifests.path(2)).write_bytes(wrong.encode())
        with pytest.raises((smartpipe.CorruptError, smartpipe.FormatError)) as caught:
            manifests.last()
        assert caught.value.path == manifests.path(2)


def test_a_store_with_a_damaged_manifest_says_so_and_has_all_blocks(tmp_path: Path) -> None:
    with ShardStore(tmp_path / "store") as store:
        store.put_bytes(b"key", b"value")
        last = Path(store.folder.manifests.path(store.manifest.number))
    good = last.read_bytes()
    for damaged in (good[:-1], good.replace(b'"counter": 1', b'"counter": 2'), b""):
        assert damaged != good
        last.write_bytes(damaged)
        with warned() as messages, ShardStore(tmp_path / "store", mode="r") as store:
            assert {key: block[b""] for key, block in store.items()} == {b"key": b"value"}
        assert any(str(last) in message for message in messages)
    with warned(), ShardStore(tmp_path / "store") as store:
        store.put_bytes(b"more", b"1")
        assert store.get_bytes(b"key") == b"value"
    with ShardStore(tmp_path / "store", mode="r") as store:
        assert set(store) == {b"key", b"more"}
