"""Datastores that were made to harm who reads them. Issue 6, «Bad input»; test_plain.py has pickles."""

from __future__ import annotations

import gzip
import io
import json
import pickle
import struct
from hashlib import sha256
from pathlib import Path
from random import Random
from typing import Any

import pytest
from durability.children import Child

from smartpipe import errors
from smartpipe.locations import Files, Location
from smartpipe.stores import ArtifactStore

RUN = {"flow": "F", "execution": "1", "layer": "L"}
ARCHIVE = b"F/archives/1/L/0/x.json"
COMBINED = b"F/.cache/1/L/x.json"
RECORD = b"F/.cache/1/L/.record.json"
GOOD = pickle.dumps("good", protocol=5)
DIGEST = sha256(GOOD).hexdigest()
ENTRY = {"hexdigest": DIGEST, "dtype": "builtins.str"}


@pytest.fixture
def store(location: Location) -> ArtifactStore:
    location.write(f"F/artifacts/{DIGEST}.gz".encode(), gzip.compress(GOOD))
    return ArtifactStore(location, allow_pickle=False)


def all_of_it(store: ArtifactStore) -> None:
    """Everything that reads; errors of smartpipe are no surprise."""
    actions: list[Any] = [
        store.list_flows,
        lambda: store.list_executions(flow="F"),
        lambda: store.list_layers(flow="F", execution="1"),
        lambda: store.list_artifacts(**RUN),
        lambda: store.read(**RUN, name="x"),
        lambda: store.read(**RUN, name="x", index=0),
        lambda: store.read(**RUN, name="x")[:3],
        lambda: store.read_record(**RUN),
        store.verify,
        lambda: store.gc(grace=0),
        lambda: store.write(**RUN, index=1, name="x", values=["more"]),
        lambda: store.read(**RUN, name="x"),
        store.verify,
        lambda: store.delete_execution(flow="F", execution="1"),
    ]
    for action in actions:
        try:
            action()
        except errors.SmartPipeError:
            continue
        except (TypeError, IndexError):
            pass  # a value is no accessor


NO_ARCHIVES: dict[str, bytes] = {
    "nothing": b"",
    "no JSON": b"{",
    "a list": b"[]",
    "a string": b'"artifacts"',
    "null": b"null",
    "no UTF-8": b'{"artifacts": [{"hexdigest": "\xff"}]}',
    "no artifacts": b"{}",
    "artifacts of another kind": b'{"artifacts": {"hexdigest": "x"}}',
    "artifacts that are strings": b'{"artifacts": ["%s"]}' % DIGEST.encode(),
    "a digest that is a number": b'{"artifacts": [{"hexdigest": 7}]}',
    "a digest that is null": b'{"artifacts": [{"hexdigest": null}]}',
    "a digest in upper case": b'{"artifacts": [{"hexdigest": "%s"}]}' % b"A" * 64,
    "a digest in other digits": json.dumps({"artifacts": [{"hexdigest": "\u0661" * 64}]}).encode(),
    "a digest with a line": json.dumps({"artifacts": [{"hexdigest": DIGEST + "\n"}]}).encode(),
    "a digest that leads away": json.dumps({"artifacts": [{"hexdigest": "../" * 20 + "etc/passwd"}]}).encode(),
    "a short digest": b'{"artifacts": [{"hexdigest": "abc"}]}',
    "a type that is a number": json.dumps({"artifacts": [{**ENTRY, "dtype": 7}]}).encode(),
    "serializers that are too many": json.dumps({"artifacts": [ENTRY], "serializers": ["json"] * 2}).encode(),
    "serializers of another kind": json.dumps({"artifacts": [ENTRY], "serializers": {"0": "json"}}).encode(),
    "a serializer that is a list": json.dumps({"artifacts": [ENTRY], "serializers": [["json"]]}).encode(),
    "nested deep": b'{"artifacts": ' + b"[" * 200_000 + b"]" * 200_000 + b"}",
    "nested deep beside": b'{"artifacts": [], "x": ' + b'{"a":' * 100_000 + b"1" + b"}" * 100_000 + b"}",
    "a number of many digits": b'{"artifacts": [], "x": ' + b"9" * 100_000 + b"}",
    "indexes that are none": json.dumps({"artifacts": [ENTRY], "combined": ["0"]}).encode(),
    "indexes that are true": json.dumps({"artifacts": [ENTRY], "combined": [True]}).encode(),
    "two artifacts keys, the last no list": b'{"artifacts": [], "artifacts": 1}',
}


