"""What a store of artifacts writes, and what it gives back. Issue 6; the document of datastores."""

from __future__ import annotations

import gzip
import hashlib
import json
import pickle
import subprocess
from pathlib import Path
from random import Random
from typing import Any

import pytest

from smartpipe import errors
from smartpipe.locations import Files, Location, Memory
from smartpipe.stores import Accessor, Archive, Artifact, ArtifactStore, Record, packing

from .places import contents

RUN = {"flow": "Crawl", "execution": "run-1", "layer": "Parse"}


def packed(data: bytes) -> bytes:
    """What another program would store, with a time and a name in the header."""
    return gzip.compress(data, 1, mtime=1234567)


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@pytest.fixture
def store(location: Location) -> ArtifactStore:
    return ArtifactStore(location)


# The document


def plant(root: Path, name: str, index: int, *values: object, execution: str = "run-1", **entry: str) -> None:
    """Write values as the document has it, with nothing of smartpipe."""
    artifacts = []
    for value in values:
        data = pickle.dumps(value)
        file = root / "Crawl" / "artifacts" / f"{digest(data)}.gz"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(packed(data))
        artifacts.append({"hexdigest": digest(data), **entry})
    archive = root / "Crawl" / "archives" / execution / "Parse" / str(index) / f"{name}.json"
    archive.parent.mkdir(parents=True, exist_ok=True)
    archive.write_text(json.dumps({"artifacts": artifacts}))


def test_a_tree_made_by_hand_is_read(tmp_path: Path) -> None:
    plant(tmp_path, "title", 0, "one", dtype="builtins.str")
    plant(tmp_path, "pages", 0, {"a": 1}, {"b": 2})  # an entry without a type, as in the schema of the document
    plant(tmp_path, "pages", 1, {"c": 3}, dtype="builtins.dict")
    plant(tmp_path, "pages", 10, [4])
    plant(tmp_path, "pages", 2, (5,))
    plant(tmp_path, "title", 0, "other", execution="run-0")
    record = tmp_path / "Crawl" / ".cache" / "run-0" / "Parse" / ".record.json"
    record.parent.mkdir(parents=True)
    record.write_text('{"flow": {"name": "Crawl"}, "layer": {"name": "Parse"}, "execution": {"splits": 1}}')
    store = ArtifactStore(Files(tmp_path))
    assert store.read(**RUN, name="title") == "one"
    assert store.read(**RUN, name="title", index=0) == "one"
    assert list(store.read(**RUN, name="pages")) == [{"a": 1}, {"b": 2}, {"c": 3}, (5,), [4]]
    assert store.read(**RUN, name="pages", index=1) == {"c": 3}
    assert store.list_flows() == ["Crawl"]
    assert store.list_executions(flow="Crawl") == ["run-0", "run-1"]
    assert store.list_layers(flow="Crawl", execution="run-1") == ["Parse"]
    assert store.list_artifacts(**RUN) == ["pages", "title"]
    assert store.read_record(flow="Crawl", execution="run-0", layer="Parse") == Record("Crawl", "Parse", 1)
    assert store.verify().ok


def test_a_tree_is_read_without_being_written_to(tmp_path: Path) -> None:
    plant(tmp_path, "title", 0, "one")
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert ArtifactStore(Files(tmp_path)).read(**RUN, name="title", index=0) == "one"
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_what_is_written_is_what_the_document_says(location: Location) -> None:
    store = ArtifactStore(location)
    values = ["text", 7, {"a": [1.5, None]}]
    store.write(**RUN, index=3, name="values", values=values)
    store.write_record(**RUN, splits=4)
    found = contents(location)
    archive = json.loads(found.pop(b"Crawl/archives/run-1/Parse/3/values.json") or b"")
    assert archive.keys() == {"artifacts"}
    assert [entry.keys() for entry in archive["artifacts"]] == [{"dtype", "hexdigest"}] * 3
    assert [entry["dtype"] for entry in archive["artifacts"]] == ["builtins.str", "builtins.int", "builtins.dict"]
    for value, entry in zip(values, archive["artifacts"], strict=True):
        stored = found.pop(f"Crawl/artifacts/{entry['hexdigest']}.gz".encode()) or b""
        assert stored[4:8] == b"\0\0\0\0"  # the time in the header
        data = gzip.decompress(stored)
        assert digest(data) == entry["hexdigest"]
        assert pickle.loads(data) == value
    record = json.loads(found.pop(b"Crawl/.cache/run-1/Parse/.record.json") or b"")
    assert record == {"flow": {"name": "Crawl"}, "layer": {"name": "Parse"}, "execution": {"splits": 4}}
    assert not found


