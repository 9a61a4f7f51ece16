from typing_extensions import disjoint_base

@disjoint_base
class Compressor:
    def __init__(self, codec: int, level: int) -> None: ...

@disjoint_base
class Compressors:
    def __init__(self, codec: int, level: int) -> None: ...
