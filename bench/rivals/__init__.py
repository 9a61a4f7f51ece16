"""Who is measured. Each rival is a small adapter in a file of its own."""

from bench.rivals.alone import Alone
from bench.rivals.fastwarc import Archive
from bench.rivals.lmdb import Lmdb
from bench.rivals.pipe import Pipe
from bench.rivals.rival import Rival
from bench.rivals.sqlite import Sqlite

RIVALS: tuple[Rival, ...] = (
    Pipe("smartpipe", format=2),
    Pipe("smartpipe, format 1", format=1),
    Alone(),
    Lmdb("LMDB", per_block=True),
    Lmdb("LMDB, one transaction", per_block=False),
    Sqlite("SQLite", per_block=True),
    Sqlite("SQLite, one transaction", per_block=False),
    Archive(),
)
