"""A disk that is full: a clear error, everything before it readable, and no further work.

A tmpfs of 1 MiB that is really full where root may mount one, or this user in a namespace of its own; otherwise a limit
of the system on the size of a file, which refuses in the same way.
"""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from container.pipes import PAGES, SMALL, Blocks, Kind, every_kind, files, index, plant, read, warned
from container.process import run
from folders import small_disk

import smartpipe

from .scenes import DURABILITIES

every_durability = pytest.mark.parametrize("durability", DURABILITIES)
# That a later block fails is known only then: what waits in the process is written by a flush.
every_durability_that_does_not_wait = pytest.mark.parametrize("durability", [d for d in DURABILITIES if d != "none"])

CONTENT = b"".join(b"%d," % (number * number) for number in range(400))


def block_of(number: int) -> tuple[bytes, list[tuple[bytes, bytes]]]:
    pairs = [(b"number", b"%d" % number), (b"text", CONTENT[number % 50 :]), (b"large", os.urandom(5000))]
    return b"%d" % number, pairs


class Disk:
    """A small disk."""

    def __init__(self, folder: Path) -> None:
        self.prefix = str(folder / "pipe")
        self.filler = folder / "filler"
        self.filler.write_bytes(bytes(400_000))

    def fill(self) -> None:
        """Take all the room that is left."""
        with self.filler.open("ab", buffering=0) as file:
            for size in (65536, 4096, 1):
                try:
                    while True:
                        file.write(bytes(size))
                except OSError as error:
                    assert error.errno == errno.ENOSPC

    def free(self) -> None:
        self.filler.unlink()


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    with small_disk(tmp_path / "disk"):
        yield Disk(tmp_path / "disk")


def write_until_full(pipe: smartpipe.Writer) -> tuple[Blocks, smartpipe.StorageError]:
    """Write blocks until the disk is full; gives those that were written, and the error."""
    written: Blocks = []
    for number in range(1000):
        block = block_of(number)
        try:
            pipe.write(*block)
        except smartpipe.StorageError as error:
            assert error.block == block[0]
            return written, error
        written.append(block)
    raise AssertionError("the disk does not become full")


@every_kind
@every_durability_that_does_not_wait
def test_a_new_pipe_on_a_disk_that_becomes_full(kind: Kind, durability: str, disk: Disk) -> None:
    pipe = smartpipe.open(disk.prefix, "w", **kind.options, durability=DURABILITIES[durability])
    written, error = write_until_full(pipe)
    assert len(written) > 20
    assert isinstance(error, OSError)
    assert error.errno == errno.ENOSPC
    assert error.path == pipe.data_path
    assert "No space left" in str(error)
    calls = (lambda: pipe.write(b"x", {}), lambda: pipe.block(b"x"), lambda: pipe.checkpoint(b"x"))
    for call in (*calls, pipe.flush, pipe.sync):
        with pytest.raises(smartpipe.StorageError):
            call()
    # Not even when there is room again: what is in the files would no longer be what the writer believes.
    disk.free()
    with pytest.raises(smartpipe.StorageError):
        pipe.write(b"x", {})
    with warned():
        assert read(disk.prefix) == written
        pipe.close()
        assert pipe.closed
        assert read(disk.prefix) == written
        with smartpipe.open(disk.prefix, "a") as again:
            assert len(again) == len(written)
            again.write(b"new", {b"k": b"v"})
        assert read(disk.prefix) == [*written, (b"new", [(b"k", b"v")])]


