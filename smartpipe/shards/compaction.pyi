from collections.abc import Callable
from typing import Final

from smartpipe.shards.reports import CompactReport
from smartpipe.shards.shard import Shard
from smartpipe.shards.store import ShardStore

APPEND: Final[int]

class Stopped(Exception): ...

def compact(store: ShardStore, dead: float, progress: Callable[[int], object] | None) -> CompactReport: ...
def wanted(store: ShardStore, dead: float) -> tuple[list[Shard], list[Shard]]: ...
