"""Many processes and threads at one store: combined archives, collecting, killed writers. Issue 6."""

from __future__ import annotations

import gzip
import json
import os
import pickle
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random
from threading import Event, Thread
from typing import Any

import pytest
from durability.children import Child

from smartpipe import errors
from smartpipe.locations import Files, Location, Memory
from smartpipe.stores import ArtifactStore

from .places import contents

RUN = {"flow": "F", "execution": "1", "layer": "L"}
COMBINED = b"F/.cache/1/L/x.json"


@pytest.fixture
def store(location: Location) -> ArtifactStore:
    return ArtifactStore(location)


def write(store: ArtifactStore, index: int, *values: object) -> None:
    store.write(**RUN, index=index, name="x", values=values)


def values(store: ArtifactStore) -> list[Any]:
    return list(store.read(**RUN, name="x"))


# Combined archives


def test_several_archives_are_joined_in_the_order_of_their_indexes(store: ArtifactStore) -> None:
    for index in (10, 2, 0, 1):
        write(store, index, f"{index}a", f"{index}b")
    expected = ["0a", "0b", "1a", "1b", "2a", "2b", "10a", "10b"]
    assert COMBINED not in contents(store.location)
    assert values(store) == expected
    combined = json.loads(store.location.read_bytes(COMBINED) or b"")
    digests = [entry["hexdigest"] for entry in combined["artifacts"]]
    found = [store.location.read_bytes(f"F/artifacts/{digest}.gz".encode()) or b"" for digest in digests]
    assert [pickle.loads(gzip.decompress(data)) for data in found] == expected
    assert values(store) == expected


def test_several_archives_are_an_accessor_even_with_one_value(store: ArtifactStore) -> None:
    write(store, 0)
    write(store, 1, "only")
    for _ in range(2):
        assert values(store) == ["only"]
        assert len(store.read(**RUN, name="x")) == 1


def test_later_readings_use_the_combined_archive() -> None:
    asked: list[bytes] = []

    class Watched(Memory):
        def _read_batch(self, keys: list[bytes]) -> Any:
            asked.extend(keys)
            return super()._read_batch(keys)

    store = ArtifactStore(Watched())
    for index in range(3):
        write(store, index, index)
    assert values(store) == [0, 1, 2]
    asked.clear()
    assert values(store) == [0, 1, 2]
    assert not [key for key in asked if b"/archives/" in key]


@pytest.mark.parametrize("change", ["rewritten", "shorter", "added", "deleted"])
def test_a_rerun_is_not_read_from_the_old_combined_archive(store: ArtifactStore, change: str) -> None:
    for index in range(3):
        write(store, index, f"old {index}", "same")
    assert len(values(store)) == 6
    if change == "rewritten":
        write(store, 1, "new", "same")
        assert values(store) == ["old 0", "same", "new", "same", "old 2", "same"]
    elif change == "shorter":
        write(store, 0)
        assert values(store) == ["old 1", "same", "old 2", "same"]
    elif change == "added":
        write(store, 3, "more")
        assert values(store) == ["old 0", "same", "old 1", "same", "old 2", "same", "more"]
    else:
        store.delete_execution(flow="F", execution="1")
        with pytest.raises(errors.ArtifactNotFound):
            values(store)


def test_a_record_says_how_many_archives_there_are(store: ArtifactStore) -> None:
    for index in range(4):
        write(store, index, index)
    assert values(store) == [0, 1, 2, 3]
    store.write_record(**RUN, splits=2)  # a rerun in fewer parts
    assert values(store) == [0, 1]
    store.write_record(**RUN, splits=5)  # one is not written yet
    with pytest.raises(errors.ArtifactNotFound) as raised:
        values(store)
    assert raised.value.block == b"F/archives/1/L/4/x.json"
    write(store, 4, 4)
    assert values(store) == [0, 1, 2, 3, 4]


def test_a_combined_archive_of_another_program_is_not_trusted(store: ArtifactStore) -> None:
    write(store, 0, "old")
    write(store, 1, "old")
    archive = store.read_archive(**RUN, name="x")
    foreign = json.dumps({"artifacts": [{"hexdigest": artifact.hexdigest} for artifact in archive.artifacts]}).encode()
    write(store, 1, "new")
    for content in (foreign, b"{", b"[]"):
        store.location.write(COMBINED, content, overwrite=True)
        assert values(store) == ["old", "new"]