@every_kind
@pytest.mark.parametrize("flushed", [1, 7, 1000])
def test_blocks_that_wait_in_the_process_when_the_disk_becomes_full(kind: Kind, flushed: int, disk: Disk) -> None:
    pipe = smartpipe.open(disk.prefix, "w", **kind.options, durability="none")
    written: Blocks = []
    acknowledged = 0
    with pytest.raises(smartpipe.StorageError) as caught:
        while True:
            pipe.write(*(block := block_of(len(written))))
            written.append(block)
            if len(written) % flushed == 0:
                pipe.flush()
                acknowledged = len(written)
    assert caught.value.errno == errno.ENOSPC
    for call in (lambda: pipe.write(b"x", {}), lambda: pipe.block(b"x"), pipe.flush, pipe.sync):
        with pytest.raises(smartpipe.StorageError):
            call()
    count = len(pipe)
    with warned():
        pipe.close()
        found = read(disk.prefix)
        assert acknowledged <= len(found) == count
        assert found == written[:count]
        disk.free()
        with smartpipe.open(disk.prefix, "a") as again:
            again.write(b"new", {})
        assert read(disk.prefix) == [*written[:count], (b"new", [])]


@every_kind
@pytest.mark.parametrize("way", ["block", "checkpoint", "with"])
def test_the_other_ways_to_write(kind: Kind, way: str, disk: Disk) -> None:
    disk.fill()
    os.truncate(disk.filler, disk.filler.stat().st_size - 40_000)
    large = os.urandom(60_000)
    full = pytest.raises(smartpipe.StorageError, match="No space left")
    with full, smartpipe.open(disk.prefix, "w", **kind.options) as pipe:
        pipe.write(b"before", {b"k": b"v"})
        if way == "block":
            with pipe.block(b"large") as block:
                block.append(b"k", large)
        else:
            pipe.checkpoint(b"large")
            pipe.append(b"k", large)
            if way == "checkpoint":
                pipe.checkpoint(b"next")
    with warned():
        assert read(disk.prefix) == [(b"before", [(b"k", b"v")])]


@every_kind
def test_an_old_pipe_stays_when_its_replacement_does_not_fit(kind: Kind, disk: Disk) -> None:
    plant(disk.prefix, PAGES, kind)
    with pytest.raises(smartpipe.StorageError), smartpipe.open(disk.prefix, "w", **kind.options) as pipe:
        for number in range(1000):
            pipe.write(*block_of(number))
    assert read(disk.prefix) == PAGES
    # Also where nobody looked at the error.
    pipe = smartpipe.open(disk.prefix, "w", **kind.options)
    write_until_full(pipe)
    with pytest.raises(smartpipe.StorageError):
        pipe.close()  # it does not do what it was asked for
    assert pipe.closed
    assert read(disk.prefix) == PAGES
    # And there is room again once it is written anew.
    with smartpipe.open(disk.prefix, "w", **kind.options) as pipe:
        pipe.write(b"new", {})
    assert read(disk.prefix) == [(b"new", [])]


@every_kind
@every_durability_that_does_not_wait
def test_appending_on_a_full_disk(kind: Kind, durability: str, disk: Disk) -> None:
    plant(disk.prefix, SMALL, kind)
    data, listed = kind.data(disk.prefix).read_bytes(), index(disk.prefix).read_bytes()
    disk.fill()
    pipe = smartpipe.open(disk.prefix, "a", durability=DURABILITIES[durability])
    assert len(pipe) == 4
    written: Blocks = []
    # The page in which the file ends has room.
    with pytest.raises(smartpipe.StorageError) as caught:
        for number in range(1000):
            pipe.write(b"%d" % number, {b"k": b"v" * 100})
            written.append((b"%d" % number, [(b"k", b"v" * 100)]))
    assert caught.value.errno == errno.ENOSPC
    with warned():
        assert read(disk.prefix) == [*SMALL, *written]
        pipe.close()
        assert read(disk.prefix) == [*SMALL, *written]
    assert kind.data(disk.prefix).read_bytes().startswith(data)
    assert index(disk.prefix).read_bytes().startswith(listed)
    disk.free()
    with warned(), smartpipe.open(disk.prefix, "a") as again:
        again.write(b"new", {})
    assert read(disk.prefix) == [*SMALL, *written, (b"new", [])]


