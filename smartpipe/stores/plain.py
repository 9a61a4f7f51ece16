"""Pickles of plain data, loaded without anything being called or imported.

Not by a subclass of `pickle.Unpickler` that refuses names: ten bytes make that take gigabytes for its memo, and tuples
in tuples as keys are hashed until the stack overflows, or for ever. This one is slower, and for what is not trusted.
"""

from __future__ import annotations

import codecs
import struct
from collections.abc import Callable, Iterable
from typing import Any

from smartpipe import errors

DEEPEST = 500
"""How deep tuples may be nested that are hashed: Python does that on the stack of C, which it can overflow."""
COST = 100
"""Items that may be hashed for each byte of a pickle. A tuple in a tuple counts each time, and a few bytes put one that
is there into the next twice, so that few pickled bytes can take for ever to hash."""
FREE = 100_000
"""Items that may be hashed besides."""
MOST = 1 << 60
"""More than anybody may hash."""


def loads(data: bytes) -> Any:
    """Return the value of a pickle of None, booleans, numbers, strings, bytes, bytearrays, and tuples, lists,
    dictionaries, sets and frozen sets of these. UnsupportedError where it names anything else; another error where it
    is no pickle. It takes memory and time in proportion to the pickle.

    >>> import pickle
    >>> loads(pickle.dumps({"a": (1, 2.5, None)}))
    {'a': (1, 2.5, None)}
    """
    return _Loader(data).load()


