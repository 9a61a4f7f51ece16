"""How values become bytes, and what is loaded where nothing may be executed. Issue 6."""

from __future__ import annotations

import copyreg
import gzip
import hashlib
import json
import math
import os
import pickle
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy
import pyarrow
import pytest

from smartpipe import errors
from smartpipe.locations import Location, Memory
from smartpipe.stores import ArtifactStore, Pickle, Raw, Serializer

from .places import contents

RUN = {"flow": "F", "execution": "1", "layer": "L"}


def plant(location: Location, data: bytes, **entry: str) -> None:
    """Store bytes as another program does, as the value of «x»."""
    digest = hashlib.sha256(data).hexdigest()
    location.write(f"F/artifacts/{digest}.gz".encode(), gzip.compress(data))
    archive = json.dumps({"artifacts": [{**entry, "hexdigest": digest}]})
    location.write(b"F/archives/1/L/0/x.json", archive.encode(), overwrite=True)


def back(store: ArtifactStore, value: object) -> Any:
    store.write(**RUN, index=0, name="x", values=[value])
    return store.read(**RUN, name="x")


def stored(location: Location) -> bytes:
    """The serialized bytes of the only artifact."""
    [data] = [value for key, value in contents(location).items() if b"/artifacts/" in key]
    return gzip.decompress(data or b"")


# Kinds


def test_json_raw_bytes_numpy_and_arrow_are_what_others_read() -> None:
    table = pyarrow.table({"a": [1, 2], "b": ["x", None]})
    array = numpy.arange(6, dtype="<i2").reshape(2, 3)
    for value, kind, read in [
        ({"ä": [1, 2.5, None, True]}, "json", json.loads),
        (b"\x80\x05.", "bytes", bytes),  # looks like a pickle
        (table, "arrow", lambda data: pyarrow.ipc.open_stream(data).read_all()),
    ]:
        location = Memory()
        assert back(ArtifactStore(location, serializers={type(value): kind}), value) == value
        assert read(stored(location)) == value
    location = Memory()
    found = back(ArtifactStore(location, serializers={numpy.ndarray: "numpy"}), array)
    assert (found.dtype, found.tolist()) == (array.dtype, array.tolist())
    assert stored(location).startswith(b"\x93NUMPY")


@pytest.mark.parametrize(
    "value",
    [None, True, 0, -(1 << 100), 1.5, math.inf, "", "ä\n\0😀", [], [1, [2]], {}, {"b": 1, "a": {"c": []}}, b"", b"\0x"],
    ids=repr,
)
def test_without_pickle_plain_values_come_back(value: object) -> None:
    found = back(ArtifactStore(Memory(), allow_pickle=False), value)
    assert (type(found), found) == (type(value), value)
    if isinstance(value, dict):
        assert list(found) == list(value)


def test_without_pickle_arrays_tables_and_batches_come_back(location: Location) -> None:
    store = ArtifactStore(location, allow_pickle=False)
    array = numpy.asfortranarray(numpy.array([[1.5, math.nan], [0, -0.0]]))
    found = back(store, array)
    assert found.tobytes("A") == array.tobytes("A") and found.flags.f_contiguous
    times = numpy.array(["2026-11-22T05:00:00.000000001"], dtype="datetime64[ns]")
    assert back(store, times) == times
    table = pyarrow.table({"a": pyarrow.chunked_array([[1], [2, 3]])})
    assert back(store, table).equals(table)
    assert back(store, table.slice(1, 1)).equals(table.slice(1, 1))
    batch = table.to_batches()[0]
    assert type(back(store, batch)) is pyarrow.RecordBatch and back(store, batch).equals(batch)


@pytest.mark.parametrize(
    "value",
    [(1,), {1: 2}, {"a": (1,)}, [{3}], OrderedDict(a=1), numpy.array([object()]), numpy.float64(1.5), "\ud800", 1j],
    ids=lambda value: type(value).__name__,
)
def test_without_pickle_what_would_come_back_as_something_else_is_refused(value: object) -> None:
    location = Memory()
    with pytest.raises(TypeError, match=f"value 0 of 'x'.*{type(value).__name__}"):
        ArtifactStore(location, allow_pickle=False).write(**RUN, index=0, name="x", values=[value])
    assert contents(location) == {}


