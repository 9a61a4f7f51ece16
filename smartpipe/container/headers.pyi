from typing import Final

from smartpipe._platform import Descriptor

ENTRY1: Final[int]
FILE_HEADER: Final[int]
INDEX_HEADER: Final[int]
ZSTD: Final[int]
CODECS: Final[dict[int, str]]
CODECS_OF_FORMAT1: Final[tuple[int, ...]]
DICTIONARY_MAGIC: Final[bytes]

def header_of(file: Descriptor, path: str) -> tuple[int, int] | tuple[None, None] | None: ...
def shard_header(file: Descriptor, path: str) -> tuple[int, int]: ...
def file_header(path: str) -> tuple[int, int] | tuple[None, None] | None: ...
def is_index(path: str) -> bool: ...
def index_id(path: str) -> int | None: ...
