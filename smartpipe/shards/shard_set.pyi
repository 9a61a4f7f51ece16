from typing import Final

from typing_extensions import disjoint_base

from smartpipe.shards.folder import Folder
from smartpipe.shards.manifest import Manifest
from smartpipe.shards.shard import Shard

COUNTERS: Final[str]
KEYS: Final[str]
LEASES: Final[str]

@disjoint_base
class ShardSet:
    @property
    def path(self) -> str: ...
    @property
    def mode(self) -> str: ...
    @property
    def folder(self) -> Folder: ...
    @property
    def manifest(self) -> Manifest: ...
    @property
    def shards(self) -> dict[int, Shard]: ...
