from collections.abc import Iterator
from typing import Final, Protocol

from typing_extensions import Self, disjoint_base

from smartpipe.container.rows import Rows

FORMATS: Final[dict[str, int]]
TYPES: Final[dict[str, str]]
WANTED: Final[str]

class _Table(Protocol):
    """What Arrow calls an object that exports a stream."""

    def __arrow_c_stream__(self, requested_schema: object = None) -> object: ...

@disjoint_base
class Chunk: ...

@disjoint_base
class Field: ...

@disjoint_base
class Incoming(Iterator[tuple[bytes, Rows]]):
    def __init__(self, data: _Table, limit: int) -> None: ...
    def field(self, names: list[str], name: str) -> Field: ...
    def refuse_null_rows(self, chunk: Chunk) -> None: ...
    def __iter__(self) -> Self: ...
    def __next__(self) -> tuple[bytes, Rows]: ...