@pytest.mark.parametrize("content", NO_ARCHIVES.values(), ids=list(NO_ARCHIVES))
def test_what_is_no_archive(store: ArtifactStore, content: bytes) -> None:
    store.location.write(ARCHIVE, content)
    for index in (0, None):
        with pytest.raises(errors.FormatError) as raised:
            store.read(**RUN, name="x", index=index)
        assert raised.value.block == ARCHIVE
    assert [problem.key for problem in store.verify().problems] == [ARCHIVE.decode()]
    with pytest.raises(errors.FormatError):
        store.gc(grace=0)  # it may name anything
    assert store.location.read_bytes(f"F/artifacts/{DIGEST}.gz".encode()) is not None
    store.location.write(COMBINED, content)
    all_of_it(store)
    store.write(**RUN, index=0, name="x", values=["new"])
    assert store.read(**RUN, index=0, name="x") == "new"


STRANGE: dict[str, bytes] = {
    "the last of two keys counts": b'{"artifacts": [], "artifacts": [%s]}' % json.dumps(ENTRY).encode(),
    "numbers that are none": b'{"artifacts": [%s], "x": [NaN, Infinity, 1e999]}' % json.dumps(ENTRY).encode(),
    "more than is known": json.dumps({"artifacts": [{**ENTRY, "more": [1]}], "sharded": 1, "other": None}).encode(),
    "half of a pair as a type": json.dumps({"artifacts": [{**ENTRY, "dtype": "\ud800"}]}).encode(),
    "in UTF-16": json.dumps({"artifacts": [ENTRY]}).encode("utf-16"),
}


@pytest.mark.parametrize("content", STRANGE.values(), ids=list(STRANGE))
def test_a_strange_archive(store: ArtifactStore, content: bytes) -> None:
    store.location.write(ARCHIVE, content)
    assert store.read(**RUN, index=0, name="x") == "good"
    assert store.verify().ok
    assert store.gc(grace=0).removed == []
    all_of_it(store)


@pytest.mark.parametrize("splits", [b"-1", b"1.5", b'"2"', b"true", b"null", b"1" + b"0" * 18 + b"1", b"9" * 50_000])
def test_a_record_that_lies(store: ArtifactStore, splits: bytes) -> None:
    store.location.write(ARCHIVE, json.dumps({"artifacts": [ENTRY]}).encode())
    record = b'{"flow": {"name": "F"}, "layer": {"name": "L"}, "execution": {"splits": %s}}'
    store.location.write(RECORD, record % splits)
    with pytest.raises(errors.FormatError) as raised:
        store.read(**RUN, name="x")
    assert raised.value.block == RECORD
    all_of_it(store)


@pytest.mark.parametrize("splits", [1 << 30, 10**18])
@pytest.mark.parametrize("combined", [[], [0], [0, 1], [1, 0], [-1], [10**30], list(range(1000))])
def test_a_combined_archive_that_lies_under_a_record_that_lies(
    store: ArtifactStore, splits: int, combined: list[int]
) -> None:
    store.location.write(ARCHIVE, json.dumps({"artifacts": [ENTRY]}).encode())
    store.location.write(COMBINED, json.dumps({"artifacts": [ENTRY] * 3, "combined": combined}).encode())
    store.write_record(**RUN, splits=splits)
    with pytest.raises(errors.ArtifactNotFound, match=r"/1/x\.json"):
        store.read(**RUN, name="x")
    assert [problem.key for problem in store.verify().problems] == [COMBINED.decode()]
    all_of_it(store)


# Artifacts


