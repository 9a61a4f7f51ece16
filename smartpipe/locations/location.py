"""The interface of a place that keeps values under keys. docs/locations.md."""

from __future__ import annotations

import os
import shutil
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, BinaryIO, Generic, TypeAlias, TypeVar, cast

from smartpipe import errors

if TYPE_CHECKING:
    from typing_extensions import Buffer, Self

Value: TypeAlias = "Buffer | BinaryIO | str | os.PathLike[str]"
"""What can be written: bytes, a binary stream, or the path of a file."""

Given: TypeAlias = "Path | BinaryIO"
"""What reading gives: the path of a file, or a binary stream."""

NUMBERS = 1 << 62
"""How many numbers there are to lock."""
PART = 1 << 20
"""Bytes of a stream that are in memory at once."""


@dataclass(frozen=True, slots=True)
class Content:
    """What a location tells of a value without reading it."""

    key: bytes
    size: int
    """Bytes of the value."""
    last_used: float
    """Seconds since 1970: when it was last touched, or else written."""
    labels: frozenset[str]


class Location(ABC):
    """A place that keeps values under keys.

    Keys and values are bytes. A key has one content: writing the same again does nothing, another is a CollisionError,
    unless it is to be overwritten. A value is there as a whole or not at all, also when its writer was killed.

    Locations are equal when their configurations are, and can be pickled; what comes back is the same place. Whoever
    asks for what a place can not do gets an UnsupportedError; `abilities` tells before.
    """

    abilities: frozenset[str] = frozenset({"write", "delete", "contents", "touch", "labels", "lock"})
    """What it can do besides reading: "write", "delete", "contents", "touch", "lock", and to keep "labels"."""

    # What users call

    def read(self, key: Buffer, return_labels: bool = False) -> Reading[Any]:
        """Return a context manager that gives the value of a key as a path or a binary stream, None where there is
        none; with `return_labels` (value, labels), or None.

        The value is good until the context ends. A CorruptError that is raised inside tells that the value is damaged:
        the copy in this place is then deleted.

        >>> import smartpipe.locations
        >>> place = smartpipe.locations.Memory()
        >>> place.write(b"greeting", b"hello", labels=["demo"])
        True
        >>> with place.read(b"greeting", return_labels=True) as (value, labels):
        ...     print(value.read(), sorted(labels))
        b'hello' ['demo']
        >>> with place.read(b"missing") as value:
        ...     print(value)
        None
        """
        return Reading(self, key_bytes(key), return_labels)

    def read_bytes(self, key: Buffer) -> bytes | None:
        """Return the value of a key, None where there is none."""
        try:
            with self.read(key) as value:
                return None if value is None else whole(value)
        except FileNotFoundError as error:
            check_deleted(error)
            return None

    def __contains__(self, key: Buffer) -> bool:
        """Whether there is a value of a key. A damaged one is none, as far as the place sees that without reading more
        than a part."""
        with self.read(key) as value:
            return value is not None

    def read_batch(self, keys: Iterable[Buffer]) -> Iterator[tuple[bytes, bytes | None]]:
        """Iterate over (key, value or None) for many keys, in the order that suits the place."""
        return self._read_batch([key_bytes(key) for key in keys])

    def read_range(self, key: Buffer, start: int, stop: int) -> bytes | None:
        """Return the bytes of a value from `start` up to `stop`, fewer at its end; None where there is no value."""
        if not 0 <= start <= stop:
            raise ValueError(f"bytes {start} to {stop} are no range")
        try:
            with self.read(key) as value:
                if value is None:
                    return None
                with opened(value) as stream:
                    return _range(stream, start, stop)
        except FileNotFoundError as error:
            check_deleted(error)
            return None

    def write(
        self, key: Buffer, value: Value, labels: Iterable[str] | None = None, overwrite: bool = False
    ) -> bool | None:
        """Store a value; True, or None where the place refuses it, as it is too large for it.

        Where the key has the same content already only the labels are added; CollisionError where it has another. With
        `overwrite` the value and the labels take the place of those that are there. A stream is read from where it
        stands, in parts.
        """
        self.require("write")
        wanted = label_set(labels)
        if wanted:
            self.require("labels")
        return self._write(key_bytes(key), value, wanted, overwrite)

    def write_batch(self, items: Iterable[tuple[Buffer, Value]], overwrite: bool = False) -> list[bytes]:
        """Store many (key, value), each as `write` does; returns the keys of those that the place refuses.

        They are written in the order that suits the place; at an error, as a CollisionError, some may be stored.

        >>> import smartpipe.locations
        >>> smartpipe.locations.Memory(max_size=5).write_batch([(b"a", b"small"), (b"b", b"larger")])
        [b'b']
        """
        self.require("write")
        return self._write_batch(((key_bytes(key), value) for key, value in items), overwrite)

    def delete(self, key: Buffer) -> bool:
        """Remove a value with its labels; whether there was one."""
        self.require("delete")
        return self._delete(key_bytes(key))

    def contents(self, prefix: Buffer = b"") -> Iterator[Content]:
        """Iterate over what is there under keys that begin with `prefix`, in no order that means something."""
        self.require("contents")
        return self._contents(key_bytes(prefix))

    def touch(self, key: Buffer) -> bool:
        """Note that a value is used now; whether there is one."""
        self.require("touch")
        return self._touch(key_bytes(key))

    @contextmanager
    def lock(self, start: int, length: int = 1, *, exclusive: bool = True, wait: bool = True) -> Iterator[bool]:
        """Hold a lock on `length` numbers (below 2**62) from `start` on in the context; gives whether it is held.

        With `wait` it is, but for an exclusive one on a file system that has no locks. Many hold the same number that
        do not lock it exclusively. What a number stands for is up to who uses the place. The locks of a process that
        was killed are free.
        """
        self.require("lock")
        if type(start) is not int or type(length) is not int or start < 0 or length < 1 or start + length > NUMBERS:
            raise ValueError(f"{length!r} numbers from {start!r} on can not be locked, only numbers below {NUMBERS}")
        with self._lock_numbers(start, length, exclusive, wait) as held:
            yield held

    def close(self) -> None:  # noqa: B027  a place may hold nothing open
        """Give back what the place holds open. It may be used again, and then opens that anew."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def require(self, ability: str) -> None:
        """UnsupportedError where the place can not do something."""
        if ability not in self.abilities:
            raise errors.UnsupportedError(f"this place can not do that: {ability}", path=repr(self))

    # What a place is

    @property
    @abstractmethod
    def configuration(self) -> dict[str, Any]:
        """The arguments that make the same place again."""

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and self.configuration == other.configuration

    def __hash__(self) -> int:
        return hash((type(self), repr(sorted(self.configuration.items()))))

    def __reduce__(self) -> tuple[Any, ...]:
        return _made, (type(self), self.configuration)

    def __repr__(self) -> str:
        arguments = ", ".join(f"{name}={value!r}" for name, value in self.configuration.items())
        return f"{type(self).__name__}({arguments})"

    # What a place does, each with a key that is bytes

    @abstractmethod
    @contextmanager
    def _open(self, key: bytes) -> Iterator[Given | None]:
        """Give a value, None where there is none. A CorruptError where it is damaged, as far as the place sees that."""

    def _mark(self, value: Given) -> object:
        """Return what tells the copy that is read from one that is written later."""
        return value

    def _is_still(self, key: bytes, mark: object) -> bool:
        """Whether the copy that was read is the one that is there."""
        return True

    @abstractmethod
    def _labels(self, key: bytes) -> frozenset[str]: ...

    def _read_batch(self, keys: list[bytes]) -> Iterator[tuple[bytes, bytes | None]]:
        for key in keys:
            yield key, self.read_bytes(key)

    def _write(self, key: bytes, value: Value, labels: frozenset[str], overwrite: bool) -> bool | None:
        raise NotImplementedError

    def _write_batch(self, items: Iterable[tuple[bytes, Value]], overwrite: bool) -> list[bytes]:
        return [key for key, value in items if self._write(key, value, frozenset(), overwrite) is None]

    def _delete(self, key: bytes) -> bool:
        raise NotImplementedError

    def _contents(self, prefix: bytes) -> Iterator[Content]:
        raise NotImplementedError

    def _touch(self, key: bytes) -> bool:
        raise NotImplementedError

    def _lock_numbers(self, start: int, length: int, exclusive: bool, wait: bool) -> AbstractContextManager[bool]:
        raise NotImplementedError


def _made(kind: type[Location], configuration: dict[str, Any]) -> Location:
    return kind(**configuration)


Answer = TypeVar("Answer")


class Reading(Generic[Answer]):
    """The context in which a value is read."""

    def __init__(self, place: Location, key: bytes, return_labels: bool) -> None:
        self.place = place
        self.key = key
        self.return_labels = return_labels
        self.opened: AbstractContextManager[Given | None]
        self.mark: object = None

    def __enter__(self) -> Any:
        try:
            value = self.open()
        except errors.CorruptError:
            try:
                value = self.open()  # it may have been written anew meanwhile
            except errors.CorruptError:
                self.drop()
                self.opened, value = _nothing(), None
                self.opened.__enter__()
        if value is None:
            return None
        self.mark = self.place._mark(value)
        return (value, self.place._labels(self.key)) if self.return_labels else value

    def open(self) -> Given | None:
        self.opened = self.place._open(self.key)
        return self.opened.__enter__()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.opened.__exit__(kind, error, trace)
        if isinstance(error, errors.CorruptError) and not error.is_dropped:
            error.is_dropped = True  # where places are read one inside the other, the inner one had it
            if self.mark is not None and self.place._is_still(self.key, self.mark):
                self.drop()

    def drop(self) -> None:
        """Remove the damaged copy, where the place may."""
        if "delete" in self.place.abilities:
            try:
                self.place._delete(self.key)
            except errors.StorageError:
                pass  # nobody may write here, which hides no damage


@contextmanager
def _nothing() -> Iterator[None]:
    yield None


@contextmanager
def opened(value: Given) -> Iterator[BinaryIO]:
    """Give what reading gave as a binary stream."""
    if isinstance(value, Path):
        with ExitStack() as held:
            try:
                stream = held.enter_context(open(value, "rb"))
            except FileNotFoundError:
                raise  # it was deleted meanwhile
            except OSError as error:
                raise errors.StorageError(str(error.strerror), path=str(value), number=error.errno) from error
            yield stream
    else:
        yield value


def check_deleted(error: FileNotFoundError) -> None:
    """Raise what is an error. A file that is gone when it is opened was deleted meanwhile, and is a miss."""
    if isinstance(error, errors.SmartPipeError):
        raise error


def _range(stream: BinaryIO, start: int, stop: int) -> bytes:
    size = stream.seek(0, os.SEEK_END)
    start = min(start, size)
    stream.seek(start)
    return stream.read(min(stop, size) - start)


def whole(value: Given) -> bytes:
    """Return all bytes of what reading gave."""
    with opened(value) as stream, errors.storage_errors(str(value)):
        return stream.read()


@contextmanager
def source(value: Value) -> Iterator[BinaryIO]:
    """Give what is to be written as a binary stream."""
    if isinstance(value, (str, os.PathLike)):
        with errors.storage_errors(os.fspath(value)), open(value, "rb") as stream:
            yield stream
    elif hasattr(value, "read"):
        yield cast(BinaryIO, value)
    else:
        try:
            data = memoryview(value).tobytes()
        except TypeError:
            raise TypeError(f"a value is bytes, a binary stream or a path, not {type(value).__name__}") from None
        yield BytesIO(data)


def copy(stream: BinaryIO, to: BinaryIO) -> None:
    """Copy a stream from where it stands to its end, with memory for a part."""
    shutil.copyfileobj(stream, to, PART)


def key_bytes(key: Buffer) -> bytes:
    if type(key) is bytes:
        return key
    if isinstance(key, str):
        raise TypeError(f"the key is a str, not bytes: encode it, as in {key[:40]!r}.encode()")
    try:
        return memoryview(key).tobytes()
    except TypeError:
        raise TypeError(f"the key is a {type(key).__name__}, not bytes") from None


def label_set(labels: Iterable[str] | None) -> frozenset[str]:
    if isinstance(labels, (str, bytes)):
        raise TypeError(f"labels is {labels!r:.40}, one label, not an iterable of them")
    wanted = frozenset(labels or ())
    for label in wanted:
        if not isinstance(label, str):
            raise TypeError(f"a label is a str, not {type(label).__name__}")
    return wanted
