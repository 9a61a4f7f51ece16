from threading import Condition

from typing_extensions import disjoint_base

from smartpipe.container.compressor import Compressors
from smartpipe.container.encoder import Encoders
from smartpipe.container.output import Output

@disjoint_base
class Job: ...

@disjoint_base
class Background:
    def __init__(
        self,
        output: Output,
        changed: Condition,
        threads: int,
        verify: bool,
        open_keys: set[bytes],
        encoders: Encoders,
        compressors: Compressors,
    ) -> None: ...
    @property
    def threads(self) -> int: ...
    @property
    def keys(self) -> set[bytes]: ...
    def forget(self, job: Job) -> None: ...
