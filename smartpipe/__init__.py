"""smartpipe: a binary block container for what was scraped, collected and is worked on again and again.

The package's face: everything public is named here and lives elsewhere.
"""


from smartpipe._codec import engines
from smartpipe.container.block import Block
from smartpipe.container.pipe import open
from smartpipe.container.reader import Entry, Reader
from smartpipe.container.split import Split
from smartpipe.container.writer import SmartPipeReader, SmartPipeWriter, Writer
from smartpipe.errors import (
    BlockNotFound,
    BlockTooLargeError,
    ClosedError,
    CollisionError,
    CorruptError,
    DuplicateKeyError,
    EngineError,
    FormatError,
    LockedError,
    PairNotFound,
    PipeExistsError,
    PipeNotFoundError,
    PipeWarning,
    SmartPipeError,
    StorageError,
    TruncatedError,
)

__version__ = "0.1.0"

__all__ = [
    "Block",
    "BlockNotFound",
    "BlockTooLargeError",
    "ClosedError",
    "CollisionError",
    "CorruptError",
    "DuplicateKeyError",
    "EngineError",
    "Entry",
    "FormatError",
    "LockedError",
    "PairNotFound",
    "PipeExistsError",
    "PipeNotFoundError",
    "PipeWarning",
    "Reader",
    "SmartPipeError",
    "SmartPipeReader",
    "SmartPipeWriter",
    "Split",
    "StorageError",
    "TruncatedError",
    "Writer",
    "engines",
    "open",
]