def named(store: ArtifactStore, data: bytes, stored: bytes, dtype: str, serializer: str | None = None) -> None:
    """Put bytes where the artifact of some data is, and an archive that names it."""
    digest = sha256(data).hexdigest()
    store.location.write(f"F/artifacts/{digest}.gz".encode(), stored, overwrite=True)
    archive: dict[str, Any] = {"artifacts": [{"hexdigest": digest, "dtype": dtype}]}
    if serializer is not None:
        archive["serializers"] = [serializer]
    store.location.write(ARCHIVE, json.dumps(archive).encode(), overwrite=True)


PACKED = gzip.compress(GOOD)
NO_GZIP: dict[str, bytes] = {
    "nothing": b"",
    "not packed": GOOD,
    "cut in the head": PACKED[:5],
    "cut in the data": PACKED[:-12],
    "cut in the checksum": PACKED[:-6],
    "without the length": PACKED[:-4],
    "a wrong checksum": PACKED[:-8] + b"\0\0\0\0" + PACKED[-4:],
    "a wrong length": PACKED[:-4] + b"\1\0\0\0",
    "bytes behind it": PACKED + b"more",
    "half of a second member": PACKED + PACKED[:8],
    "a second member with more": PACKED + gzip.compress(b"more"),
    "a name without an end": PACKED[:3] + b"\x08" + PACKED[4:10] + b"n" * 100,
    "another value": gzip.compress(b"other"),
}


@pytest.mark.parametrize("stored", NO_GZIP.values(), ids=list(NO_GZIP))
def test_an_artifact_that_is_not_its_value(store: ArtifactStore, stored: bytes) -> None:
    for read in (
        lambda: store.read(**RUN, index=0, name="x"),
        lambda: store.read(**RUN, name="x"),
        lambda: list(store.read(**RUN, name="y")),
    ):
        named(store, GOOD, stored, "builtins.str")
        store.location.write(
            ARCHIVE.replace(b"x.json", b"y.json"), json.dumps({"artifacts": [ENTRY] * 2}).encode(), overwrite=True
        )
        assert store.verify().problems[0].key == f"F/artifacts/{DIGEST}.gz"
        with pytest.raises(errors.CorruptError):
            read()
        # The copy is gone, and written again it is whole.
        with pytest.raises(errors.ArtifactNotFound):
            read()


@pytest.mark.parametrize("stored", NO_GZIP.values(), ids=list(NO_GZIP))
def test_an_artifact_that_is_cut_is_written_again(store: ArtifactStore, stored: bytes) -> None:
    """As a power loss leaves it, or a program that does not write aside."""
    if stored == NO_GZIP["a name without an end"]:
        pytest.skip("it ends as the value does")
    named(store, GOOD, stored, "builtins.str")
    store = ArtifactStore(store.location)
    for _ in range(2):
        store.write(**RUN, index=1, name="x", values=["good"])
        assert store.read(**RUN, index=1, name="x") == "good"
    assert store.verify().ok


WHOLE: dict[str, bytes] = {
    "of two members": gzip.compress(GOOD[:3]) + gzip.compress(GOOD[3:]),
    "of empty members too": gzip.compress(b"") + PACKED + gzip.compress(b""),
    "with zeros behind it": PACKED + bytes(512),
    "with a name": PACKED[:3] + b"\x08" + PACKED[4:10] + b"name\0" + PACKED[10:],
}


@pytest.mark.parametrize("stored", WHOLE.values(), ids=list(WHOLE))
def test_an_artifact_that_another_program_packed(store: ArtifactStore, stored: bytes) -> None:
    named(store, GOOD, stored, "builtins.str")
    assert store.read(**RUN, index=0, name="x") == "good"
    store = ArtifactStore(store.location)
    store.write(**RUN, index=1, name="x", values=["good"])
    assert store.location.read_bytes(f"F/artifacts/{DIGEST}.gz".encode()) == stored
    assert store.verify().ok


# What is in them


def array(header: str, body: bytes) -> bytes:
    text = header.encode()
    text += b" " * (-(len(text) + 11) % 64) + b"\n"
    return b"\x93NUMPY\1\0" + struct.pack("<H", len(text)) + text + body