def test_a_system_gunzip_reads_an_artifact(tmp_path: Path) -> None:
    archive = ArtifactStore(Files(tmp_path)).write(**RUN, index=0, name="x", values=["value"])
    file = tmp_path / "Crawl" / "artifacts" / f"{archive.artifacts[0].hexdigest}.gz"
    data = subprocess.run(["gzip", "-dc", file], capture_output=True, check=True).stdout
    assert pickle.loads(data) == "value"


def test_what_readers_of_the_document_do_not_know_is_not_in_an_entry(location: Location) -> None:
    store = ArtifactStore(location, serializers={dict: "json"})
    store.write(**RUN, index=0, name="x", values=[{"a": 1}], sharded=True)
    archive = json.loads(location.read_bytes(b"Crawl/archives/run-1/Parse/0/x.json") or b"")
    assert [entry.keys() for entry in archive["artifacts"]] == [{"dtype", "hexdigest"}]


# Values


def test_one_value_is_read_as_it_is_and_several_as_an_accessor(store: ArtifactStore) -> None:
    store.write(**RUN, index=0, name="one", values=[[1, 2]])
    store.write(**RUN, index=0, name="two", values=iter([1, 2]))
    store.write(**RUN, index=0, name="none", values=[])
    store.write(**RUN, index=0, name="shard", values=[[1, 2]], sharded=True)
    for index in (0, None):
        assert store.read(**RUN, index=index, name="one") == [1, 2]
        assert type(store.read(**RUN, index=index, name="one")) is list
        for name, values in {"two": [1, 2], "none": [], "shard": [[1, 2]]}.items():
            accessor = store.read(**RUN, index=index, name=name)
            assert type(accessor) is Accessor
            assert list(accessor) == values


def test_equal_values_are_stored_once_across_executions(store: ArtifactStore) -> None:
    for execution in "abc":
        for index in range(2):
            store.write(flow="F", execution=execution, layer="L", index=index, name="x", values=["same", "same", index])
    artifacts = [key for key in contents(store.location) if key.startswith(b"F/artifacts/")]
    assert len(artifacts) == 3
    assert list(store.read(flow="F", execution="b", layer="L", name="x")) == ["same", "same", 0, "same", "same", 1]


def test_a_value_that_is_there_in_another_compression_is_kept(location: Location) -> None:
    data = pickle.dumps("value", protocol=5)
    key = f"Crawl/artifacts/{digest(data)}.gz".encode()
    foreign = packed(data[:5]) + packed(data[5:])  # of two members, which gzip allows
    location.write(key, foreign)
    for level in (1, 2, 9):
        archive = ArtifactStore(location, level=level).write(**RUN, index=level, name="x", values=["value"])
        assert archive.artifacts[0].hexdigest == digest(data)
    assert location.read_bytes(key) == foreign
    assert list(ArtifactStore(location).read(**RUN, name="x")) == ["value"] * 3


def test_what_is_there_is_not_written_again() -> None:
    written = []

    class Watched(Memory):
        def _write(self, key: bytes, *rest: Any) -> bool | None:
            written.append(key)
            return super()._write(key, *rest)

    store = ArtifactStore(Watched())
    for index in (0, 1, 0):
        store.write(**RUN, index=index, name="x", values=["same", "same"])
    archives = [b"Crawl/archives/run-1/Parse/%d/x.json" % index for index in (0, 1)]
    assert len(written) == 3 and written[0].startswith(b"Crawl/artifacts/") and written[1:] == archives


