"""Many values read together: inflated ahead by a thread, from whatever gzip bytes there are."""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import os
import pickle
import random
import struct
import threading
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from container.process import run
from durability.children import Child
from hostile import child

from smartpipe import engines, errors
from smartpipe.locations import Location, Memory
from smartpipe.stores import ArtifactStore
from smartpipe.stores.packing import inflated, packed, unpacked

RUN: dict[str, Any] = {"flow": "Crawl", "execution": "1", "layer": "Parse", "index": 0, "name": "x"}
LIMIT = 1 << 20
VALUE = b"a line of some text\n" * 40
C = engines()["zlib"]["engine"] == "libdeflate"
"""Whether gzip is read through C here; it takes a second look otherwise."""


def member(data: bytes, *, level: int = 6, strategy: int = zlib.Z_DEFAULT_STRATEGY, head: bytes = b"") -> bytes:
    """A member of gzip; `head` takes the place of the first ten bytes."""
    stream = zlib.compressobj(level, zlib.DEFLATED, 31, 8, strategy)
    found = stream.compress(data) + stream.flush()
    return head + found[10:] if head else found


def trailer(data: bytes, size: int) -> bytes:
    """Gzip bytes that say another size."""
    return data[:-4] + struct.pack("<I", size & 0xFFFFFFFF)


SIMPLE = {
    "of Python": gzip.compress(VALUE, 9),
    "of ours": packed([VALUE], 2)[0],
    "stored": member(VALUE, level=0),
    "fixed codes": member(VALUE, strategy=zlib.Z_FIXED),
    "Huffman only": member(VALUE, strategy=zlib.Z_HUFFMAN_ONLY),
    "a name": member(VALUE, head=b"\x1f\x8b\x08\x08\0\0\0\0\0\x03name\0"),
    "a comment, a time": member(VALUE, head=b"\x1f\x8b\x08\x10\1\2\3\4\2\x03comment\0"),
    "an extra field": member(VALUE, head=b"\x1f\x8b\x08\x04\0\0\0\0\0\x03\x04\x00abcd"),
}


@pytest.mark.parametrize("data", SIMPLE.values(), ids=SIMPLE)
def test_whatever_gzip_makes_is_read(data: bytes) -> None:
    assert unpacked(data, hashlib.sha256(VALUE).hexdigest(), LIMIT) == VALUE
    assert inflated([None, data, data], LIMIT) == ([None, VALUE, VALUE] if C else [None] * 3)


def test_a_value_of_nothing_and_of_one_byte() -> None:
    for value in (b"", b"x"):
        for data in (gzip.compress(value), *packed([value], 2)):
            assert unpacked(data, hashlib.sha256(value).hexdigest(), LIMIT) == value
            assert inflated([data], LIMIT) == ([value] if C else [None])


ODD = {
    "two members": member(VALUE[:100]) + member(VALUE[100:]),
    "an empty member behind": member(VALUE) + member(b""),
    "zeros behind": member(VALUE) + bytes(512),  # gzip itself skips them
}
WRONG = {
    "nothing": b"",
    "too short for a trailer": member(VALUE)[:17],
    "bytes behind": member(VALUE) + b"x",
    "cut": member(VALUE)[:-1],
    "no trailer": member(VALUE)[:-8],
    "one byte less than it has": trailer(member(VALUE), len(VALUE) - 1),
    "one byte more than it has": trailer(member(VALUE), len(VALUE) + 1),
    "a size that is made up": trailer(member(VALUE), 0xFFFFFFFF),
    "another checksum": member(VALUE)[:-8] + bytes(4) + member(VALUE)[-4:],
    "another method": member(VALUE, head=b"\x1f\x8b\x07\0\0\0\0\0\0\x03"),
    "a flag that means nothing": member(VALUE, head=b"\x1f\x8b\x08\xe0\0\0\0\0\0\x03"),
    "a name without an end": b"\x1f\x8b\x08\x08\0\0\0\0\0\x03" + b"n" * 30,
    "no gzip": VALUE,
    "another value": member(VALUE[1:]),
}


@pytest.mark.parametrize("name", [*ODD, *WRONG])
def test_what_takes_a_second_look_stays_apart(name: str) -> None:
    data = (ODD | WRONG)[name]
    digest = hashlib.sha256(VALUE).hexdigest()
    assert unpacked(data, digest, LIMIT) == (VALUE if name in ODD else None)
    first, found, last = inflated([member(b"first"), data, member(b"last")], LIMIT)
    assert (first, last) == ((b"first", b"last") if C else (None, None))
    assert found == (VALUE[1:] if C and name == "another value" else None)