@contextmanager
def paused(store: ArtifactStore, index: int, *values: object) -> Iterator[None]:
    """Another thread is in the middle of writing while the context lasts, and done after it."""
    reached, go_on = Event(), Event()

    class Pausing(ArtifactStore):
        def _put(self, key: bytes, data: bytes) -> None:
            reached.set()
            assert go_on.wait(60)
            super()._put(key, data)

    thread = Thread(target=lambda: write(Pausing(store.location), index, *values))
    thread.start()
    try:
        assert reached.wait(60)
        yield
    finally:
        go_on.set()
        thread.join()


def test_while_somebody_writes_nothing_is_combined_and_nobody_waits(store: ArtifactStore) -> None:
    write(store, 0, "a")
    write(store, 1, "old")
    assert values(store) == ["a", "old"]
    with paused(store, 1, "new"):
        assert values(store) == ["a", "old"]
        assert COMBINED not in contents(store.location)
        store.write(flow="F", execution="1", layer="Other", index=0, name="y", values=[1])
        write(store, 2, "c")
        assert values(store) == ["a", "old", "c"]
    assert values(store) == ["a", "new", "c"]


def test_what_is_read_is_never_older_than_what_was_written_before(shared: Location) -> None:
    """Writers of one index each tell what they wrote; a reader that begins after that must not see less."""
    told: list[tuple[int, Child]] = []
    store = ArtifactStore(shared)
    for index in range(3):
        write(store, index, 0)

    def work(index: int) -> Any:
        def run(tell: Any) -> None:
            store = ArtifactStore(pickle.loads(pickle.dumps(shared)))
            for number in range(1, 41):
                write(store, index, number)
                tell(str(number))
                if number % 10 == 0:
                    time.sleep(0.05)  # so that there are quiet moments too
            tell("end")

        return run

    told = [(index, Child(work(index))) for index in range(3)]
    newest = [0, 0, 0]
    lines = {index: b"" for index, _ in told}
    for _, child in told:
        os.set_blocking(child.receiver, False)
    ended: set[int] = set()
    while len(ended) < 3:
        for index, child in told:
            try:
                lines[index] += os.read(child.receiver, 1 << 16)
            except BlockingIOError:
                continue
            *whole, lines[index] = lines[index].split(b"\n")
            for line in whole:
                assert not line.startswith(b"failed"), line.decode()
                if line == b"end":
                    ended.add(index)
                else:
                    newest[index] = int(line)
        known = list(newest)
        found = values(store)
        assert all(value >= least for value, least in zip(found, known, strict=True)), (found, known)
    for _, child in told:
        os.set_blocking(child.receiver, True)
        child.end()
    assert values(store) == [40, 40, 40]
    assert store.verify().ok


# Killed writers


@pytest.mark.filterwarnings("ignore::smartpipe.PipeWarning")  # of what a killed process left
def test_writers_that_are_killed_and_run_again(shared: Location) -> None:
    random = Random(6)
    expected = [[f"{number % 70} of {index % 2}" for number in range(200)] for index in range(4)]

    def work(index: int) -> Any:
        def run(tell: Any) -> None:
            store = ArtifactStore(pickle.loads(pickle.dumps(shared)))
            tell("begun")
            for part in range(10):
                some = expected[index][20 * part : 20 * part + 20]
                store.write(**RUN, index=index, name=f"x{part}", values=some)
            store.close()

        return run

    for round_ in range(3):
        children = [Child(work(index)) for index in range(4)]
        for child in children:
            assert os.read(child.receiver, 6) == b"begun\n"
            if round_ < 2:
                time.sleep(random.random() * 0.03)
                child.kill()
        for child in children:
            child.end()
        store = ArtifactStore(shared)
        for key, archive in contents(shared).items():
            if b"/archives/" in key:
                assert len(json.loads(archive or b"")["artifacts"]) == 20
        assert store.verify().problems == []
    for part in range(10):
        found = list(store.read(**RUN, name=f"x{part}"))
        assert found == [value for values in expected for value in values[20 * part : 20 * part + 20]]
    assert store.verify().artifacts == 2 * 70
    assert store.gc(grace=0).removed == []


# Collecting