class _Loader:
    def __init__(self, data: bytes) -> None:
        self.data = data
        self.at = 0
        self.stack: list[Any] = []
        self.below: list[list[Any]] = []
        """What lies below each mark."""
        self.memo: dict[int, Any] = {}
        self.nested: dict[int, tuple[Any, int, int]] = {}
        """By id the tuples and frozen sets that are long or have others in them, how deep they are, and what it costs
        to hash them. They are kept here, so that nothing else gets the id."""
        self.left = FREE + COST * len(data)

    def load(self) -> Any:
        data = self.data
        while True:
            opcode = data[self.at]
            self.at += 1
            if opcode == STOP:
                return self.stack.pop()
            HANDLERS[opcode](self)

    # Reading

    def take(self, size: int) -> bytes:
        begin = self.at
        self.at = begin + size
        if self.at > len(self.data):
            raise ValueError(f"{size} bytes are missing at byte {begin}")
        return self.data[begin : self.at]

    def number(self, size: int) -> int:
        return int.from_bytes(self.take(size), "little")

    def line(self) -> bytes:
        begin = self.at
        end = self.data.index(b"\n", begin)
        self.at = end + 1
        return self.data[begin:end]

    # Values

    def push(self, value: object) -> None:
        self.stack.append(value)

    def marked(self) -> list[Any]:
        """Take what lies above the last mark."""
        found, self.stack = self.stack, self.below.pop()
        return found

    def top(self, *kinds: type) -> Any:
        value = self.stack[-1]
        if type(value) not in kinds:
            raise TypeError(f"a {type(value).__name__} where a {kinds[0].__name__} has to be, at byte {self.at}")
        return value

    def push_tuple(self, items: Iterable[Any]) -> None:
        self.push(self.noted(tuple(items)))

    def noted(self, value: Any) -> Any:
        """Note how deep a tuple or frozen set is, if others are in it."""
        depth = max((self.weight(item)[0] for item in value if type(item) in NESTING), default=0)
        if depth > 0 or len(value) > LONG:
            cost = 1 + sum(self.weight(item)[1] for item in value)
            self.nested[id(value)] = value, depth + 1, min(cost, MOST)
        return value

    def weight(self, value: Any) -> tuple[int, int]:
        """Return how deep a value is, and what it costs to hash it."""
        kind = type(value)
        if kind in NESTING:
            found = self.nested.get(id(value))
            if found is None:
                return 1, 1 + sum(self.weight(item)[1] for item in value)
            return found[1], found[2]
        return 0, 1 + (value.bit_length() >> 7) if kind is int else 1

    def key(self, value: Any) -> Any:
        """Return what is to be hashed."""
        if type(value) is not str:
            depth, cost = self.weight(value)
            self.left -= cost
            if depth > DEEPEST or self.left < 0:
                raise ValueError(f"tuples that are too deep or too often in each other to be hashed, at byte {self.at}")
        return value

    def fill(self, items: list[Any]) -> None:
        """Put keys and values into the dictionary on top."""
        if len(items) % 2:
            raise ValueError(f"a key without a value at byte {self.at}")
        self.top(dict).update((self.key(items[at]), items[at + 1]) for at in range(0, len(items), 2))

    # Opcodes of several steps

    def mark(self) -> None:
        self.below.append(self.stack)
        self.stack = []

    def pop(self) -> None:
        if self.stack:
            self.stack.pop()
        else:
            self.marked()

    def append(self) -> None:
        value = self.stack.pop()
        self.top(list).append(value)

    def appends(self) -> None:
        values = self.marked()
        self.top(list).extend(values)

    def dictionary(self) -> None:
        items = self.marked()
        self.push({})
        self.fill(items)

    def setitem(self) -> None:
        value = self.stack.pop()
        self.fill([self.stack.pop(), value])

    def additems(self) -> None:
        items = self.marked()
        self.top(set).update(map(self.key, items))

    def tuple_of(self, count: int) -> None:
        if len(self.stack) < count:
            raise ValueError(f"there are no {count} values at byte {self.at}")
        items = self.stack[-count:]
        del self.stack[-count:]
        self.push_tuple(items)

    def proto(self) -> None:
        if self.number(1) > 5:
            raise ValueError("a pickle of a later protocol")

    def frame(self) -> None:
        if self.number(8) > len(self.data) - self.at:
            raise ValueError(f"a frame that is cut at byte {self.at}")

    def int_line(self) -> None:
        line = self.line()
        self.push({b"00": False, b"01": True}.get(line) if line in (b"00", b"01") else int(line))

    def string_line(self) -> None:
        line = self.line().strip()
        if len(line) < 2 or line[:1] not in (b"'", b'"') or line[:1] != line[-1:]:
            raise ValueError(f"a string without quotes before byte {self.at}")
        self.push(codecs.escape_decode(line[1:-1])[0].decode("ascii"))

    def global_line(self) -> None:
        raise _refused(f"{self.line().decode()}.{self.line().decode()}")

    def stack_global(self) -> None:
        name, module = self.stack.pop(), self.stack.pop()
        raise _refused(f"{module:.100}.{name:.100}")


def _refused(what: str) -> errors.UnsupportedError:
    return errors.UnsupportedError(f"the pickle names {what}, and allow_pickle is False: it is not loaded")


def _naming(what: str) -> Callable[[_Loader], None]:
    def handler(loader: _Loader) -> None:
        raise _refused(what)

    return handler


def _extension(loader: _Loader, size: int) -> None:
    """What `copyreg.add_extension` has a number for."""
    raise _refused(f"the extension {loader.number(size)}")


def _text(loader: _Loader, size: int) -> None:
    loader.push(loader.take(size).decode("utf-8", "surrogatepass"))


def _ascii(loader: _Loader, size: int) -> None:
    loader.push(loader.take(size).decode("ascii"))


def _long(loader: _Loader, size: int) -> None:
    loader.push(int.from_bytes(loader.take(size), "little", signed=True))


def _put(loader: _Loader, number: int) -> None:
    loader.memo[number] = loader.stack[-1]


