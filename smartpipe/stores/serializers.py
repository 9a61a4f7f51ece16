"""How values become bytes and come back: one class per way. Only pickles can hold more than data."""

from __future__ import annotations

import io
import json
import pickle
import sys
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

from smartpipe import errors
from smartpipe.stores import plain


class Serializer(ABC):
    """A way to turn values into bytes. `name` is what archives say of it."""

    name: ClassVar[str]

    @abstractmethod
    def dumps(self, value: Any) -> bytes:
        """Return the bytes of a value. Whatever it raises, the value can not be serialized this way."""

    @abstractmethod
    def loads(self, data: bytes, dtype: str | None) -> Any:
        """Return the value of bytes. `dtype` is the type that the value had, by its full name, None where that is not
        known. Whatever it raises, the bytes are not of this kind."""


class Pickle(Serializer):
    """Any value that pickle takes. With `allow_pickle` False only pickles are loaded that name nothing: numbers,
    strings, bytes, and tuples, lists, dictionaries and sets of these."""

    name = "pickle"

    def __init__(self, allow_pickle: bool = True) -> None:
        self.allow_pickle = allow_pickle

    def dumps(self, value: Any) -> bytes:
        # One protocol on every version of Python, so that equal values get equal bytes there.
        return pickle.dumps(value, protocol=5)

    def loads(self, data: bytes, dtype: str | None) -> Any:
        return pickle.loads(data) if self.allow_pickle else plain.loads(data)


class Json(Serializer):
    """None, booleans, numbers, strings, and lists and dictionaries of these with strings as keys; exactly these types,
    so that what comes back is what was written."""

    name = "json"

    def dumps(self, value: Any) -> bytes:
        _require_json(value)
        return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()

    def loads(self, data: bytes, dtype: str | None) -> Any:
        return json.loads(data)


def _require_json(value: Any) -> None:
    kind = type(value)
    if kind is list:
        for item in value:
            _require_json(item)
    elif kind is dict:
        for key, item in value.items():
            if type(key) is not str:
                raise TypeError(f"JSON has no keys of type {type(key).__name__}")
            _require_json(item)
    elif kind not in (str, int, float, bool, type(None)):
        raise TypeError(f"JSON has no {kind.__name__}")


class Raw(Serializer):
    """bytes, as they are."""

    name = "bytes"

    def dumps(self, value: Any) -> bytes:
        if type(value) is not bytes:
            raise TypeError(f"not bytes, but {type(value).__name__}")
        return value

    def loads(self, data: bytes, dtype: str | None) -> bytes:
        return data


class Numpy(Serializer):
    """Arrays of numpy in its own format, but those of objects, which it would pickle."""

    name = "numpy"

    def dumps(self, value: Any) -> bytes:
        import numpy

        buffer = io.BytesIO()
        numpy.save(buffer, value, allow_pickle=False)
        return buffer.getvalue()

    def loads(self, data: bytes, dtype: str | None) -> Any:
        import numpy

        if not data.startswith(numpy.lib.format.MAGIC_PREFIX):
            raise ValueError("not an array in numpy's format")  # numpy would take archives of several, too
        try:
            return numpy.load(io.BytesIO(data), allow_pickle=False)
        except MemoryError as error:
            raise ValueError(str(error)) from error  # a shape that is made up


class Arrow(Serializer):
    """Tables and record batches of pyarrow, as a stream of Arrow's."""

    name = "arrow"

    def dumps(self, value: Any) -> bytes:
        import pyarrow  # type: ignore[import-untyped]

        value.validate(full=True)  # as `loads` does
        sink = pyarrow.BufferOutputStream()
        with pyarrow.ipc.new_stream(sink, value.schema) as writer:
            writer.write(value)
        return bytes(sink.getvalue().to_pybytes())

    def loads(self, data: bytes, dtype: str | None) -> Any:
        import pyarrow

        with pyarrow.ipc.open_stream(pyarrow.py_buffer(data)) as reader:
            value = reader.read_next_batch() if dtype == "pyarrow.lib.RecordBatch" else reader.read_all()
        value.validate(full=True)  # who uses offsets that lead elsewhere reads there, or dies
        return value


