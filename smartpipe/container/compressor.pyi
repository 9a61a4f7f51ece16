from typing_extensions import disjoint_base

from smartpipe._codec import Dictionary

@disjoint_base
class Compressor:
    def __init__(self, codec: int, level: int, dictionary: Dictionary | None = None) -> None: ...

@disjoint_base
class Compressors:
    def __init__(self, codec: int, level: int, dictionary: Dictionary | None = None) -> None: ...
