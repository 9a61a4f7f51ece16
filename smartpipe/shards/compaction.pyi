from collections.abc import Callable
from typing import Final

from smartpipe.shards.reports import CompactReport
from smartpipe.shards.shard import Shard
from smartpipe.shards.shard_set import ShardSet

APPEND: Final[int]

class Stopped(Exception): ...

def compact(store: ShardSet, dead: float, progress: Callable[[int, int], object] | None) -> CompactReport: ...
def candidates(store: ShardSet, dead: float) -> tuple[list[Shard], list[Shard]]: ...