def several_arrays() -> bytes:
    numpy = pytest.importorskip("numpy")
    stream = io.BytesIO()
    numpy.savez(stream, a=numpy.zeros(3))
    return stream.getvalue()


ARRAYS = {
    "several": several_arrays,
    "a pickle": lambda: pickle.dumps([1]),
    "too large": lambda: array("{'descr': '<f8', 'fortran_order': False, 'shape': (1000000000000000,), }", b"x" * 80),
    "too short": lambda: array("{'descr': '<f8', 'fortran_order': False, 'shape': (11,), }", b"x" * 80),
    "negative": lambda: array("{'descr': '<f8', 'fortran_order': False, 'shape': (-1,), }", b"x" * 80),
    "of objects": lambda: array("{'descr': '|O', 'fortran_order': False, 'shape': (1,), }", pickle.dumps([1])),
    "with objects": lambda: array("{'descr': [('a', '|O')], 'fortran_order': False, 'shape': (1,), }", b"x" * 80),
    "nested": lambda: array("(" * 5000 + ")" * 5000, b""),
    "no dictionary": lambda: array("__import__('os')", b""),
}


@pytest.mark.parametrize("kind", ARRAYS)
def test_what_is_no_array(store: ArtifactStore, kind: str) -> None:
    pytest.importorskip("numpy")
    data = ARRAYS[kind]()
    named(store, data, gzip.compress(data), "numpy.ndarray", "numpy")
    with pytest.raises(errors.FormatError):
        store.read(**RUN, index=0, name="x")
    assert store.verify().ok  # its bytes are what they were


def stream_of(table: Any) -> bytes:
    pyarrow = pytest.importorskip("pyarrow")
    sink = pyarrow.BufferOutputStream()
    with pyarrow.ipc.new_stream(sink, table.schema) as writer:
        writer.write(table)
    return bytes(sink.getvalue().to_pybytes())


OFFSETS = {
    "past the end": (0, 8, 16, 2_000_000_000),
    "before the beginning": (-2_000_000_000, 8, 16, 24),
    "back": (0, 16, 8, 24),
}


@pytest.mark.parametrize("offsets", OFFSETS.values(), ids=list(OFFSETS))
def test_a_table_whose_offsets_lead_elsewhere(store: ArtifactStore, offsets: tuple[int, ...]) -> None:
    """Who uses them reads foreign memory, or is killed."""
    pyarrow = pytest.importorskip("pyarrow")
    data = stream_of(pyarrow.table({"x": ["a" * 8, "b" * 8, "c" * 8]}))
    there = struct.pack("<4i", 0, 8, 16, 24)
    assert data.count(there) == 1
    data = data.replace(there, struct.pack("<4i", *offsets))
    named(store, data, gzip.compress(data), "pyarrow.lib.Table", "arrow")
    with pytest.raises(errors.FormatError):
        store.read(**RUN, index=0, name="x")


def test_changed_tables_kill_nobody(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    words = pyarrow.array(["a", "b", "a"]).dictionary_encode()
    data = stream_of(pyarrow.table({"text": ["abc", "d", None], "list": [[1], [2, 3], []], "words": words}))

    def work(tell: Any) -> None:
        random = Random(1)
        store = ArtifactStore(Files(tmp_path), allow_pickle=False)
        for _ in range(1000):
            changed = bytearray(data)
            for _ in range(random.randint(1, 3)):
                changed[random.randrange(len(changed))] = random.randrange(256)
            named(store, changed, gzip.compress(changed, 1), "pyarrow.lib.Table", "arrow")
            try:
                store.read(**RUN, index=0, name="x").to_pylist()
            except (errors.FormatError, ValueError, OverflowError):
                continue  # such as dates of the year 300,000

    Child(work).end()


def test_a_table_that_could_not_be_read_is_not_written(store: ArtifactStore) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    broken = pyarrow.array([b"\xff\xff"]).view(pyarrow.string())
    with pytest.raises(TypeError, match="arrow"):
        store.write(**RUN, index=0, name="x", values=[pyarrow.table({"x": broken})])
    assert store.read(**RUN, index=0, name="x", default=None) is None