def test_a_value_with_any_byte_changed_or_cut_off_is_none() -> None:
    data, digest = member(VALUE), hashlib.sha256(VALUE).hexdigest()
    changed = [
        data[:at] + bytes([data[at] ^ bit]) + data[at + 1 :] for at in range(len(data)) for bit in (1, 0x20, 0x80)
    ]
    changed += [data[:size] for size in range(len(data))]
    for some, found in zip(changed, inflated(changed, LIMIT), strict=True):
        assert found in (None, VALUE)  # of the header some bytes say nothing about the value
        assert unpacked(some, digest, LIMIT) in (None, VALUE)


def test_the_limit_holds_for_what_a_value_says_and_for_what_it_has() -> None:
    digest = hashlib.sha256(VALUE).hexdigest()
    lying = trailer(member(VALUE), 10)
    with contextlib.suppress(errors.BlockTooLargeError):  # damaged it is as well
        assert unpacked(lying, digest, len(VALUE) - 1) is None
    assert inflated([lying], len(VALUE) - 1) == [None]
    for data in (member(VALUE), member(VALUE[:10]) + member(VALUE[10:])):
        with pytest.raises(errors.BlockTooLargeError):
            unpacked(data, digest, len(VALUE) - 1)
        assert inflated([data], len(VALUE) - 1) == [None]
    assert unpacked(member(VALUE), digest, len(VALUE)) == VALUE


