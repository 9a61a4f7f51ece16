"""Pickles that are loaded under allow_pickle=False, and those that are not. Issue 6, «Bad input»."""

from __future__ import annotations

import datetime
import math
import os
import pickle
import resource
from pathlib import Path
from random import Random
from typing import Any

import pytest
from durability.children import Child

from smartpipe import errors
from smartpipe.stores import plain

VALUES: dict[str, Any] = {
    "none": None,
    "numbers": [0, 1, -1, 255, 256, -256, 65535, 65536, 1 << 31, -(1 << 31), 1 << 2040, -(1 << 5000), True, False],
    "floats": [0.0, -0.0, 1.5, math.inf, -math.inf, 1e-320],
    "strings": ["", "a", "é", "\ud800", "line\nend", "quote'\"\\", "x" * 300, "ü" * 70_000],
    "bytes": [b"", b"\x00\xff", b"x" * 300, b"y" * 70_000],
    "tuples": [(), (1,), (1, 2), (1, 2, 3), (1, 2, 3, 4), ((1, (2,)), ()), (([],),)],
    "dictionaries": {"a": 1, 2: {}, (1, "b", (2, 3)): [{}], None: {"x": 1, "y": 2}, b"k": True, 1.5: 0},
    "long": list(range(5000)),
    "many keys": {f"key {number}": number for number in range(3000)},
    "keys that are tuples": {(number, str(number)): number for number in range(3000)},
}
SETS: dict[str, Any] = {
    "sets": [set(), {1, "a", (2, 3)}, frozenset(), frozenset({1, frozenset({2})}), {frozenset({1})}],
    "a long set": set(range(5000)),
    "a bytearray": bytearray(b"abc"),
}


def same(one: Any, other: Any) -> bool:
    return type(one) is type(other) and repr(one) == repr(other) and one == other


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("value", VALUES.values(), ids=list(VALUES))
def test_data_comes_back(value: Any, protocol: int) -> None:
    data = pickle.dumps(value, protocol)
    try:
        found = plain.loads(data)
    except errors.UnsupportedError:
        assert protocol < 3 and b"_codecs" in data  # bytes are a call there
        return
    assert same(found, value)


@pytest.mark.parametrize("value", SETS.values(), ids=list(SETS))
def test_sets_and_bytearrays_come_back_since_they_have_opcodes(value: Any) -> None:
    assert same(plain.loads(pickle.dumps(value, 5)), value)


def test_what_is_the_same_object_is_one_again() -> None:
    item = [1]
    one, other, keys = plain.loads(pickle.dumps([item, item, {"a": item}]))
    assert one is other and keys["a"] is one
    ring: list[Any] = []
    ring.append(ring)
    found = plain.loads(pickle.dumps(ring))
    assert found[0] is found


class Wicked:
    def __init__(self, *arguments: Any) -> None:
        self.arguments = arguments

    def __reduce__(self) -> Any:
        return self.arguments


NAMING: dict[str, bytes] = {
    "a class": pickle.dumps(Path, 2),
    "a class, later": pickle.dumps(Path, 5),
    "a builtin": pickle.dumps(len, 0),
    "a call": pickle.dumps(Wicked(os.mkdir, ("trap",)), 5),
    "an object": pickle.dumps(datetime.date(2020, 1, 1), 4),
    "an instance": b"(S'trap'\nios\nmkdir\n.",
    "an object of python 2": b"(cos\nmkdir\nS'trap'\no.",
    "a global that is not there": b"cno_such_module\nx\n.",
    "something persistent": b"Pid\n.",
    "something persistent, binary": b"\x80\x02NQ.",
    "an extension": b"\x80\x02\x82\xf0.",
    "an extension of 4 bytes": b"\x80\x02\x84\xf0\0\0\0.",
    "a buffer": b"\x80\x05\x97.",
    "a read-only buffer": b"\x80\x05\x96\3\0\0\0\0\0\0\0abc\x98.",
    "a state of a dictionary": b"\x80\x02}}b.",
    "a call of a string": b"\x80\x02X\1\0\0\0a)R.",
    "an object of nothing": b"\x80\x02N)\x81.",
    "an object with keywords": b"\x80\x04N)}\x92.",
    "within a list": pickle.dumps([1, {"a": os.getcwd}], 4),
}