SAFE: dict[str, Serializer] = {
    **dict.fromkeys(
        (f"builtins.{name}" for name in ("NoneType", "bool", "int", "float", "str", "list", "dict")), Json()
    ),
    "builtins.bytes": Raw(),
    "numpy.ndarray": Numpy(),
    "pyarrow.lib.RecordBatch": Arrow(),
    "pyarrow.lib.Table": Arrow(),
}
"""What a store takes for which type when it has no pickle."""


def type_name(kind: type) -> str:
    """Return the name of a type as archives have it."""
    return sys.intern(f"{kind.__module__}.{kind.__name__}")  # kept with every value


def is_pickle(data: bytes) -> bool:
    """Whether bytes begin and end as a pickle of protocol 2 to 5 does."""
    return data.startswith((b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")) and data.endswith(b".")


class Serializers:
    """Which serializer is for which type, and which goes by which name."""

    def __init__(self, allow_pickle: bool, registered: Mapping[type | str, Serializer | str]) -> None:
        self.allow_pickle = allow_pickle
        self.pickle = Pickle(allow_pickle)
        self.named: dict[str, Serializer] = {kind.name: kind for kind in (self.pickle, Json(), Raw(), Numpy(), Arrow())}
        self.registered: dict[str, Serializer] = {} if allow_pickle else {**SAFE}
        for kind, serializer in registered.items():
            self.register(kind, serializer)

    def register(self, kind: type | str, serializer: Serializer | str) -> None:
        given: tuple[object, object] = kind, serializer
        if not isinstance(given[0], (type, str)) or not isinstance(given[1], (Serializer, str)):
            raise TypeError(
                f"{serializer!r:.80} for {kind!r:.80}: a serializer, or its name, is registered for a type, or its name"
            )
        if isinstance(kind, str) and "." not in kind:
            raise ValueError(f"{kind!r} is no full name of a type, as 'builtins.int' is")
        if isinstance(serializer, str):
            if serializer not in self.named:
                raise ValueError(f"there is no serializer {serializer!r}; there are {', '.join(sorted(self.named))}")
            serializer = self.named[serializer]
        if not isinstance(getattr(serializer, "name", None), str):
            raise TypeError(f"{serializer!r:.80} has no name, by which archives say which serializer was taken")
        if isinstance(serializer, Pickle):
            serializer = self.pickle
        if type(self.named.get(serializer.name, serializer)) is not type(serializer):
            raise ValueError(f"there is another serializer {serializer.name!r}: archives could not tell them apart")
        self.named[serializer.name] = serializer
        self.registered[kind if isinstance(kind, str) else type_name(kind)] = serializer

    def dumps(self, value: object) -> tuple[bytes, str, str]:
        """Return the bytes of a value, and the names of its type and of the serializer; TypeError where it has none."""
        dtype = type_name(type(value))
        serializer = self.registered.get(dtype)
        if serializer is None:
            if not self.allow_pickle:
                raise TypeError(f"a {dtype}, for which no serializer is registered, and allow_pickle is False")
            serializer = self.pickle
        try:
            data = serializer.dumps(value)
            if not isinstance(data, bytes):
                raise TypeError(f"`dumps` gave a {type(data).__name__}, not bytes")
            return data, dtype, serializer.name
        except MemoryError:
            raise
        except Exception as error:
            raise TypeError(f"a {dtype}, which can not be serialized as {serializer.name}: {error}") from error

    def loads(self, data: bytes, dtype: str | None, name: str | None) -> Any:
        """Return the value of bytes; FormatError where they are none, UnsupportedError where that is not allowed."""
        if name is None:
            # Archives say it only where something else than pickles is in them; those of other programs never do.
            found = None if dtype is None else self.registered.get(dtype)
            serializer = self.pickle if found is None or is_pickle(data) else found
        elif name in self.named:
            serializer = self.named[name]
        else:
            raise errors.FormatError(f"it was written by a serializer {name!r}, and none of this name is registered")
        try:
            return serializer.loads(data, dtype)
        except (MemoryError, errors.UnsupportedError):
            raise
        except Exception as error:
            raise errors.FormatError(
                f"{len(data)} bytes match their digest and can not be loaded as {serializer.name}: "
                f"{type(error).__name__}: {error}"
            ) from error