def test_little_is_inflated_at_once_of_what_inflates_to_very_much() -> None:
    data, large = gzip.compress(bytes(1 << 20)), gzip.compress(bytes(64 << 20))
    found = inflated([data] * 31 + [large] + [data] * 70, 1 << 30)
    assert sum(len(value) for value in found if value is not None) == (32 << 20 if C else 0)
    assert found[31] is None


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="the memory of a process is read as Linux tells it")
@pytest.mark.parametrize("parts", [1, 2])
def test_a_value_is_in_memory_once_while_it_is_inflated(parts: int) -> None:
    value = bytes(64 << 20)
    data = b"".join(gzip.compress(value[: len(value) // parts], 1) for _ in range(parts))
    digest = hashlib.sha256(value).hexdigest()
    del value
    # Of several members the whole is put together.
    child.run(lambda: unpacked(data, digest, 1 << 30) is not None, memory=(80 if parts == 1 else 180) << 20)


def test_a_size_that_there_is_no_memory_for_is_no_lack_of_memory() -> None:
    value = os.urandom(1 << 20)
    data, digest = gzip.compress(value, 1), hashlib.sha256(value).hexdigest()
    lying = trailer(data, 1000 << 20)

    def read() -> tuple[object, object, object]:
        return unpacked(lying, digest, 1 << 30), inflated([lying, data], 1 << 30)[1] in (None, value), None

    assert child.run(read, memory=200 << 20).answer[:2] == (None, True)


READING = """
import base64, sys
from smartpipe.stores.packing import packed, unpacked
for line in sys.stdin if len(sys.argv) < 2 else sys.argv[2:]:
    found = unpacked(base64.b64decode(line), sys.argv[1], 1 << 20)
    print(None if found is None else len(found))
"""


def test_every_binding_reads_the_same() -> None:
    import base64

    given = [base64.b64encode(data).decode() for data in (SIMPLE | ODD | WRONG).values()]
    digest = hashlib.sha256(VALUE).hexdigest()
    expected = "".join(f"{len(VALUE)}\n" for _ in SIMPLE | ODD) + "None\n" * len(WRONG)
    for engine in ("c", "zlib-ng", "python"):
        assert run(READING, digest, *given, SMARTPIPE_ENGINE=engine) == expected, engine


# Iterating


@pytest.fixture
def many(location: Location) -> tuple[ArtifactStore, list[Any]]:
    """A store of more values than an iteration reads at once, some of them equal."""
    chance = random.Random(7)
    values: list[Any] = [{"number": n % 4000, "text": "text " * chance.randrange(30)} for n in range(5000)]
    store = ArtifactStore(location)
    store.write(**RUN, values=values)
    return store, values


def test_an_iteration_gives_all_values_in_order(many: tuple[ArtifactStore, list[Any]]) -> None:
    store, values = many
    accessor = store.read(**RUN)
    assert list(accessor) == values
    assert accessor[:] == values
    one, other = iter(accessor), iter(accessor)
    assert [value for pair in zip(one, other, strict=True) for value in pair] == [v for v in values for _ in range(2)]


def test_an_iteration_that_ends_early_leaves_nothing_running(many: tuple[ArtifactStore, list[Any]]) -> None:
    store, values = many
    before = set(threading.enumerate())
    for taken in (1, 3, 100, 300, 4000):
        iteration = iter(store.read(**RUN))
        assert [next(iteration) for _ in range(taken)] == values[:taken]
        del iteration
    for thread in set(threading.enumerate()) - before:
        thread.join(10)
        assert not thread.is_alive()


ABANDONED = """
import gc, sys, threading
from smartpipe.locations import Memory
from smartpipe.stores import ArtifactStore
from smartpipe.stores.accessor import Accessor

run = {"flow": "Crawl", "execution": "1", "layer": "Parse", "index": 0, "name": "x"}
store = ArtifactStore(Memory("abandoned"))
store.write(**run, values=range(5000))
for taken in (70, 500, 4000):
    held = [iter(store.read(**run))]
    held.append(held)
    assert [next(held[0]) for _ in range(taken)] == list(range(taken))
    del held
    with threading._active_limbo_lock:  # as where `threading` makes garbage be collected
        gc.collect()
left = iter(store.read(**run))
print([next(left) for _ in range(300)] == list(range(300)))
"""


def test_an_iteration_that_garbage_collection_ends_waits_for_nobody() -> None:
    assert run(ABANDONED) == "True\n"


def test_without_a_thread_to_be_had_values_are_read_all_the_same(
    many: tuple[ArtifactStore, list[Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    store, values = many

    def refuse(self: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    assert list(store.read(**RUN)) == values


def test_many_threads_iterate_over_one_accessor(many: tuple[ArtifactStore, list[Any]]) -> None:
    store, values = many
    accessor, found = store.read(**RUN), []
    threads = [threading.Thread(target=lambda: found.append(list(accessor) == values)) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [True] * 6


def test_a_forked_child_goes_on_with_an_iteration(many: tuple[ArtifactStore, list[Any]]) -> None:
    store, values = many
    iteration = iter(store.read(**RUN))
    begun = [next(iteration) for _ in range(700)]

    def work(tell: Callable[[str], None]) -> None:
        tell(str(begun + list(iteration) == values))

    assert Child(work).end() == ["True"]
    assert begun + list(iteration) == values


def test_values_before_a_damaged_one_are_given(many: tuple[ArtifactStore, list[Any]]) -> None:
    store, values = many
    artifact = store.read_archive(**RUN).artifacts[3000]
    store.location.write(artifact.key("Crawl"), gzip.compress(pickle.dumps("another")), overwrite=True)
    found = []
    with pytest.raises(errors.CorruptError) as raised:
        for value in store.read(**RUN):
            found.append(value)
    assert raised.value.block == artifact.key("Crawl")
    assert found == values[:3000]


class Failing(Memory):
    """A location that can not be read after some batches."""

    left = 0
    error: Exception

    def _read_batch(self, keys: list[bytes]) -> Iterator[tuple[bytes, bytes | None]]:
        self.left -= 1
        if self.left < 0:
            raise self.error
        return super()._read_batch(keys)


@pytest.mark.parametrize(
    "error",
    [
        errors.StorageError("Input/output error", path="the disk", number=5),
        errors.CorruptError("it is damaged", path="the disk", block=b"x"),
        ConnectionError("it was closed"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_values_before_those_that_can_not_be_read_are_given(error: Exception) -> None:
    location, values = Failing("failing"), [f"value {number}" for number in range(5000)]
    location.left, location.error = 1, error  # the archive is read by a batch, too
    store = ArtifactStore(location)
    store.write(**RUN, values=values)
    accessor, found = store.read(**RUN), []
    for batches in range(13):
        location.left = batches
        found.clear()
        with pytest.raises(type(error)) as raised:
            for value in accessor:
                found.append(value)
        assert raised.value is error
        assert found == values[: sum(min(2**n, 1024) for n in range(batches))]


class Asked(Memory):
    """A location that counts how many values are asked of it together."""

    def _read_batch(self, keys: list[bytes]) -> Iterator[tuple[bytes, bytes | None]]:
        self.asked.append(len(keys))
        return super()._read_batch(keys)


def test_an_iteration_of_large_values_holds_few_of_them() -> None:
    location, values = Asked("asked"), [os.urandom(1 << 20) for _ in range(12)]
    location.asked = []
    store = ArtifactStore(location, level=1)
    store.write(**RUN, values=values)
    accessor = store.read(**RUN)
    location.asked.clear()
    assert list(accessor) == values
    assert sum(location.asked) == 12
    assert max(location.asked) <= 4  # four MiB at a time