def test_a_value_that_another_writes_meanwhile_is_no_collision(tmp_path: Path) -> None:
    class Late(Memory):
        """Another writer comes between the look whether a value is there and its writing."""

        def _write(self, key: bytes, value: Any, labels: frozenset[str], overwrite: bool) -> bool | None:
            if b"/artifacts/" in key:
                super()._write(key, packed(gzip.decompress(value)), labels, overwrite)
            return super()._write(key, value, labels, overwrite)

    store = ArtifactStore(Late(str(tmp_path)))
    store.write(**RUN, index=0, name="x", values=["value"])
    assert store.read(**RUN, name="x") == "value"


def test_a_value_is_serialized_once(store: ArtifactStore) -> None:
    Counted.times = 0
    store.write(**RUN, index=0, name="x", values=[Counted()])
    assert Counted.times == 1


class Counted:
    times = 0

    def __reduce__(self) -> tuple[Any, ...]:
        Counted.times += 1
        return Counted, ()


def test_an_archive_is_written_anew(store: ArtifactStore) -> None:
    store.write(**RUN, index=0, name="x", values=["old", "values"])
    store.write(**RUN, index=0, name="x", values=["new"])
    assert store.read(**RUN, index=0, name="x") == "new"


# Accessors


@pytest.fixture
def accessor(store: ArtifactStore) -> Accessor:
    for index in range(3):
        store.write(**RUN, index=index, name="x", values=[f"{index}.{number}" for number in range(4)])
    found = store.read(**RUN, name="x")
    assert isinstance(found, Accessor)
    return found


EXPECTED = [f"{index}.{number}" for index in range(3) for number in range(4)]


def test_an_accessor_is_a_sequence(accessor: Accessor) -> None:
    assert len(accessor) == 12
    assert list(accessor) == EXPECTED
    for index in range(-12, 12):
        assert accessor[index] == EXPECTED[index]
    assert list(reversed(accessor)) == EXPECTED[::-1]
    assert "1.2" in accessor
    assert accessor.index("2.0") == 8


@pytest.mark.parametrize("part", [slice(None), slice(2, 5), slice(-3, None), slice(None, None, -2), slice(20, 30)])
def test_a_slice_is_a_list_in_order(accessor: Accessor, part: slice) -> None:
    assert accessor[part] == EXPECTED[part]
    assert type(accessor[part]) is list


@pytest.mark.parametrize("index", [12, -13, 1 << 70])
def test_an_index_past_the_end(accessor: Accessor, index: int) -> None:
    with pytest.raises(IndexError, match=r"12"):
        accessor[index]


@pytest.mark.parametrize("key", ["0", 1.0, None, (1, 2), [0]])
def test_what_is_no_index(accessor: Accessor, key: Any) -> None:
    with pytest.raises(TypeError, match=type(key).__name__):
        accessor[key]


def test_a_slice_is_read_in_one_batch() -> None:
    asked = []

    class Watched(Memory):
        def _read_batch(self, keys: list[bytes]) -> Any:
            asked.append(keys)
            return super()._read_batch(keys)

    store = ArtifactStore(Watched())
    store.write(**RUN, index=0, name="x", values=[1, 2, 1, 3])
    accessor = store.read(**RUN, index=0, name="x")
    asked.clear()
    assert accessor[:3] == [1, 2, 1]
    assert [len(keys) for keys in asked] == [2]  # of two different values


def test_values_of_an_accessor_are_not_shared(store: ArtifactStore) -> None:
    store.write(**RUN, index=0, name="x", values=[[], []])
    first, second = store.read(**RUN, name="x")[:]
    first.append(1)
    assert second == []


def test_an_accessor_is_lazy(store: ArtifactStore) -> None:
    archive = store.write(**RUN, index=0, name="x", values=["good", "gone"])
    store.location.delete(archive.artifacts[1].key("Crawl"))
    accessor = store.read(**RUN, name="x")
    assert accessor[0] == "good"
    with pytest.raises(errors.ArtifactNotFound) as raised:
        accessor[1]
    assert raised.value.block == archive.artifacts[1].key("Crawl")


def test_stores_and_accessors_travel(shared: Location) -> None:
    store = ArtifactStore(shared, serializers={dict: "json"}, level=1)
    store.write(**RUN, index=0, name="x", values=[{"a": 1}, 2])
    again = pickle.loads(pickle.dumps(store.read(**RUN, name="x")))
    assert list(again) == [{"a": 1}, 2]
    assert again == store.read(**RUN, name="x")
    assert again.store == store
    assert ArtifactStore(shared) != store
    again.store.close()


