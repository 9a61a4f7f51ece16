from typing import TypedDict, type_check_only

from typing_extensions import disjoint_base

@type_check_only
class _Engine(TypedDict):
    engine: str
    version: str
    binding: str

@type_check_only
class _Level(_Engine):
    level: int

@type_check_only
class _Codec(_Engine):
    levels: dict[int, _Level]

def require(codec: int, path: str | None = None) -> None: ...
def engines() -> dict[str, _Codec]: ...

# Memory and streams for the other extensions; Python code has no use for them.

@disjoint_base
class Buffer: ...

@disjoint_base
class Dictionary:
    def __new__(cls, number: int, content: bytes) -> Dictionary: ...
    @property
    def number(self) -> int: ...
    @property
    def content(self) -> bytes: ...

@disjoint_base
class Deflater:
    def __new__(cls, codec: int, level: int, dictionary: Dictionary | None = None) -> Deflater: ...

@disjoint_base
class Inflater: ...
