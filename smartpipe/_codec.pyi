from typing import TypedDict, type_check_only

from typing_extensions import disjoint_base

@type_check_only
class _Engine(TypedDict):
    engine: str
    version: str
    binding: str

def engines() -> dict[str, _Engine]: ...

# Memory and streams for the other extensions; Python code has no use for them.

@disjoint_base
class Buffer: ...

@disjoint_base
class Deflater:
    def __new__(cls, level: int) -> Deflater: ...
    @property
    def level(self) -> int: ...

@disjoint_base
class Inflater: ...