def test_a_serializer_is_for_exactly_its_type(location: Location) -> None:
    class Text(str):
        __slots__ = ()

    store = ArtifactStore(location, serializers={str: "json"})
    store.write(**RUN, index=0, name="x", values=["a"])
    assert stored(location) == b'"a"'
    with pytest.raises(TypeError, match="Text"):  # pickled, which a class of a function can not be
        store.write(**RUN, index=0, name="y", values=[Text("a")])


def test_what_was_written_otherwise_before_is_still_read(location: Location) -> None:
    """Neither what a type is registered for now nor what it was registered for is asked."""
    plain, as_json = ArtifactStore(location), ArtifactStore(location, serializers={dict: "json", bytes: "bytes"})
    plain.write(**RUN, index=0, name="x", values=[{"a": 0}, b"raw"])
    as_json.write(**RUN, index=1, name="x", values=[{"a": 1}, b"raw"])
    for store in (plain, as_json, ArtifactStore(location, allow_pickle=False)):
        for _ in range(2):  # the second time from the combined archive
            assert list(store.read(**RUN, name="x")) == [{"a": 0}, b"raw", {"a": 1}, b"raw"]


class Reversed(Serializer):
    name = "reversed"

    def dumps(self, value: Any) -> bytes:
        return bytes(reversed(value))

    def loads(self, data: bytes, dtype: str | None) -> Any:
        assert dtype == "builtins.bytearray"
        return bytearray(reversed(data))


def test_a_serializer_of_ones_own(location: Location) -> None:
    store = ArtifactStore(location, serializers={bytearray: Reversed()})
    assert back(store, bytearray(b"abc")) == bytearray(b"abc")
    assert stored(location) == b"cba"
    assert back(
        pickle.loads(pickle.dumps(ArtifactStore(Memory(), serializers={bytearray: Reversed()}))), bytearray(b"ab")
    )
    with pytest.raises(errors.FormatError, match="'reversed'"):
        ArtifactStore(location).read(**RUN, name="x")


def test_a_serializer_of_another_program_is_chosen_by_the_type(location: Location) -> None:
    plant(location, b"cba", dtype="builtins.bytearray")
    assert ArtifactStore(location, serializers={"builtins.bytearray": Reversed()}).read(**RUN, name="x") == b"abc"


class Nameless(Serializer):
    def dumps(self, value: Any) -> bytes:
        return b""

    def loads(self, data: bytes, dtype: str | None) -> Any:
        return None


@pytest.mark.parametrize(
    "kind, serializer, error, words",
    [
        (5, "json", TypeError, "for 5"),
        (str, 5, TypeError, "5 for"),
        (str, Reversed, TypeError, "a serializer, or its name"),
        (str, Nameless(), TypeError, "has no name"),
        ("str", "json", ValueError, "no full name"),
    ],
)
def test_what_can_not_be_registered(kind: Any, serializer: Any, error: type[Exception], words: str) -> None:
    store = ArtifactStore(Memory())
    with pytest.raises(error, match=words):
        store.register(kind, serializer)
    with pytest.raises(error, match=words):
        ArtifactStore(Memory(), serializers={kind: serializer})


def test_a_serializer_that_gives_no_bytes_is_named() -> None:
    class Text(Reversed):
        name = "text"

        def dumps(self, value: Any) -> Any:
            return "text"

    store = ArtifactStore(Memory(), serializers={str: Text()})
    with pytest.raises(TypeError, match=r"value 1 of 'x' is a builtins\.str, .* as text: `dumps` gave a str"):
        store.write(flow="f", execution="1", layer="l", index=0, name="x", values=[1, "a"])


def test_serializers_that_are_none() -> None:
    with pytest.raises(ValueError, match="'yaml'"):
        ArtifactStore(Memory(), serializers={str: "yaml"})

    class Other(Raw):
        name = "json"

    with pytest.raises(ValueError, match="'json'"):
        ArtifactStore(Memory(), serializers={bytes: Other()})


# Nothing is executed


