"""What child.py measures of stores of small values: put, got, deleted and compacted, by one process or several; and of
Python values written and read, with pickling.

Several processes open the same store, and each does its share of the values; their time is that from the first
beginning to the last end. What changes a store is done to a copy of what was made, once. Beside what the answers of
child.py have, `files` is the number of files and folders, and `stored` what they take of the disk, in bytes.
"""

import gc
import itertools
import os
import random
import shutil
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from itertools import starmap
from multiprocessing import get_context
from multiprocessing.connection import Connection
from operator import itemgetter
from pathlib import Path
from statistics import median
from typing import Any

from bench.corpus import SEED, Block, key
from bench.rivals.objects import ObjectKeeper, Objects
from bench.rivals.rival import Rival
from bench.rivals.store import Keeper, Value, Values

Answer = dict[str, float | int | str]

CHECKED = 10  # values that are looked at after a store was changed
LOOKUPS = 20_000
ENOUGH = 0.2  # seconds of calls of one kind
WRITERS = 8
PAUSE = 1 / 200  # seconds between two puts of a live writer
FORK = get_context("fork")


def keep(contender: Keeper, action: str, folder: Path, blocks: list[Block], processes: int, watch: Any) -> Answer:
    """Let one or several processes do something with all values."""
    values = [(name, pairs[b""]) for name, pairs in blocks]
    raw = sum(len(name) + len(value) for name, value in values)
    amount: Answer = {"blocks": len(values), "pairs": len(values), "raw": raw}
    if action == "make":
        make(contender, folder, values)
        return {}
    if action in READS:
        amount["blocks"] = len(values) * (processes if action == "items" else 1)
        return reading(contender, READS[action], folder, values, processes, watch) | amount
    while watch.again():
        copy = folder / "run"
        if action in FILLS:
            copy.mkdir()
            contender.begin(copy)
        else:
            # Half of the values, here and there; they are in no order.
            values = values[: len(values) // 2]
            amount["blocks"] = len(values)
            copy = folder.with_name(f"{folder.name}-copy")
            shutil.copytree(folder, copy)
            watch.most = 1
            if action == "compact":
                CHANGES["delete"](contender, copy, values)
        os.sync()
        timed(watch, processes, values, lambda share, copy=copy: CHANGES[action](contender, copy, share))
        check(contender, copy, values, action in FILLS)
        amount |= {"stored": room(copy), "files": sum(1 for _ in copy.rglob("*"))}
        shutil.rmtree(copy)
    return watch.answer() | amount


def make(contender: Keeper, folder: Path, values: list[Value]) -> None:
    """Write the store that others read, or change a copy of."""
    contender.begin(folder)
    try:
        put_many(contender, folder, values)
    except NotImplementedError:
        put(contender, folder, values)


def put(contender: Keeper, folder: Path, share: list[Value]) -> None:
    with closing(contender.open(folder, True)) as opened:
        put = opened.put
        for name, value in share:
            put(name, value)


def put_many(contender: Keeper, folder: Path, share: list[Value]) -> None:
    with closing(contender.open(folder, True)) as opened:
        opened.put_many(share)


def delete(contender: Keeper, folder: Path, share: list[Value]) -> None:
    with closing(contender.open(folder, True)) as opened:
        delete = opened.delete
        for name, _ in share:
            delete(name)


def compact(contender: Keeper, folder: Path, share: list[Value]) -> None:
    with closing(contender.open(folder, True)) as opened:
        opened.compact()


FILLS = ("put", "put_many")
CHANGES: dict[str, Callable[[Keeper, Path, list[Value]], None]] = {
    "put": put,
    "put_many": put_many,
    "delete": delete,
    "compact": compact,
}


def get_bytes(opened: Values, share: list[Value]) -> int:
    get, total = opened.get, 0
    for name, _ in share:
        total += len(get(name))
    return total


def items(opened: Values, share: list[Value]) -> int:
    total = 0
    for _, value in opened.items():
        total += len(value)
    return total


READS: dict[str, Callable[[Values, list[Value]], int]] = {"get_bytes": get_bytes, "items": items}


def reading(
    contender: Keeper,
    read: Callable[[Values, list[Value]], int],
    folder: Path,
    values: list[Value],
    processes: int,
    watch: Any,
) -> Answer:
    """Read values at random, each process its share; or all in order, each process all of them."""
    every = sum(len(value) for _, value in values)
    values = random.Random(SEED).sample(values, len(values))

    def run(opened: Values, share: list[Value]) -> None:
        expected = every if read is items else sum(len(value) for _, value in share)
        if (found := read(opened, share)) != expected:
            raise RuntimeError(f"{read.__name__} gave {found} bytes of {expected}")

    def once(share: list[Value]) -> Callable[[], None]:
        opened = contender.open(folder, False)
        return lambda: run(opened, share)

    if processes > 1:
        while watch.again():
            watch.add(*together(processes, values, once))
        return watch.answer()
    go = once(values)
    while watch.again():
        with watch:
            go()
    return watch.answer()


def timed(watch: Any, processes: int, values: list[Value], change: Callable[[list[Value]], None]) -> None:
    """Time a change from opening to closing, made here or by several processes."""
    if processes > 1:
        watch.add(*together(processes, values, lambda share: lambda: change(share)))
    else:
        with watch:
            change(values)


def check(contender: Keeper, folder: Path, values: list[Value], there: bool) -> None:
    """Make sure that some values are there, or are not."""
    with closing(contender.open(folder, False)) as opened:
        for name, value in random.Random(SEED).sample(values, min(CHECKED, len(values))):
            if (got(opened, name) == value) != there:
                raise RuntimeError(f"{name!r} was {'lost' if there else 'kept'}")


def got(opened: Values, name: bytes) -> bytes | None:
    """A value; None where there is none, which every contender says in its own way."""
    try:
        return opened.get(name)
    except Exception:
        return None


def room(folder: Path) -> int:
    """Return what all files and folders below one take of the disk, in bytes."""
    return sum(path.lstat().st_blocks * 512 for path in folder.rglob("*"))


# Python values


def keep_objects(
    contender: ObjectKeeper, action: str, folder: Path, values: list[dict[str, Any]], watch: Any
) -> Answer:
    """Let one process write all values, or read them. Whether equal ones come back is looked at beside the clock."""
    amount: Answer = {"blocks": len(values), "pairs": len(values)}
    if action == "make":
        contender.begin(folder)
        write_objects(contender, "write", folder, values)
        return {}
    if action == "get_cold":
        return getting_cold(contender, folder, values, watch) | amount
    if action in OBJECT_READS:
        with closing(contender.open_objects(folder, False)) as opened:
            run = OBJECT_READS[action](opened, values)
            characters = sum(len(value["text"]) for value in values)
            while watch.again():
                with watch:
                    found = run()
                if found != characters:
                    raise RuntimeError(f"{action} gave {found} characters of {characters}")
            check_objects(opened, values)
        return watch.answer() | amount
    while watch.again():
        copy = folder / "run"
        copy.mkdir()
        contender.begin(copy)
        os.sync()
        with watch:
            write_objects(contender, action, copy, values)
        amount |= {"stored": room(copy), "files": sum(1 for _ in copy.rglob("*"))}
        with closing(contender.open_objects(copy, False)) as opened:
            check_objects(opened, values)
        shutil.rmtree(copy)
    return watch.answer() | amount


def write_objects(contender: ObjectKeeper, action: str, folder: Path, values: list[dict[str, Any]]) -> None:
    with closing(contender.open_objects(folder, True)) as opened:
        getattr(opened, action)(values)


def read_objects(opened: Objects, values: list[dict[str, Any]]) -> Callable[[], int]:
    def run() -> int:
        total = 0
        for value in opened.read():
            total += len(value["text"])
        return total

    return run


def get_objects(opened: Objects, values: list[dict[str, Any]]) -> Callable[[], int]:
    names = opened.names(values)
    get, names = opened.get, random.Random(SEED).sample(names, len(names))

    def run() -> int:
        total = 0
        for name in names:
            total += len(get(name)["text"])
        return total

    return run


def getting_cold(contender: ObjectKeeper, folder: Path, values: list[dict[str, Any]], watch: Any) -> Answer:
    """Open a store and read its values at random, when no file of it is in memory. The names of files, and where these
    are on the disk, stay in memory: it takes more rights to let the system forget them."""
    with closing(contender.open_objects(folder, False)) as opened:
        names = opened.names(values)
    watch.most = 1
    forget(folder)
    with watch, closing(contender.open_objects(folder, False)) as opened:
        get = opened.get
        found = [get(name) for name in random.Random(SEED).sample(names, len(names))]
    if sorted(found, key=itemgetter("number")) != values:
        raise RuntimeError("other values came back than were written")
    return watch.answer()


def forget(folder: Path) -> None:
    """Let the system forget what is in the files of a folder."""
    os.sync()
    for path in folder.rglob("*"):
        if path.is_file():
            file = os.open(path, os.O_RDONLY)
            try:
                os.posix_fadvise(file, 0, 0, os.POSIX_FADV_DONTNEED)
            finally:
                os.close(file)


OBJECT_READS = {"read_objects": read_objects, "get_objects": get_objects}


def check_objects(opened: Objects, values: list[dict[str, Any]]) -> None:
    """Make sure that all values are there, equal to what they were."""
    if sorted(opened.read(), key=itemgetter("number")) != values:
        raise RuntimeError("other values came back than were written")


# Several processes


def together(
    count: int, values: list[Value], prepare: Callable[[list[Value]], Callable[[], None]]
) -> tuple[float, float]:
    """Let processes begin at the same time, each with its share; return seconds, and processor seconds of all."""
    barrier = FORK.Barrier(count)
    ends = []
    for number in range(count):
        ours, theirs = FORK.Pipe(duplex=False)
        process = FORK.Process(target=take_part, args=(theirs, barrier, values[number::count], prepare))
        process.start()
        theirs.close()
        ends.append((process, ours))
    answers = []
    for process, ours in ends:
        try:
            answers.append(ours.recv())
        except EOFError:
            raise RuntimeError(f"a process of {count} ended without an answer") from None
        process.join()
    begins, finished, processor = zip(*answers, strict=True)
    return max(finished) - min(begins), sum(processor)


def take_part(answer: Connection, barrier: Any, share: list[Value], prepare: Callable[..., Callable[[], None]]) -> None:
    """One of several processes. It ends without an answer when it fails, and lets no other wait for it."""
    try:
        run = prepare(share)
        barrier.wait()
        begin = time.perf_counter(), time.process_time()
        run()
        answer.send((begin[0], time.perf_counter(), time.process_time() - begin[1]))
    except BaseException:
        barrier.abort()
        raise
    finally:
        answer.close()


# Many keys in many shards, beside one pipe of them


def looking_up(contender: Rival, folder: Path, count: int, written: bool) -> Answer:
    """The time until a store is open and has found a key, and what `len`, `in` and `get` take; `written`: while others
    put. These take turns with the processor then, and put slowly enough to leave most of it."""
    numbers = random.Random(SEED)
    keys = [key(numbers.randrange(count)) for _ in range(LOOKUPS)]
    if not written:
        return lookups(contender, folder, keys, count)
    copy = folder.with_name(f"{folder.name}-copy")
    shutil.copytree(folder, copy)
    os.sync()
    with writers(contender, copy):
        answer = lookups(contender, copy, keys, count)
    shutil.rmtree(copy)
    return answer


def lookups(contender: Rival, folder: Path, keys: list[bytes], count: int) -> Answer:
    begin = time.perf_counter()
    store = contender.open(folder)
    found = store.has(keys[0])
    seconds = time.perf_counter() - begin
    if not found or store.has(b"http://localhost/nowhere") or store.count() < count:
        raise RuntimeError("a key that is there was not found, or the other way round")
    gc.disable()
    given = [(name,) for name in keys]
    answer = {
        "seconds": seconds,
        "length": loops(store.count, [()] * LOOKUPS),
        "lookup": loops(store.has, given),
        "get": loops(store.get, given),
        "blocks": count,
    }
    store.close()
    return answer


def loops(call: Callable[..., object], given: list[tuple[Any, ...]]) -> float:
    """The seconds of one call: the median of loops over all that is given."""
    times: list[float] = []
    while sum(times) < ENOUGH:
        begin = time.perf_counter()
        deque(starmap(call, given), 0)
        times.append(time.perf_counter() - begin)
    return median(times) / len(given)


@contextmanager
def writers(contender: Rival, folder: Path) -> Iterator[None]:
    """Let processes put new keys into a store, slowly, as long as this lasts."""
    end, ready = FORK.Event(), FORK.Barrier(WRITERS + 1)
    processes = [FORK.Process(target=put_slowly, args=(contender, folder, n, ready, end)) for n in range(WRITERS)]
    for process in processes:
        process.start()
    try:
        ready.wait()
        yield
    finally:
        end.set()
        for process in processes:
            process.join()
    if any(process.exitcode for process in processes):
        raise RuntimeError("a process that puts failed")


def put_slowly(contender: Rival, folder: Path, number: int, ready: Any, end: Any) -> None:
    try:
        with contender.create(folder) as store:
            for count in itertools.count():
                store.put_bytes(b"http://localhost/new/%d/%d/%d" % (os.getpid(), number, count), b"12345678")
                if count == 0:
                    ready.wait()
                if end.wait(PAUSE):
                    break
    except BaseException:
        ready.abort()
        raise
