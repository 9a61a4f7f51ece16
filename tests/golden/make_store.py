"""Writes the golden store, if it is not there: `python -m tests.golden.make_store` in the root.

Else it stays as it is, so that every version reads what the first one wrote. The contents are always the same; ids,
hash keys and stamps are not. expected.json is made from what was written, never from what was read.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from pathlib import Path

import smartpipe
from tests.golden.make_format2 import page
from tests.reference.expected import GOLDEN, describe
from tests.reference.format2 import Pairs

STORE = GOLDEN / "store"


def write(folder: Path) -> dict[bytes, Pairs]:
    """A store with all that there is; gives what it holds.

    Full shards and open ones, with and without compression; keys that were overwritten and deleted, in their shard and
    in others; a tail that was torn, and an index that is behind, as a kill leaves them.
    """
    expected: dict[bytes, Pairs] = {}

    def put(store: smartpipe.ShardStore, key: bytes, pairs: Pairs) -> None:
        store.put(key, pairs, overwrite=True)
        expected[key] = pairs

    def delete(store: smartpipe.ShardStore, key: bytes) -> None:
        store.delete(key)
        del expected[key]

    for compress in (False, "zlib"):
        with smartpipe.ShardStore(folder, shard_size=20_000, compress=compress) as store:
            for number in range(6):
                put(store, b"page/%s/%d" % (str(compress).encode(), number), page(number)[1])
            store.put_many({b"item/%d" % number: b"%d" % (number * number) for number in range(20)}, overwrite=True)
            expected.update({b"item/%d" % number: [(b"", b"%d" % (number * number))] for number in range(20)})
            put(store, b"item/3", [(b"raw", b"overwritten")])
            delete(store, b"item/4")
            delete(store, b"page/%s/1" % str(compress).encode())
    with smartpipe.ShardStore(folder, compress=False) as store:
        put(store, b"", [])
        put(store, b"item/4", [(b"", b""), (b"", b"again")])
        delete(store, b"item/5")
        store.put_bytes(b"killed", b"x" * 1000)
        # What is copied here is what a kill leaves.
        shutil.copytree(folder, STORE)
    data = max((STORE / path.name for path in folder.glob("*.dat")), key=lambda path: path.stat().st_mtime_ns)
    data.write_bytes(data.read_bytes()[:-500])
    return expected


def main() -> None:
    if STORE.exists():
        return
    with tempfile.TemporaryDirectory() as folder:
        expected = write(Path(folder) / "store")
    for name in ("counters", "keys.lock", "leases"):
        (STORE / name).unlink()  # as in a copy
    (GOLDEN / "store.json").write_text(json.dumps(describe(sorted(expected.items())), indent=0) + "\n")


if __name__ == "__main__":
    main()
