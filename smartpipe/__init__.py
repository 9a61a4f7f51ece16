"""smartpipe: a binary block container for what was scraped, collected and is worked on again and again.

The package's face: everything public is named here and lives elsewhere.
"""

from smartpipe._codec import engines
from smartpipe.container.block import Block
from smartpipe.container.columns import Columns
from smartpipe.container.durability import Grouped
from smartpipe.container.pipe import open
from smartpipe.container.position import Position
from smartpipe.container.reader import Entry, Reader, Split
from smartpipe.container.writer import SmartPipeReader, SmartPipeWriter, Writer
from smartpipe.errors import (
    ArtifactNotFound,
    BlockNotFound,
    BlockTooLargeError,
    ClosedError,
    CollisionError,
    CorruptError,
    DuplicateKeyError,
    EngineError,
    FormatError,
    FunctionError,
    LockedError,
    PairNotFound,
    PipeExistsError,
    PipeNotFoundError,
    PipeWarning,
    ReplacedError,
    SmartPipeError,
    StorageError,
    TruncatedError,
    UnsupportedError,
    WorkerError,
)

TYPE_CHECKING = False  # for type checkers, which take it for typing's: that module takes long to import
if TYPE_CHECKING:
    from smartpipe.container.recovery.damage import Damage
    from smartpipe.container.recovery.rebuild import RebuildReport, rebuild_index
    from smartpipe.container.recovery.recover import RecoverReport, recover
    from smartpipe.container.recovery.verify import VerifyReport, verify
    from smartpipe.operations.check import check
    from smartpipe.operations.compare import diff
    from smartpipe.operations.convert import concat, convert
    from smartpipe.operations.folder import extract, import_folder
    from smartpipe.operations.map import map
    from smartpipe.operations.search import grep
    from smartpipe.operations.summary import info
    from smartpipe.operations.train import train
    from smartpipe.operations.tree import pack, unpack
    from smartpipe.shards.reports import BackupReport, CompactReport, GcReport
    from smartpipe.shards.store import ShardStore
    from smartpipe.shards.verify import StoreReport

__version__ = "0.1.0"

# What works on whole pipes is imported when it is first used, so that `import smartpipe` stays quick.
_LATER = {
    "BackupReport": "shards.reports",
    "CompactReport": "shards.reports",
    "Damage": "container.recovery.damage",
    "GcReport": "shards.reports",
    "RebuildReport": "container.recovery.rebuild",
    "RecoverReport": "container.recovery.recover",
    "ShardStore": "shards.store",
    "StoreReport": "shards.verify",
    "VerifyReport": "container.recovery.verify",
    "check": "operations.check",
    "concat": "operations.convert",
    "convert": "operations.convert",
    "diff": "operations.compare",
    "extract": "operations.folder",
    "grep": "operations.search",
    "import_folder": "operations.folder",
    "info": "operations.summary",
    "map": "operations.map",
    "pack": "operations.tree",
    "rebuild_index": "container.recovery.rebuild",
    "recover": "container.recovery.recover",
    "train": "operations.train",
    "unpack": "operations.tree",
    "verify": "container.recovery.verify",
}

__all__ = [
    "ArtifactNotFound",
    "BackupReport",
    "Block",
    "BlockNotFound",
    "BlockTooLargeError",
    "ClosedError",
    "CollisionError",
    "Columns",
    "CompactReport",
    "CorruptError",
    "Damage",
    "DuplicateKeyError",
    "EngineError",
    "Entry",
    "FormatError",
    "FunctionError",
    "GcReport",
    "Grouped",
    "LockedError",
    "PairNotFound",
    "PipeExistsError",
    "PipeNotFoundError",
    "PipeWarning",
    "Position",
    "Reader",
    "RebuildReport",
    "RecoverReport",
    "ReplacedError",
    "ShardStore",
    "SmartPipeError",
    "SmartPipeReader",
    "SmartPipeWriter",
    "Split",
    "StorageError",
    "StoreReport",
    "TruncatedError",
    "UnsupportedError",
    "VerifyReport",
    "WorkerError",
    "Writer",
    "check",
    "concat",
    "convert",
    "diff",
    "engines",
    "extract",
    "grep",
    "import_folder",
    "info",
    "map",
    "open",
    "pack",
    "rebuild_index",
    "recover",
    "train",
    "unpack",
    "verify",
]


def __dir__() -> list[str]:
    return __all__


def __getattr__(name: str) -> object:
    if name not in _LATER:
        raise AttributeError(f"module 'smartpipe' has no attribute {name!r}")
    from importlib import import_module

    found: object = getattr(import_module(f"smartpipe.{_LATER[name]}"), name)
    globals()[name] = found
    return found