# Lists


def test_lists_are_sorted_and_unique(store: ArtifactStore) -> None:
    for flow, execution, layer, index, name in [
        ("B", "2", "M", 0, "y"),
        ("A", "10", "L", 0, "x"),
        ("A", "2", "L", 1, "z"),
        ("A", "2", "L", 0, "x"),
        ("A", "2", "L", 12, "x"),
        ("A", "2", "K", 0, "x"),
        ("A", "2", "L", 1, "a.b"),
    ]:
        store.write(flow=flow, execution=execution, layer=layer, index=index, name=name, values=[0])
    store.write_record(flow="A", execution="3", layer="L", splits=1)
    store.location.write(b"C/readme.txt", b"of somebody else")
    assert store.list_flows() == ["A", "B"]
    assert store.list_executions(flow="A") == ["10", "2"]
    assert store.list_layers(flow="A", execution="2") == ["K", "L"]
    assert store.list_artifacts(flow="A", execution="2", layer="L") == ["a.b", "x", "z"]
    assert store.list_executions(flow="none") == []


# Bad input


def test_what_is_missing_is_one_error_that_names_the_key(store: ArtifactStore) -> None:
    store.write(**RUN, index=1, name="x", values=[1])
    for arguments, key in [
        ({"index": 0, "name": "x"}, b"Crawl/archives/run-1/Parse/0/x.json"),
        ({"index": 1, "name": "y"}, b"Crawl/archives/run-1/Parse/1/y.json"),
        ({"name": "y"}, b"Crawl/archives/run-1/Parse/*/y.json"),
    ]:
        with pytest.raises(errors.ArtifactNotFound) as raised:
            store.read(**RUN, **arguments)
        assert raised.value.block == key
        assert key.decode() in str(raised.value)
        assert isinstance(raised.value, KeyError)
        assert store.read(**RUN, **arguments, default=None) is None
        assert store.read(**RUN, **arguments, default="other") == "other"
    with pytest.raises(errors.ArtifactNotFound) as raised:
        store.read_record(**RUN)
    assert raised.value.block == b"Crawl/.cache/run-1/Parse/.record.json"
    assert store.read_record(**RUN, default=None) is None


def test_an_archive_that_names_what_is_gone(store: ArtifactStore) -> None:
    archive = store.write(**RUN, index=0, name="x", values=["value"])
    key = archive.artifacts[0].key("Crawl")
    store.location.delete(key)
    with pytest.raises(errors.ArtifactNotFound, match="gone") as raised:
        store.read(**RUN, index=0, name="x", default="none")  # the archive is there: this is damage
    assert raised.value.block == key


WRONG_ARCHIVES = {
    "no JSON": b"{",
    "no text": b"\xff\xfe",
    "nothing": b"",
    "a list": b"[]",
    "no artifacts": b"{}",
    "artifacts that are no list": b'{"artifacts": 3}',
    "an artifact that is no object": b'{"artifacts": ["x"]}',
    "no digest": b'{"artifacts": [{}]}',
    "a digest that leads away": b'{"artifacts": [{"hexdigest": "../../../x"}]}',
    "a digest in capitals": b'{"artifacts": [{"hexdigest": "%s"}]}' % (b"A" * 64),
    "a type that is no string": b'{"artifacts": [{"dtype": 1, "hexdigest": "%s"}]}' % (b"a" * 64),
    "serializers of others": b'{"artifacts": [], "serializers": ["json"]}',
    "deep": b"[" * 100_000,
}


@pytest.mark.parametrize("content", WRONG_ARCHIVES.values(), ids=WRONG_ARCHIVES)
def test_an_archive_that_is_none(store: ArtifactStore, content: bytes) -> None:
    key = b"Crawl/archives/run-1/Parse/0/x.json"
    store.location.write(key, content)
    for index in (0, None):
        with pytest.raises(errors.FormatError, match="archive") as raised:
            store.read(**RUN, index=index, name="x", default=None)
        assert raised.value.block == key
    assert [problem.key for problem in store.verify().problems] == [key.decode()]


