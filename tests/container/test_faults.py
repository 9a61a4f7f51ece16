"""Each call that changes the disk fails once, or for good, or is interrupted: nothing that was acknowledged is lost.

All of them go through one object, smartpipe._platform.disk. Every scenario is run as often as it makes calls, with
another one failing each time; a write fails after it has written half.
"""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import smartpipe
from smartpipe._platform import disk

from .pipes import SMALL, Blocks, Kind, every_kind, plant, read, warned

CALLS = ("open", "write", "truncate", "sync", "rename", "unlink", "sync_folder")
BLOCKS: Blocks = [
    (b"a", [(b"k", b"1" * 5000)]),
    (b"b", [(b"k", b"2"), (b"l", b"")]),
    (b"c", []),
    (b"d", [(b"k", os.urandom(6000)), (b"l", b"3")]),
]
NEW = (b"new", [(b"k", b"v")])


class Fault:
    """Lets call number `which` fail; with `lasting` all behind it too."""

    def __init__(self, error: type[BaseException], which: int, lasting: bool) -> None:
        self.error, self.which, self.lasting = error, which, lasting
        self.count = 0

    def around(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def made(*arguments: Any) -> Any:
            number = self.count
            self.count += 1
            if number != self.which and not (self.lasting and number > self.which):
                return call(*arguments)
            if name == "write":
                file, data = arguments
                call(file, memoryview(data)[: len(data) // 2])
            if self.error is OSError:
                raise OSError(errno.EIO, os.strerror(errno.EIO))
            raise self.error

        return made


def work(prefix: str, kind: Kind, mode: Any, acknowledged: Blocks) -> None:
    with smartpipe.open(prefix, mode, **kind.options) as pipe:
        for number, (key, pairs) in enumerate(BLOCKS):
            pipe.write(key, pairs)
            acknowledged.append((key, pairs))
            if number == 1:
                pipe.sync()
            if number == 2:
                pipe.flush()


def run_with(fault: Fault, prefix: str, kind: Kind, mode: Any) -> tuple[Blocks, BaseException | None]:
    """The scenario with a fault; gives the blocks whose write returned, and what came out."""
    acknowledged: Blocks = []
    raised: BaseException | None = None
    with pytest.MonkeyPatch.context() as patched:
        for name in CALLS:
            patched.setattr(disk, name, fault.around(name, getattr(disk, name)))
        try:
            work(prefix, kind, mode, acknowledged)
        except (smartpipe.StorageError, KeyboardInterrupt) as error:
            raised = error.with_traceback(None)
    return acknowledged, raised


def found_at(prefix: str, kind: Kind) -> Blocks | None:
    """What is there; None where a pipe of format 1 has no index at this instant."""
    try:
        return read(prefix)
    except smartpipe.PipeNotFoundError:
        return []
    except smartpipe.FormatError as error:
        assert kind.format == 1 and "index" in str(error)
        return None


@every_kind
@pytest.mark.parametrize("mode", ["x", "a", "w"])
@pytest.mark.parametrize("error, lasting", [(OSError, False), (OSError, True), (KeyboardInterrupt, False)])
def test_no_fault_loses_what_was_acknowledged(
    kind: Kind, mode: str, error: type[BaseException], lasting: bool, scratch: str
) -> None:
    """mode x makes a new pipe, a goes on with one, w replaces one."""
    folder = Path(scratch).parent
    before: Blocks = [] if mode == "x" else SMALL
    which = 0
    while True:
        shutil.rmtree(folder)
        folder.mkdir()
        if before:
            plant(scratch, SMALL, kind)
        fault = Fault(error, which, lasting)
        with warned():
            acknowledged, raised = run_with(fault, scratch, kind, mode)
        if fault.count <= which:
            break  # there was no such call
        if error is OSError and raised is not None:
            assert isinstance(raised, smartpipe.StorageError)
            assert raised.errno == errno.EIO
        elif error is KeyboardInterrupt:
            assert raised is None or isinstance(raised, KeyboardInterrupt)
        where = f"call {which}"
        with warned():
            if mode == "w":
                found = found_at(scratch, kind)
                if raised is None:
                    assert found == BLOCKS, where
                elif found is not None:
                    assert found in (before, BLOCKS), where
                else:
                    # The old index was taken away: then the new pipe is finished, at .new or already here.
                    new = scratch + ".new"
                    assert not os.path.exists(str(kind.data(new))) or read(new) == BLOCKS, where
            else:
                # A block whose write failed is not there; in format 1, where even the cut had failed, append cuts it.
                if kind.format == 1 and raised is not None and os.path.exists(kind.data(scratch)):
                    smartpipe.open(scratch, "a", **kind.options).close()
                found = found_at(scratch, kind)
                assert found is not None, where
                assert found[: len(before)] == before, where
                if raised is None:
                    assert found == [*before, *BLOCKS], where
                else:
                    assert found == [*before, *BLOCKS][: len(found)], where
                    assert len(before) + len(acknowledged) <= len(found), where
            # And it goes on.
            if found is not None:
                with smartpipe.open(scratch, "a", **kind.options) as pipe:
                    pipe.write(*NEW)
                assert read(scratch) == [*found, NEW], where
        which += 1
    assert which > 8  # the scenario does make calls


@every_kind
def test_a_writer_that_failed_writes_nothing_more(kind: Kind, scratch: str) -> None:
    for which in range(40):
        fault = Fault(OSError, which, False)
        shutil.rmtree(Path(scratch).parent)
        Path(scratch).parent.mkdir()
        with pytest.MonkeyPatch.context() as patched:
            pipe = smartpipe.open(scratch, "w", **kind.options)
            patched.setattr(disk, "write", fault.around("write", disk.write))
            patched.setattr(disk, "sync", fault.around("sync", disk.sync))
            failed = False
            for number in range(8):
                for call in (
                    lambda pipe=pipe, number=number: pipe.write(b"%d" % number, {b"k": b"v" * 100}),
                    pipe.sync,
                ):
                    try:
                        call()
                        assert not failed
                    except smartpipe.StorageError:
                        failed = True
            count = len(pipe)
            try:
                pipe.close()
            except smartpipe.StorageError:
                failed = True  # what can not be synced is not said to be closed
        with warned():
            assert read(scratch) == [(b"%d" % number, [(b"k", b"v" * 100)]) for number in range(count)]
            assert count == 8 or failed
        if fault.count <= which:
            return
    raise AssertionError("the calls did not end")
