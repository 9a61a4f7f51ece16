"""An allocation fails, each in turn: MemoryError or an error of ours, and the pipe is whole.

Two kinds: one of the C library that smartpipe's extensions or the compressor ask for (failing_malloc.c, preloaded into
a process of its own), and one of Python's objects (`_testcapi.set_nomemory`). A case runs the script in a forked
child of such a process.
"""

from __future__ import annotations

import atexit
import ctypes
import gc
import importlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import traceback
import warnings
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

import pytest
from container.pipes import KINDS, SMALL, Blocks, Kind, plant
from torture import harness

import smartpipe

NAME = "malloc failing at every N"
UNIT = "failing allocations"
FINITE = True
# Of the C library there are few in the script, so that each is tried by the tests, once and for good; of Python's
# there are more.
MOST_OF_C = 80
MOST_OF_PYTHON = 1000
STEP = 97
SCRIPTS = 12  # three modes, four kinds
OF_C = 2 * SCRIPTS * MOST_OF_C
QUICK = OF_C + SCRIPTS * MOST_OF_PYTHON // 5
LONG = OF_C + SCRIPTS * MOST_OF_PYTHON

HERE = Path(__file__).parent
TESTS = HERE.parent
BLOCKS: Blocks = [
    (b"new %d" % number, [(b"raw", b"<p>%d" % number * 3000), (b"log", b"ok"), (b"%d" % number, b"v" * 300)])
    for number in range(4)
]


def script(prefix: str, mode: Any, kind: Kind, acknowledged: Blocks) -> None:
    """Go on with a pipe or replace it, and read what is there meanwhile."""
    with smartpipe.open(prefix, mode, **kind.options) as pipe:
        for number, (key, pairs) in enumerate(BLOCKS):
            pipe.write(key, pairs)
            acknowledged.append((key, pairs))
            if number == 1:
                pipe.sync()
            if number == 2:
                pipe.flush()
    with smartpipe.open(prefix) as reader:
        for key, block in reader.items(select=[b"raw"]):
            assert block.get(b"raw") is None or key
        for key, pairs in acknowledged:
            assert list(reader[key]) == pairs
        assert b"absent" not in reader
        assert len(list(reader.get_many([b"first", b"absent"]))) == 2
        assert len(reader.splits(2)) >= 1
        list(reader.pull_block())
        if hasattr(reader, "refresh"):
            reader.refresh()


def check(prefix: str, mode: str, kind: Kind, acknowledged: Blocks, finished: bool) -> None:
    """Nothing that was acknowledged is lost: beside what was there for "a", in the place of it for "w"."""
    before = {"a": SMALL, "w": SMALL, "x": []}[mode]
    try:
        found = read(prefix)
    except smartpipe.PipeNotFoundError:
        assert mode == "x" and not acknowledged, f"no pipe, and {len(acknowledged)} blocks were acknowledged"
        return
    except smartpipe.FormatError:
        assert mode == "w" and kind.format == 1, "no index"  # not atomic, FORMAT.md «Files and locks»
        return
    if mode == "w":
        assert found in (SMALL, BLOCKS), found
        assert not finished or found == BLOCKS
        return
    good = [*before, *acknowledged]
    # The block whose write failed may be there whole: nobody was told that it is not.
    assert found[: len(good)] == good, found
    assert found[len(good) :] in ([], BLOCKS[len(acknowledged) : len(acknowledged) + 1]), found
    with smartpipe.open(prefix, "a", compress=kind.compress, format=kind.format) as pipe:
        pipe.write(b"later", {b"k": b"v"})
    assert read(prefix) == [*found, (b"later", [(b"k", b"v")])]


def read(prefix: str) -> Blocks:
    with smartpipe.open(prefix) as pipe:
        return [(key, list(block)) for key, block in pipe.items()]