DAMAGE = {
    "other bytes": packed(b"other"),
    "cut": packed(b"value")[:-9],
    "no gzip": b"value",
    "empty": b"",
    "more behind": packed(pickle.dumps("value", protocol=5)) + b"x",
}


@pytest.mark.parametrize("content", DAMAGE.values(), ids=DAMAGE)
def test_a_value_that_does_not_match_its_digest(store: ArtifactStore, content: bytes) -> None:
    archive = store.write(**RUN, index=0, name="x", values=["value", "whole"])
    key = archive.artifacts[0].key("Crawl")
    for read in (lambda: store.read(**RUN, name="x")[0], lambda: store.read(**RUN, name="x")[:]):
        store.location.write(key, content, overwrite=True)
        assert [problem.key for problem in store.verify().problems] == [key.decode()]
        with pytest.raises(errors.CorruptError) as raised:
            read()
        assert raised.value.block == key
        # The copy is gone, so that writing the value mends it.
        with pytest.raises(errors.ArtifactNotFound):
            read()
    store.write(**RUN, index=0, name="x", values=["value", "whole"])
    assert list(store.read(**RUN, name="x")) == ["value", "whole"]


def test_names_that_lead_away_are_refused_before_anything_is_written(store: ArtifactStore) -> None:
    for wrong in ("..", "../x", "a/b", "/", "", ".", "a\0b", "a\\b", "x" * 251, "\ud800"):
        for what in ("flow", "execution", "layer", "name"):
            arguments: dict[str, Any] = {**RUN, "name": "x", what: wrong}
            with pytest.raises(ValueError, match=what):
                store.write(**arguments, index=0, values=[1])
            with pytest.raises(ValueError, match=what):
                store.read(**arguments)
    assert contents(store.location) == {}


def test_names_that_stand_for_something_else_are_refused(store: ArtifactStore) -> None:
    with pytest.raises(ValueError, match=r"\.record"):
        store.write(**RUN, index=0, name=".record", values=[1])
    with pytest.raises(ValueError, match=r"\.smartpipe"):
        store.write(**{**RUN, "flow": ".smartpipe"}, index=0, name="x", values=[1])
    assert contents(store.location) == {}


@pytest.mark.parametrize("index, error", [(-1, ValueError), ("0", TypeError), (True, TypeError), (1.0, TypeError)])
def test_what_is_no_index_of_a_layer(store: ArtifactStore, index: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match="index"):
        store.write(**RUN, index=index, name="x", values=[1])
    assert contents(store.location) == {}


@pytest.mark.parametrize("values, error", [("text", "str"), (b"bytes", "bytes"), (3, "int")])
def test_values_that_are_one(store: ArtifactStore, values: Any, error: str) -> None:
    with pytest.raises(TypeError, match=error):
        store.write(**RUN, index=0, name="x", values=values)
    assert contents(store.location) == {}


def test_a_value_that_can_not_be_pickled_leaves_nothing(store: ArtifactStore) -> None:
    with pytest.raises(TypeError, match=r"value 1 of 'x'.*builtins\.function"):
        store.write(**RUN, index=0, name="x", values=["good", lambda: 0])
    assert contents(store.location) == {}


def test_an_iterable_that_fails_leaves_the_old_archive(store: ArtifactStore) -> None:
    store.write(**RUN, index=0, name="x", values=["old"])
    before = contents(store.location)

    def failing() -> Any:
        yield "new"
        raise OSError("the source is gone")

    with pytest.raises(OSError, match="the source is gone"):
        store.write(**RUN, index=0, name="x", values=failing())
    assert contents(store.location) == before


def test_a_location_that_refuses_a_value(tmp_path: Path) -> None:
    store = ArtifactStore(Files(tmp_path, max_size=200))
    with pytest.raises(errors.BlockTooLargeError) as raised:
        store.write(**RUN, index=0, name="x", values=[bytes(range(256)) * 2])
    assert (raised.value.block or b"").startswith(b"Crawl/artifacts/")
    assert store.list_executions(flow="Crawl") == []