@every_kind
@pytest.mark.parametrize("mode", ["w", "x", "a"])
def test_a_pipe_that_can_not_even_begin(kind: Kind, mode: Any, disk: Disk) -> None:
    disk.fill()
    before = sorted(files(disk.prefix))
    try:
        pipe = smartpipe.open(disk.prefix, mode, **kind.options)
    except smartpipe.StorageError as error:
        assert error.errno == errno.ENOSPC
        assert sorted(files(disk.prefix)) == before
    else:
        # Format 1 has no header: the first block is what does not fit.
        assert kind.format == 1
        with pytest.raises(smartpipe.StorageError) as caught:
            pipe.write(b"a", {b"k": b"v"})
        assert caught.value.errno == errno.ENOSPC
        pipe.close()
        assert read(disk.prefix) == []
    disk.free()
    with smartpipe.open(disk.prefix, "a", **kind.options) as again:
        again.write(b"a", {})
    assert read(disk.prefix) == [(b"a", [])]


@every_kind
@every_durability_that_does_not_wait
def test_closing_a_pipe_on_a_disk_that_became_full(kind: Kind, durability: str, disk: Disk) -> None:
    # All data is there; only the index may lack something.
    pipe = smartpipe.open(disk.prefix, "w", **kind.options, durability=DURABILITIES[durability])
    written: Blocks = []
    for number in range(20):
        pipe.write(*(block := block_of(number)))
        written.append(block)
    disk.fill()
    try:
        pipe.close()
    except smartpipe.StorageError as error:
        assert error.errno == errno.ENOSPC
        assert "index" in str(error)
    assert pipe.closed
    with warned():
        assert read(disk.prefix) == written
    disk.free()
    with warned():
        smartpipe.open(disk.prefix, "a").close()
    assert read(disk.prefix) == written


LIMITED = """
import errno, random, resource, sys, warnings
import smartpipe
warnings.simplefilter("ignore", smartpipe.PipeWarning)
path, format, compress, durability = sys.argv[1], int(sys.argv[2]), bool(int(sys.argv[3])), sys.argv[4]
if durability == "grouped":
    durability = smartpipe.Grouped(milliseconds=1, bytes=4096)
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, resource.RLIM_INFINITY))
pipe = smartpipe.open(path, "w", format=format, compress=compress, durability=durability)
content = {n: random.Random(n).randbytes(5000) for n in range(200)}
for number in range(200):
    try:
        pipe.write(b"%d" % number, {b"k": content[number]})
    except smartpipe.StorageError as error:
        assert error.errno == errno.EFBIG and error.offset is not None, error
        break
else:
    raise SystemExit("no error")
try:
    pipe.write(b"more", {})
    raise SystemExit("no second error")
except smartpipe.StorageError:
    pass
pipe.close()
with smartpipe.open(path) as reader:
    found = [(key, list(block)) for key, block in reader.items()]
    assert found == [(b"%d" % n, [(b"k", content[n])]) for n in range(number)]
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
with smartpipe.open(path, "a") as pipe:
    assert len(pipe) == number
    pipe.write(b"more", {})
with smartpipe.open(path) as reader:
    assert len(reader) == number + 1 and b"more" in reader
print("ok")
"""


@every_kind
@every_durability_that_does_not_wait
def test_a_limit_on_the_size_of_a_file(kind: Kind, durability: str, tmp_path: Path) -> None:
    assert run(LIMITED, tmp_path / "pipe", kind.format, int(kind.compress), durability) == "ok\n"


def test_all_of_this_in_a_namespace() -> None:
    """Who is not root can be it where nobody else sees it, if the system allows that."""
    if os.geteuid() == 0:
        pytest.skip("this is root already")
    root = [shutil.which("unshare") or "/bin/false", "--user", "--map-root-user", "--mount"]
    if subprocess.run([*root, "true"], check=False, capture_output=True).returncode != 0:
        pytest.skip("no namespace may be made here")
    subprocess.run([*root, sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", __file__], check=True)
