"""A store on a file system without locks: one process may write, and is told so. The system's answers are replaced."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from container.process import start

from smartpipe import ShardStore

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="a library is preloaded as Linux does it")

ONE_WRITER = """
import sys, warnings
import smartpipe

def told(message, category, *rest, **more):
    print(category.__name__, message)

warnings.showwarning = told
warnings.simplefilter("always")
path = sys.argv[1]
for turn in (b"first", b"second"):
    with smartpipe.ShardStore(path, compress="zlib", shard_size=2000) as store:
        store.put_many({turn + b"/%d" % number: b"value %d" % number * 9 for number in range(200)})
        store.put_bytes(turn, turn)
        store.put_bytes(b"latest", turn, overwrite=True)
        store.delete(turn + b"/7")
        store.compact()
        store.gc(grace=0)
        assert store.verify().ok
        store.backup(path + " copy")
with smartpipe.ShardStore(path, compress=False, shard_size=20_000, auto_compact=0.1) as store:
    for number in range(3000):
        store.put_bytes(b"first/%d" % (10 + number % 20), b"%d" % number * 9, overwrite=True)
    assert store.verify().ok
with smartpipe.ShardStore(path, "r") as store:
    for number in range(2980, 3000):
        assert store.get_bytes(b"first/%d" % (10 + number % 20)) == b"%d" % number * 9
    print(len(store), store.get_bytes(b"latest"))
"""


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("preloaded") / "no_locks.so"
    compiler = shutil.which("cc") or shutil.which("gcc")
    assert compiler is not None
    source = Path(__file__).parent / "no_locks.c"
    subprocess.run([compiler, "-shared", "-fPIC", "-O2", "-o", path, source, "-ldl"], check=True)
    return path


def preloaded(library: Path) -> dict[str, str]:
    """The environment of a process that has the library; a sanitizer in it does not insist to come first."""
    options = [*filter(None, [os.environ.get("ASAN_OPTIONS")]), "verify_asan_link_order=0"]
    return {"LD_PRELOAD": str(library), "ASAN_OPTIONS": ":".join(options)}


@pytest.mark.parametrize("how", ["refused", "guards nothing"])
def test_one_process_may_write_and_is_told_so(how: str, library: Path, tmp_path: Path) -> None:
    path = tmp_path / "store"
    process = start(ONE_WRITER, path, stderr=True, **preloaded(library), NO_LOCKS=how)
    output, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    *told, last = output.splitlines()
    assert last == "401 b'second'"
    assert {line.split(": ")[1].split(";")[0] for line in told} == {"this file system has no locks that work"}
    assert any(str(path) in line for line in told)
    # Where there are locks again it is a store like any other.
    with ShardStore(path) as store:
        assert store.get_bytes(b"first/8") == b"value 8" * 9
        assert b"first/7" not in store
        assert store.verify().ok


PIPE = """
import sys
import smartpipe
try:
    smartpipe.open(sys.argv[1], "w")
except smartpipe.StorageError as error:
    print(error)
"""


def test_a_pipe_that_can_not_be_locked_is_not_written(library: Path, tmp_path: Path) -> None:
    process = start(PIPE, tmp_path / "pipe", stderr=True, **preloaded(library), NO_LOCKS="refused")
    output, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    assert str(tmp_path / "pipe") in output
    assert "No locks available" in output