@pytest.mark.parametrize("members", [1, 3])
def test_a_few_bytes_that_inflate_to_more_than_the_limit_are_refused(location: Location, members: int) -> None:
    store = ArtifactStore(location, max_artifact_size=1000)
    at_limit = bytes(1000 - len(pickle.dumps(bytes(500), protocol=5)) + 500)
    assert len(pickle.dumps(at_limit, protocol=5)) == 1000
    archive = store.write(**RUN, index=0, name="x", values=[at_limit])
    assert store.read(**RUN, index=0, name="x") == at_limit
    with pytest.raises(errors.BlockTooLargeError, match="value 1 of 'y' has 1001 bytes, more than 1000"):
        store.write(**RUN, index=0, name="y", values=[1, at_limit + b"\0"])
    assert store.list_artifacts(**RUN) == ["x"]

    bomb = b"".join(packed(bytes(30_000_000 // members)) for _ in range(members))
    key = archive.artifacts[0].key("Crawl")
    location.write(key, bomb, overwrite=True)
    for ask in (lambda: store.read(**RUN, index=0, name="x"), lambda: list(Accessor(store, "Crawl", archive))):
        with pytest.raises(errors.BlockTooLargeError, match="more than 1000 bytes") as raised:
            ask()
        assert raised.value.block == key
    assert location.read_bytes(key) == bomb, "who has a higher limit may read it"
    assert [problem.key for problem in store.verify().problems] == [key.decode()]


@pytest.mark.parametrize("level", range(1, 10))
def test_what_is_packed_is_gzip(level: int) -> None:
    random = Random(level)
    text = b"".join(b"%d " % (number * number) for number in range(20_000))
    values = [b"", b"x", text, bytes(3_000_000), random.randbytes(300_000)]
    values += [text[size : 2 * size] for size in range(0, 4000, 97)] + [random.randbytes(size) for size in range(200)]
    found = packing.packed(values, level)
    assert [gzip.decompress(data) for data in found] == values
    assert [
        packing.unpacked(data, digest(value), 3_000_000) for data, value in zip(found, values, strict=True)
    ] == values
    # No name, no time, an unknown system: what it begins with tells nothing of where and when.
    assert {data[:10] for data in found} == {b"\x1f\x8b\x08\0\0\0\0\0\0\xff"}
    assert packing.packed([], level) == []


@pytest.mark.parametrize("level", [-1, 0, 10, "6", None])
def test_what_is_no_level(level: Any) -> None:
    with pytest.raises(ValueError, match="not from 1 to 9"):
        ArtifactStore(Memory(), level=level)


@pytest.mark.parametrize("size", [-1, 0, "6", None, 1.5])
def test_what_is_no_size(size: Any) -> None:
    with pytest.raises(ValueError, match="not a number of bytes"):
        ArtifactStore(Memory(), max_artifact_size=size)


def test_more_values_than_are_packed_at_once(store: ArtifactStore) -> None:
    values: list[object] = [f"value {number % 2300}" * (number % 7) for number in range(6700)]
    values[5000:] = [bytes(1_500_000), *values[5000:]]
    store.write(**RUN, index=0, name="x", values=values)
    assert store.read(**RUN, index=0, name="x")[:] == values
    store.write(**RUN, index=1, name="x", values=[*values, "one more"])
    assert store.verify().artifacts == len({*values, "one more"})
    values[6600] = lambda: None  # what can not be pickled, in a later batch
    with pytest.raises(TypeError, match="value 6600 of 'x'"):
        store.write(**RUN, index=0, name="x", values=values)
    assert len(store.read(**RUN, name="x")) == 2 * 6701 + 1
    assert store.read(**RUN, index=1, name="x")[-1] == "one more"


def test_what_is_no_location() -> None:
    with pytest.raises(TypeError, match="str"):
        ArtifactStore("folder")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="the target is a str"):
        ArtifactStore(Memory()).copy_to("folder")  # type: ignore[arg-type]


def test_archives_as_values() -> None:
    archive = Archive((Artifact("0" * 64, "builtins.int", "json"), Artifact("1" * 64)), sharded=True, indexes=(0, 2))
    assert Archive.from_bytes(archive.to_bytes()) == archive
    with pytest.raises(ValueError, match="SHA-256"):
        Artifact("../x")