LONG = 16
NESTING = (tuple, frozenset)
STOP = ord(".")
Opcode = Callable[[_Loader], object]
_OPCODES: dict[bytes, Opcode] = {
    b"\x80": _Loader.proto,
    b"\x95": _Loader.frame,
    b"(": _Loader.mark,
    b"0": _Loader.pop,
    b"1": _Loader.marked,
    b"2": lambda loader: loader.push(loader.stack[-1]),
    b"N": lambda loader: loader.push(None),
    b"\x88": lambda loader: loader.push(True),
    b"\x89": lambda loader: loader.push(False),
    b"K": lambda loader: loader.push(loader.number(1)),
    b"M": lambda loader: loader.push(loader.number(2)),
    b"J": lambda loader: _long(loader, 4),
    b"\x8a": lambda loader: _long(loader, loader.number(1)),
    b"\x8b": lambda loader: _long(loader, loader.number(4)),
    b"I": _Loader.int_line,
    b"L": lambda loader: loader.push(int(loader.line().removesuffix(b"L"))),
    b"G": lambda loader: loader.push(struct.unpack(">d", loader.take(8))[0]),
    b"F": lambda loader: loader.push(float(loader.line())),
    b"\x8c": lambda loader: _text(loader, loader.number(1)),
    b"X": lambda loader: _text(loader, loader.number(4)),
    b"\x8d": lambda loader: _text(loader, loader.number(8)),
    b"V": lambda loader: loader.push(loader.line().decode("raw-unicode-escape")),
    b"S": _Loader.string_line,
    b"U": lambda loader: _ascii(loader, loader.number(1)),
    b"T": lambda loader: _ascii(loader, loader.number(4)),
    b"C": lambda loader: loader.push(loader.take(loader.number(1))),
    b"B": lambda loader: loader.push(loader.take(loader.number(4))),
    b"\x8e": lambda loader: loader.push(loader.take(loader.number(8))),
    b"\x96": lambda loader: loader.push(bytearray(loader.take(loader.number(8)))),
    b")": lambda loader: loader.push(()),
    b"t": lambda loader: loader.push_tuple(loader.marked()),
    b"\x85": lambda loader: loader.tuple_of(1),
    b"\x86": lambda loader: loader.tuple_of(2),
    b"\x87": lambda loader: loader.tuple_of(3),
    b"]": lambda loader: loader.push([]),
    b"l": lambda loader: loader.push(loader.marked()),
    b"a": _Loader.append,
    b"e": _Loader.appends,
    b"}": lambda loader: loader.push({}),
    b"d": _Loader.dictionary,
    b"s": _Loader.setitem,
    b"u": lambda loader: loader.fill(loader.marked()),
    b"\x8f": lambda loader: loader.push(set()),
    b"\x90": _Loader.additems,
    b"\x91": lambda loader: loader.push(loader.noted(frozenset(map(loader.key, loader.marked())))),
    b"\x94": lambda loader: _put(loader, len(loader.memo)),
    b"q": lambda loader: _put(loader, loader.number(1)),
    b"r": lambda loader: _put(loader, loader.number(4)),
    b"p": lambda loader: _put(loader, int(loader.line())),
    b"h": lambda loader: loader.push(loader.memo[loader.number(1)]),
    b"j": lambda loader: loader.push(loader.memo[loader.number(4)]),
    b"g": lambda loader: loader.push(loader.memo[int(loader.line())]),
    # What is more than data.
    b"c": _Loader.global_line,
    b"i": _Loader.global_line,
    b"\x93": _Loader.stack_global,
    b"\x82": lambda loader: _extension(loader, 1),
    b"\x83": lambda loader: _extension(loader, 2),
    b"\x84": lambda loader: _extension(loader, 4),
    **dict.fromkeys((b"P", b"Q"), _naming("something outside of it")),
    **dict.fromkeys((b"\x97", b"\x98"), _naming("a buffer")),
    **dict.fromkeys((b"R", b"b", b"o", b"\x81", b"\x92"), _naming("an object")),
}


def _unknown(loader: _Loader) -> None:
    raise ValueError(f"no opcode of pickles at byte {loader.at - 1}")


HANDLERS: list[Opcode] = [_OPCODES.get(bytes([code]), _unknown) for code in range(256)]