@pytest.mark.parametrize("data", NAMING.values(), ids=list(NAMING))
def test_what_names_something_is_refused(data: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(errors.UnsupportedError, match="allow_pickle is False"):
        plain.loads(data)
    assert list(tmp_path.iterdir()) == []


HOSTILE: dict[str, bytes] = {
    # The unpickler of C fills a table up to the number: 4.6 GB.
    "a number of the memo": b"\x80\x02Nr" + (300_000_000).to_bytes(4, "little") + b"0\x80\x02j\0\0\0\0.",
    # And is killed by these two.
    "a key that is nested too deep": b"\x80\x02})" + b"\x85" * 200_000 + b"Ns.",
    "a set that is nested too deep": b"\x80\x04\x8f()" + b"\x85" * 200_000 + b"\x90.",
    # These take for ever.
    "a key of 2 to the 40 items": b"\x80\x02})" + b"2\x86" * 40 + b"Ns.",
    "keys of 2 to the 20000 items": b"\x80\x02})" + b"2\x86" * 20_000 + b"Ns.",
    "a frozen set of 2 to the 40 items": b"\x80\x04)" + b"2\x86" * 40 + b"(2\x91\x91.",
    "a long key again and again": b"\x80\x04}(" + b"K\1" * 100_000 + b"t\x940" + b"h\0Ns" * 100_000 + b".",
    "a large number again and again": (
        b"\x80\x02}\x8b" + (300_000).to_bytes(4, "little") + b"\x11" * 300_000 + b"q\x000" + b"h\0Ns" * 100_000 + b"."
    ),
    "a frame": b"\x80\x04\x95" + (1 << 62).to_bytes(8, "little") + b"N.",
    "bytes that are missing": b"\x80\x04\x8e" + (1 << 40).to_bytes(8, "little") + b"N.",
    "a bytearray that is missing": b"\x80\x05\x96" + (1 << 40).to_bytes(8, "little") + b"N.",
    "text that is missing": b"\x80\x04\x8d" + (1 << 63).to_bytes(8, "little") + b"N.",
    "a number of a million digits": b"L" + b"9" * 1_000_000 + b"L\n.",
    "nothing": b"",
    "no end": b"\x80\x04N",
    "no value": b"\x80\x04.",
    "no mark": b"\x80\x04Nt.",
    "an unknown opcode": b"\x80\x04\xff.",
    "a later protocol": b"\x80\x06N.",
    "a key without a value": b"\x80\x02}(Nu.",
    "a list as a key": b"\x80\x02}]Ns.",
    "an item of a number": b"\x80\x02K\1Na.",
    "items of a dictionary": b"\x80\x02}(NNe.",
    "keys of a list": b"\x80\x02]NNs.",
    "items of a frozen set": b"\x80\x04(\x91(N\x90.",
    "nothing in the memo": b"\x80\x02h\5.",
    "a mark at the end": b"\x80\x02(.",
    "no UTF-8": b"\x80\x04\x8c\1\xff.",
}


@pytest.mark.parametrize("data", HOSTILE.values(), ids=list(HOSTILE))
def test_what_is_no_pickle_of_data_is_an_error_and_takes_little(data: bytes) -> None:
    def work(tell: Any) -> None:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        with pytest.raises(Exception) as raised:  # noqa: PT011  the serializer makes a FormatError of any
            plain.loads(data)
        assert not isinstance(raised.value, (MemoryError, RecursionError))
        assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - peak < 100 << 10

    Child(work).end()


def test_changed_pickles_give_data_or_an_error() -> None:
    random = Random(6)
    seeds = [pickle.dumps(value, protocol) for value in [*VALUES.values(), *SETS.values()] for protocol in (0, 2, 4, 5)]
    seeds = [data for data in [*seeds, *NAMING.values()] if len(data) < 5000]
    allowed = (type(None), bool, int, float, str, bytes, bytearray, tuple, list, dict, set, frozenset)
    for _ in range(5000):
        data = bytearray(random.choice(seeds))
        for _ in range(random.randint(1, 4)):
            data[random.randrange(len(data))] = random.randrange(256)
        try:
            assert type(plain.loads(bytes(data))) in allowed
        except errors.UnsupportedError:
            continue
        except (MemoryError, RecursionError):
            raise
        except Exception:
            continue
