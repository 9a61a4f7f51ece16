from collections.abc import Callable
from typing import Final

from typing_extensions import disjoint_base

from smartpipe.shards.reports import CompactReport
from smartpipe.shards.shard import Shard
from smartpipe.shards.shard_set import ShardSet

APPEND: Final[int]

class Stopped(Exception): ...

@disjoint_base
class Copying:
    def __init__(self, shard: Shard, output: Shard, level: int) -> None: ...

def compact(
    store: ShardSet, dead: float, level: int, progress: Callable[[int, int], object] | None
) -> CompactReport: ...
def candidates(store: ShardSet, dead: float) -> tuple[list[Shard], list[Shard]]: ...