def test_gc_removes_what_no_archive_names(store: ArtifactStore) -> None:
    write(store, 0, "kept", "other")
    write(store, 0, "kept")
    store.write(flow="F", execution="2", layer="L", index=0, name="x", values=["kept", "second"])
    store.write(flow="G", execution="1", layer="L", index=0, name="x", values=["other"])
    [removed] = store.gc(grace=0).removed
    assert removed.startswith("F/artifacts/")
    assert store.read(flow="G", execution="1", layer="L", name="x") == "other"
    assert store.delete_execution(flow="F", execution="2") == 1
    assert len(store.gc("G", grace=0).removed) == 0
    assert len(store.gc("F", grace=0).removed) == 1
    assert store.read(**RUN, name="x") == "kept"
    assert store.verify().ok and store.verify().unnamed == 0


def test_gc_leaves_what_is_young(store: ArtifactStore) -> None:
    write(store, 0, "old")
    write(store, 0, "new")
    report = store.gc(grace=3600)
    assert (report.removed, report.bytes, report.waiting) == ([], 0, 1)
    assert store.verify().unnamed == 1


def test_gc_removes_combined_archives_of_none(store: ArtifactStore) -> None:
    for index in range(2):
        write(store, index, index)
    assert values(store) == [0, 1]
    assert store.gc(grace=0).removed == []
    for key in list(contents(store.location)):
        if b"/archives/" in key:
            store.location.delete(key)  # by another program
    assert COMBINED.decode() in store.gc(grace=0).removed
    assert contents(store.location) == {}


def test_gc_removes_nothing_where_an_archive_is_none(store: ArtifactStore) -> None:
    write(store, 0, "old")
    write(store, 0, "new")
    store.location.write(b"F/archives/1/L/1/x.json", b"{")
    before = contents(store.location)
    with pytest.raises(errors.FormatError) as raised:
        store.gc(grace=0)
    assert raised.value.block == b"F/archives/1/L/1/x.json"
    assert contents(store.location) == before


def test_gc_waits_for_who_counts_on_an_artifact(store: ArtifactStore) -> None:
    write(store, 0, "wanted")
    write(store, 0, "other")  # now nobody names «wanted»
    reports = []
    with paused(store, 1, "wanted"):  # which is there: it is not written again
        thread = Thread(target=lambda: reports.append(store.gc(grace=0)))
        thread.start()
        thread.join(0.5)
        assert reports == []
        store.write(flow="F", execution="1", layer="L", index=2, name="y", values=["more"])  # is let in meanwhile
    thread.join()
    assert reports[0].removed == []
    assert store.read(**RUN, index=1, name="x") == "wanted"


def test_gc_beside_writers_takes_nothing_that_is_named(shared: Location) -> None:
    """Writers name the same values again and again, which nobody names in between."""

    def work(tell: Any) -> None:
        store = ArtifactStore(pickle.loads(pickle.dumps(shared)))
        for number in range(60):
            store.write(**RUN, index=os.getpid(), name="x", values=[number % 3, "always"])
            assert list(store.read(**RUN, index=os.getpid(), name="x")) == [number % 3, "always"]

    children = [Child(work) for _ in range(2)]
    store = ArtifactStore(shared)
    for _ in range(15):
        store.gc(grace=0)
    for child in children:
        assert child.end() == []
    assert store.verify().problems == []


# Removing, verifying


def test_an_execution_is_deleted(store: ArtifactStore) -> None:
    for execution in ("1", "2", "11"):
        for index in range(2):
            store.write(flow="F", execution=execution, layer="L", index=index, name="x", values=[execution])
        store.write_record(flow="F", execution=execution, layer="L", splits=2)
        assert len(store.read(flow="F", execution=execution, layer="L", name="x")) == 2
    assert store.delete_execution(flow="F", execution="1") == 2
    assert store.list_executions(flow="F") == ["11", "2"]
    assert not [key for key in contents(store.location) if key.startswith((b"F/archives/1/", b"F/.cache/1/"))]
    assert list(store.read(flow="F", execution="11", layer="L", name="x")) == ["11", "11"]
    assert store.delete_execution(flow="F", execution="none") == 0


FOREIGN = [
    b"readme.txt",
    b"F/artifacts/readme",
    b"F/archives/1/L/0/notes.txt",
    b"\xff/archives/1/L/0/x.json",
    b"F/a\\b",
]


def test_what_is_of_somebody_else_stays(store: ArtifactStore) -> None:
    for key in FOREIGN:
        store.location.write(key, b"of somebody else")
    write(store, 0, "value")
    write(store, 0, "other")
    assert store.verify().ok
    assert len(store.gc(grace=0).removed) == 1
    assert (store.list_flows(), store.list_executions(flow="F")) == (["F"], ["1"])
    assert {key for key, value in contents(store.location).items() if value == b"of somebody else"} == {*FOREIGN}


