from collections.abc import Iterable, Mapping
from typing import TypeVar

from typing_extensions import Buffer, disjoint_base

from smartpipe._codec import Dictionary

_Key = TypeVar("_Key", bound=Buffer)

@disjoint_base
class Encoder:
    def __init__(self, limit: int, codec: int, level: int, dictionary: Dictionary | None = None) -> None: ...
    @property
    def raw(self) -> int: ...
    @property
    def pairs(self) -> int: ...
    def fill(self, pairs: Mapping[_Key, Buffer] | Iterable[tuple[Buffer, Buffer]]) -> None: ...

@disjoint_base
class Encoder1(Encoder): ...

@disjoint_base
class Encoder2(Encoder): ...