class Wicked:
    """Makes a folder when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("protocol", range(2, 6))
def test_a_pickle_that_wants_to_run_code_is_not_loaded(location: Location, tmp_path: Path, protocol: int) -> None:
    trap = tmp_path / "trap"
    plant(location, pickle.dumps([Wicked(trap)], protocol=protocol), dtype="builtins.list")
    for store in (
        ArtifactStore(location, allow_pickle=False),
        ArtifactStore(location, allow_pickle=False, serializers={list: "pickle"}),
        ArtifactStore(location, allow_pickle=False, serializers={list: Pickle(True)}),
        pickle.loads(pickle.dumps(ArtifactStore(location, allow_pickle=False))),
    ):
        with pytest.raises(errors.UnsupportedError, match=r"posix\.mkdir.*allow_pickle") as raised:
            store.read(**RUN, name="x")
        assert (raised.value.block or b"").startswith(b"F/artifacts/")
        store.close()
    assert not trap.exists()
    ArtifactStore(location).read(**RUN, name="x")
    assert trap.exists()


def test_a_pickle_of_protocol_0_is_not_loaded_without_pickle(location: Location, tmp_path: Path) -> None:
    plant(location, pickle.dumps(Wicked(tmp_path / "trap"), protocol=0))
    with pytest.raises(errors.UnsupportedError):
        ArtifactStore(location, allow_pickle=False).read(**RUN, name="x")
    assert not (tmp_path / "trap").exists()


@pytest.mark.parametrize(
    "data",
    [
        b"\x80\x02c__builtin__\neval\n(X\x01\x00\x00\x001tR.",  # GLOBAL, REDUCE
        b"\x80\x04\x8c\x08builtins\x8c\x04eval\x93.",  # STACK_GLOBAL
        b"(i__builtin__\neval\n.",  # INST
        b"\x80\x02Pname\n.",  # PERSID
        b"\x80\x02N\x51.",  # BINPERSID
    ],
    ids=repr,
)
def test_every_way_to_name_something_is_refused(data: bytes) -> None:
    location = Memory()
    plant(location, data)
    with pytest.raises(errors.UnsupportedError, match="allow_pickle"):
        ArtifactStore(location, allow_pickle=False).read(**RUN, name="x")


def test_what_another_pickle_brought_in_by_number_is_refused(tmp_path: Path) -> None:
    """copyreg's extensions that were loaded once come without being looked up."""
    location = Memory()
    copyreg.add_extension("posix", "mkdir", 240)
    try:
        data = pickle.dumps(Wicked(tmp_path / "trap"), protocol=5)
        assert b"mkdir" not in data
        pickle.loads(data)
        (tmp_path / "trap").rmdir()
        plant(location, data)
        with pytest.raises(errors.UnsupportedError, match="extension 240"):
            ArtifactStore(location, allow_pickle=False).read(**RUN, name="x")
        assert not (tmp_path / "trap").exists()
    finally:
        copyreg.remove_extension("posix", "mkdir", 240)


def test_pickles_of_data_are_loaded_without_pickle(location: Location) -> None:
    value = {"a": (1, -(1 << 90), 2.5), b"b": [None, True, "ä", {1, 2}, frozenset([3])], "\x82\x83": b"\x82\x83\x84"}
    plant(location, pickle.dumps(value, protocol=4), dtype="builtins.dict")
    assert ArtifactStore(location, allow_pickle=False).read(**RUN, name="x") == value


@pytest.mark.parametrize("allow_pickle", [True, False])
@pytest.mark.parametrize("data", [b"", b"\x80\x05", b"junk", pickle.dumps([1, 2])[:-3], b"\x80\x7f."], ids=repr)
def test_bytes_that_are_no_pickle(location: Location, data: bytes, allow_pickle: bool) -> None:
    plant(location, data)
    with pytest.raises(errors.FormatError, match="pickle") as raised:
        ArtifactStore(location, allow_pickle=allow_pickle).read(**RUN, name="x")
    assert (raised.value.block or b"").startswith(b"F/artifacts/")


def test_a_pickle_of_something_that_is_not_there() -> None:
    location = Memory()
    plant(location, b"\x80\x02cno_such_module\nThing\n.")
    with pytest.raises(errors.FormatError, match="no_such_module"):
        ArtifactStore(location).read(**RUN, name="x")