def test_gc_keeps_what_an_archive_with_a_strange_key_names(store: ArtifactStore) -> None:
    write(store, 0, "value")
    archive = store.location.read_bytes(b"F/archives/1/L/0/x.json") or b""
    store.location.write(b"F/archives/1/L/007/more/x.json", archive)
    write(store, 0, "other")
    assert store.gc(grace=0).removed == []


def test_verify_names_what_is_not_whole(store: ArtifactStore) -> None:
    write(store, 0, "damaged", "gone", "whole")
    write(store, 1, "more")
    archive = store.read_archive(**RUN, name="x")
    damaged, gone = (archive.artifacts[number].key("F") for number in range(2))
    store.location.write(damaged, gzip.compress(b"x"), overwrite=True)
    store.location.delete(gone)
    store.location.write(b"F/.cache/1/M/.record.json", b"{}")
    wrong = archive.to_bytes().replace(archive.artifacts[3].hexdigest.encode(), archive.artifacts[2].hexdigest.encode())
    store.location.write(COMBINED, wrong, overwrite=True)
    seen: list[tuple[int, int]] = []
    report = store.verify(progress=lambda done, total: seen.append((done, total)))
    assert [problem.key for problem in report.problems] == sorted(
        [damaged.decode(), "F/.cache/1/M/.record.json", "F/archives/1/L/0/x.json", COMBINED.decode()]
    )
    assert not report.ok and report.as_dict()["ok"] is False
    assert gone.decode() in next(problem.reason for problem in report.problems if "archives" in problem.key)
    assert (report.artifacts, report.archives, report.records, report.unnamed) == (3, 2, 1, 0)
    assert seen[-1][0] == seen[-1][1] > 0


def test_threads_write_one_store(store: ArtifactStore) -> None:
    def work(index: int) -> None:
        for number in range(20):
            write(store, index, number, "same")

    threads = [Thread(target=work, args=(index,)) for index in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert values(store) == [19, "same"] * 4
    assert store.verify().ok


def test_a_full_location_still_reads(tmp_path: Path) -> None:
    """A combined archive that can not be written is none: reading does not fail for it."""

    class Full(Files):
        full = False

        def _write(self, key: bytes, *rest: Any) -> bool | None:
            if self.full:
                raise errors.StorageError("no space", path=self.root)
            return super()._write(key, *rest)

    place = Full(tmp_path)
    store = ArtifactStore(place)
    for index in range(2):
        write(store, index, index)
    place.full = True
    assert values(store) == [0, 1]
    with pytest.raises(errors.StorageError):
        write(store, 0, "new")
    place.full = False
    assert values(store) == [0, 1]


def test_a_tree_that_may_not_be_written_is_read(tmp_path: Path) -> None:
    class Closed(Files):
        def _write(self, key: bytes, *rest: Any) -> bool | None:
            raise errors.StorageError("read-only file system", path=self.root)

        def _lock_numbers(self, *rest: Any) -> Any:
            raise errors.StorageError("read-only file system", path=self.root)

    for index in range(2):
        write(ArtifactStore(Files(tmp_path)), index, index)
    store = ArtifactStore(Closed(tmp_path))
    assert values(store) == [0, 1]
    assert store.verify().ok


def test_looking_for_what_is_not_there_makes_nothing(tmp_path: Path) -> None:
    store = ArtifactStore(Files(tmp_path / "wrong name"))
    assert store.read(**RUN, name="x", default=None) is None
    assert store.read(**RUN, index=0, name="x", default=None) is None
    assert store.list_flows() == []
    assert list(tmp_path.iterdir()) == []


def test_a_record_that_claims_too_much(store: ArtifactStore) -> None:
    write(store, 0, "value")
    record = b'{"flow": {"name": "F"}, "layer": {"name": "L"}, "execution": {"splits": %d}}'
    key = b"F/.cache/1/L/.record.json"
    store.location.write(key, record % 10**15)
    with pytest.raises(errors.ArtifactNotFound, match=r"/1/x\.json"):
        values(store)
    store.location.write(key, record % 10**30, overwrite=True)
    with pytest.raises(errors.FormatError) as raised:
        values(store)
    assert raised.value.block == key
