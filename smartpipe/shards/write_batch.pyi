from typing_extensions import disjoint_base

from smartpipe.container.compressor import Compressors
from smartpipe.container.encoder import Encoders

@disjoint_base
class Members:
    def __init__(self, limit: int) -> None: ...

@disjoint_base
class WriteBatch:
    def __init__(self, path: str, encoders: Encoders, compressors: Compressors, codec: int, limit: int) -> None: ...