def run(which: int, number: int, lasting: bool, library: Any) -> str:
    """The script with an allocation failing; how many of the C library there were, and whether it came to its end."""
    mode = "awx"[which % 3]
    kind = KINDS[which // 3 % 4]
    folder = tempfile.mkdtemp(prefix="memory-", dir=harness.MEMORY)
    prefix = folder + "/pipe"
    try:
        if mode != "x":
            plant(prefix, SMALL, kind)
        acknowledged: Blocks = []
        finished = False
        if library is not None:
            assert library.fail_at(number, lasting) > 2
        else:
            set_nomemory(number, number + 1)
        try:
            script(prefix, mode, kind, acknowledged)
            finished = True
        except (MemoryError, smartpipe.SmartPipeError):
            pass
        except RuntimeError as error:
            # How Python's own files say that there is no memory for their lock.
            assert str(error) in ("can't allocate lock", "can't allocate read lock"), error
        finally:
            if library is not None:
                count = library.allocations()
            else:
                remove_mem_hooks()
                count = 0
        gc.collect()
        check(prefix, mode, kind, acknowledged, finished)
        return f"{count} {finished}"
    finally:
        shutil.rmtree(folder)


try:
    _testcapi: Any = importlib.import_module("_testcapi")
    set_nomemory, remove_mem_hooks = _testcapi.set_nomemory, _testcapi.remove_mem_hooks
except (ImportError, AttributeError):
    _testcapi = None


# The process with the preloaded library, and what a case asks of it


def serve() -> None:
    """For each line on standard input run the script in a forked child, and answer with a line."""
    library = ctypes.CDLL(os.environ["LD_PRELOAD"])
    library.allocations.restype = ctypes.c_long
    library.fail_at.argtypes = (ctypes.c_long, ctypes.c_int)
    del os.environ["LD_PRELOAD"]
    warnings.simplefilter("ignore")
    # What is imported and cached on the way shall be there before.
    for which in range(SCRIPTS):
        run(which, 10**9, False, library)
    gc.collect()
    gc.freeze()
    gc.disable()
    for line in sys.stdin:
        which, number, lasting, of_c = map(int, line.split())
        sys.stdout.write(json.dumps(forked(which, number, bool(lasting), library if of_c else None)) + "\n")
        sys.stdout.flush()


def forked(which: int, number: int, lasting: bool, library: Any) -> str:
    receiver, sender = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(receiver)
        signal.alarm(harness.HANG // 2)
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, 2)  # exceptions that nobody can be told are written there
        try:
            text = f"ok {run(which, number, lasting, library)}"
        except BaseException:
            text = traceback.format_exc()
        os.write(sender, text[-60_000:].encode())
        os._exit(0)
    os.close(sender)
    with os.fdopen(receiver) as stream:
        text = stream.read()
    status = os.waitpid(pid, 0)[1]
    return text or f"the process ended with {os.WTERMSIG(status) or os.WEXITSTATUS(status)}"


_servers: dict[int, subprocess.Popen[str]] = {}


def ask(which: int, number: int, lasting: bool, of_c: bool) -> str:
    """The answer of the server of this process, which is started where there is none."""
    server = _servers.get(os.getpid())
    if server is None:
        path = os.pathsep.join([str(TESTS), *(part for part in sys.path if part)])
        server = _servers[os.getpid()] = subprocess.Popen(
            [sys.executable, "-c", "from hostile import test_memory; test_memory.serve()"],
            cwd=TESTS,
            env={**os.environ, "LD_PRELOAD": str(library_path()), "PYTHONPATH": path},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        atexit.register(end, server)
    assert server.stdin is not None
    assert server.stdout is not None
    print(which, number, int(lasting), int(of_c), file=server.stdin, flush=True)
    line = server.stdout.readline()
    assert line, "the process that runs the script has ended"
    return str(json.loads(line))


def end(server: subprocess.Popen[str]) -> None:
    server.kill()
    with server:  # closes the pipes and waits
        pass


@cache
def library_path() -> Path:
    """The library to preload, compiled once for all processes of this run."""
    folder = tempfile.mkdtemp(prefix="smartpipe-malloc-")
    owner = os.getpid()
    atexit.register(lambda: shutil.rmtree(folder) if os.getpid() == owner else None)
    path = Path(folder) / "failing_malloc.so"
    compiler = shutil.which("cc") or shutil.which("gcc")
    assert compiler is not None
    subprocess.run([compiler, "-shared", "-fPIC", "-O2", "-o", path, HERE / "failing_malloc.c"], check=True)
    return path


def setup() -> None:
    library_path()


def case(number: int, random: Random, folder: Path) -> None:
    """The first cases are those of the C library: by mode and kind, which one fails, and whether all behind it do.

    Of Python's only one fails: without any the interpreter can not even close a file.
    """
    if number < OF_C:
        answer = ask(number % SCRIPTS, number // (2 * SCRIPTS), bool(number // SCRIPTS % 2), True)
    elif _testcapi is not None:
        number -= OF_C
        answer = ask(number % SCRIPTS, number // SCRIPTS * STEP % MOST_OF_PYTHON, False, False)
    else:
        return
    assert answer.startswith("ok "), answer


needs_preload = pytest.mark.skipif(sys.platform != "linux", reason="a library is preloaded as Linux does it")


@needs_preload
def test_no_failing_allocation_loses_a_block_or_crashes() -> None:
    harness.quick(sys.modules[__name__])


@needs_preload
def test_all_allocations_of_the_script_are_tried() -> None:
    for which in range(SCRIPTS):
        answer = ask(which, 10**9, False, True)
        assert answer.startswith("ok "), answer
        assert 20 < int(answer.split()[1]) <= MOST_OF_C
