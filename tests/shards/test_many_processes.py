"""Many processes work on one store at random, and are killed at random: what each was told has to fit together.

Each process writes down what it is about to do, and then what came of it, with the time of a clock that all share. In
the end the history of each key is held against what a dict may do (histories.py): no acknowledged put is lost, no
deleted key is back, no value is wrong or older than what somebody has seen.
"""

from __future__ import annotations

import os
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from random import Random
from threading import Thread
from typing import Any, NamedTuple

import pytest
from durability.children import Child
from torture import harness
from torture.harness import Lost, Wrong

import smartpipe
from smartpipe import ShardStore

from .histories import NEVER, Operation, Value, stuck

NAME = "processes put, overwrite, get, delete, compact and collect in one store at random, and are killed at random"
UNIT = "rounds of 4,000 operations"
QUICK = 4
LONG = 2500  # ten million operations


class Round(NamedTuple):
    """How many processes, of how many threads each, do how many operations on how many keys, with how many kills."""

    processes: int
    threads: int
    operations: int
    kills: int
    keys: int
    smaller: bool
    """Whether shards are compacted and collected meanwhile."""

    @property
    def each(self) -> int:
        return self.operations // (self.processes * self.threads)


ROUNDS = [
    Round(8, 1, 4000, 25, 20, True),
    Round(8, 1, 4000, 25, 20, False),
    Round(4, 2, 4000, 15, 12, True),
    Round(32, 1, 4000, 200, 30, True),
    Round(3, 1, 4000, 40, 5, True),
]
KINDS = {"put": 16, "overwrite": 10, "again": 4, "delete": 16, "get": 18, "in": 5, "get_many": 4, "items": 2}
KINDS["put_many"] = 12
SMALLER = {"compact": 1, "gc": 1}
MANY = (2, 3, 10)  # keys of put_many and get_many
SIZES = (0, 10, 200, 5000, 40_000)
# The values of a put_many have numbers so far apart, and so each has another size, and most are of one group.
APART = 1_000_001


def content_of(value: tuple[int, int]) -> bytes:
    """What an operation of a process puts: its name, and bytes that follow from it."""
    name = b"%d %d " % value
    size = SIZES[(value[0] * 7 + value[1]) % len(SIZES)]
    return name + (name * (size // len(name) + 1))[:size]


def value_of(data: bytes) -> tuple[int, int]:
    try:
        writer, number = (int(field) for field in data.split(b" ", 2)[:2])
    except ValueError:
        raise Wrong(f"bytes that nobody wrote: {data[:60]!r}") from None
    if content_of((writer, number)) != data:
        raise Wrong(f"bytes that nobody wrote: {data[:60]!r}, {len(data)} bytes")
    return writer, number


def key_of(number: int) -> bytes:
    return b"key/%d" % number


# What a process does


class Worker:
    """A thread of a process that does its operations, from where its log ends."""

    def __init__(self, round: Round, who: int, seed: int, folder: Path, store: ShardStore) -> None:
        self.round, self.who, self.store = round, who, store
        self.log = os.open(folder / f"log-{who}", os.O_RDWR | os.O_CREAT | os.O_APPEND)
        begun = os.pread(self.log, 1 << 30, 0).count(b"\nB ") + 1
        self.next = begun
        self.random = Random(f"{seed}:{who}:{begun}")
        self.kinds = {**KINDS, **(SMALLER if round.smaller else {})}

    def work(self) -> None:
        try:
            while self.next <= self.round.each:
                (kind,) = self.random.choices(list(self.kinds), list(self.kinds.values()))
                getattr(self, kind)(kind)
                self.next += 1
        except BaseException:
            import traceback

            self.write(f"X {traceback.format_exc()!r}")
            os._exit(1)

    def write(self, line: str) -> None:
        # One call each, so that a kill leaves no half of a line; the line begins with the end of the one before.
        os.write(self.log, b"\n" + line.encode())

    def begin(self, kind: str, keys: list[int], value: Value = None) -> None:
        writer, number = value or (-1, -1)
        self.write(f"B {time.monotonic_ns()} {kind} {','.join(map(str, keys))} {writer} {number}")

    def end(self, result: str) -> None:
        self.write(f"E {time.monotonic_ns()} {result}")

    def key(self) -> int:
        return self.random.randrange(self.round.keys)

    def put(self, kind: str, value: Value = None) -> None:
        number = self.key()
        value = value or (self.who, self.next)
        self.begin(kind, [number], value)
        try:
            self.store.put_bytes(key_of(number), content_of(value), overwrite=kind == "overwrite")
            self.end("ok")
        except smartpipe.CollisionError:
            self.end("collision")

    overwrite = put

    def again(self, kind: str) -> None:
        """Put a content that another process has put, perhaps under another key."""
        data = self.store.get_bytes(key_of(self.key()), None)  # type: ignore[call-overload]
        if data is not None:
            self.put("put", value_of(data))

    def delete(self, kind: str) -> None:
        number = self.key()
        self.begin(kind, [number])
        try:
            self.store.delete(key_of(number))
            self.end("ok")
        except smartpipe.BlockNotFound:
            self.end("missing")

    def get(self, kind: str) -> None:
        number = self.key()
        self.begin(kind, [number])
        data = self.store.get_bytes(key_of(number), None)  # type: ignore[call-overload]
        self.end("-1 -1" if data is None else "{} {}".format(*value_of(data)))

    def many(self) -> list[int]:
        return self.random.sample(range(self.round.keys), min(self.random.choice(MANY), self.round.keys))

    def get_many(self, kind: str) -> None:
        numbers = self.many()
        self.begin(kind, numbers)
        found = {key: None if block is None else block[b""] for key, block in self.store.get_many(map(key_of, numbers))}
        self.end_many([found[key_of(number)] for number in numbers])

    def items(self, kind: str) -> None:
        self.begin(kind, list(range(self.round.keys)))
        found = {key: block[b""] for key, block in self.store.items(threads=self.random.choice((1, 2)))}
        self.end_many([found.get(key_of(number)) for number in range(self.round.keys)])

    def end_many(self, values: list[bytes | None]) -> None:
        self.end(",".join("-1 -1" if data is None else "{} {}".format(*value_of(data)) for data in values))

    def put_many(self, kind: str) -> None:
        numbers = self.many()
        kind = self.random.choice(("put_many", "put_many_once"))
        self.begin(kind, numbers, (self.who, self.next))
        try:
            blocks = {key_of(number): content_of((self.who, self.next + i * APART)) for i, number in enumerate(numbers)}
            self.store.put_many(blocks, overwrite=kind == "put_many")
            self.end("ok")
        except smartpipe.CollisionError as error:
            self.end(f"collision {list(blocks).index(error.block)}")

    def compact(self, kind: str) -> None:
        self.store.compact(dead=self.random.choice((0.0, 0.5)))

    def gc(self, kind: str) -> None:
        self.store.gc(grace=self.random.choice((0.0, 1.0)))


def _in(self: Worker, kind: str) -> None:
    number = self.key()
    self.begin(kind, [number])
    self.end(str(key_of(number) in self.store))


setattr(Worker, "in", _in)


def process(round: Round, number: int, seed: int, folder: Path) -> Callable[[Any], None]:
    """What a process does: open the store, and work in threads."""

    def work(tell: Any) -> None:
        codec = (None, "zlib")[number % 2]
        size = (20_000, 100_000, 1 << 20)[number % 3]
        with ShardStore(folder / "store", compress=codec, level=1, shard_size=size, durability="none") as store:  # type: ignore[arg-type]
            first = number * round.threads
            workers = [Worker(round, who, seed, folder, store) for who in range(first, first + round.threads)]
            threads = [Thread(target=worker.work) for worker in workers[1:]]
            for thread in threads:
                thread.start()
            workers[0].work()
            for thread in threads:
                thread.join()

    return work


# What came of it


def operations_of(text: str, who: int) -> list[tuple[int, Operation]]:
    """The operations of a log, each with its key."""
    found: list[tuple[int, Operation]] = []
    begun: list[str] | None = None
    for line in [*text.split("\n")[1:], "B 0 end  0 0"]:
        mark, rest = line.split(" ", 1)
        if mark == "X":
            raise AssertionError(f"process {who}: " + rest.replace("\\n", "\n"))
        if mark == "B":
            if begun is not None:
                found += parsed(begun, NEVER, None, who)
            begun = rest.split(" ")
        else:
            assert begun is not None
            end, result = rest.split(" ", 1)
            found += parsed(begun, int(end), result, who)
            begun = None
    return found


def parsed(begun: list[str], end: int, result: str | None, who: int) -> list[tuple[int, Operation]]:
    begin, kind, keys, *value = begun
    numbers = [int(number) for number in keys.split(",")]
    written = value_at(" ".join(value))
    one = Operation(kind, int(begin), end, written, "unknown" if result is None else result, f"process {who}")
    if kind in ("get", "get_many", "items", "in"):
        if result is None:
            return []
        if kind == "in":
            return [(numbers[0], replace(one, result=result == "True"))]
        values = [value_at(text) for text in result.split(",")]
        return [(number, replace(one, kind="get", result=got)) for number, got in zip(numbers, values, strict=True)]
    if kind.startswith("put_many"):
        kind = "overwrite" if kind == "put_many" else "put"
        results = [one.result] * len(numbers)
        if str(one.result).startswith("collision"):
            # Those before may have been stored.
            at = int(str(one.result).split()[1])
            results = ["unknown"] * len(numbers)
            results[at] = "collision"
        assert written is not None
        return [
            (number, replace(one, kind=kind, value=(written[0], written[1] + i * APART), result=results[i]))
            for i, number in enumerate(numbers)
        ]
    return [(number, one) for number in numbers]


def value_at(text: str) -> Value:
    writer, number = (int(field) for field in text.split(" "))
    return None if writer < 0 else (writer, number)


def check(round: Round, folder: Path) -> None:
    """Hold what all processes were told, and what is there now, against what may be."""
    by_key: dict[int, list[Operation]] = defaultdict(list)
    for path in folder.glob("log-*"):
        who = int(path.name[4:])
        for key, operation in operations_of(path.read_text(), who):
            by_key[key].append(operation)
    now = time.monotonic_ns()
    found = contents(folder / "store")
    for number in range(round.keys):
        last = Operation("get", now, now, None, found.get(key_of(number)), "the end")
        among = stuck([*by_key[number], last])
        if among is not None:
            text = "\n".join(map(str, among))
            raise Lost(f"of {key_of(number)!r} these can not have happened, and those before:\n{text}")
    if set(found) - {key_of(number) for number in range(round.keys)}:
        raise Wrong(f"keys that nobody wrote: {sorted(found)}")


def contents(path: Path) -> dict[bytes, Value]:
    """What is in the store, looked at in every way."""
    with ShardStore(path, mode="r") as store:
        found: dict[bytes, Value] = {}
        for key, block in store.items():
            if key in found:
                raise Wrong(f"{key!r} comes twice")
            found[key] = value_of(block[b""])
        if len(store) != len(found) or set(store) != set(found):
            raise Wrong(f"{len(store)} keys, and {len(found)} blocks")
        for key, value in found.items():
            if value_of(store.get_bytes(key)) != value:
                raise Wrong(f"{key!r} is another block by its key")
    return found


def play(round: Round, seed: int, folder: Path) -> None:
    """One round: start the processes, kill some and start them again, and look at what came of it."""
    chance = Random(f"kills:{seed}")
    ShardStore(folder / "store").close()
    children = {number: Child(process(round, number, seed, folder)) for number in range(round.processes)}
    kills = 0
    try:
        while children:
            if kills < round.kills:
                time.sleep(chance.choice((0.001, 0.01, 0.03)))
                number = chance.choice(list(children))
                children[number].kill()
                kills += 1
            else:
                number = next(iter(children))
            child = children.pop(number)
            child.end()
            if child.killed:
                children[number] = Child(process(round, number, seed, folder))
    except BaseException:
        for child in children.values():
            child.kill()
            os.waitpid(child.pid, 0)
            os.close(child.receiver)
        check(round, folder)  # which tells what a process has met
        raise
    look_at_shards(round, folder / "store")
    check(round, folder)
    before = contents(folder / "store")
    with ShardStore(folder / "store") as store:
        store.compact()
        store.gc(grace=0)
        files = {name for name in os.listdir(store.path) if name.endswith((".dat", ".datz"))}
        listed = {shard.data for shard in store.manifest.shards.values()}
        if files != listed:
            raise Wrong(f"of {sorted(files)} only {sorted(listed)} are shards")
    if contents(folder / "store") != before:
        raise Lost("to compact changes what is there")


def look_at_shards(round: Round, path: Path) -> None:
    """There are no more open shards than there were writers at a time."""
    with ShardStore(path, mode="r") as store:
        open_shards = store.stats()["open_shards"]
    # While a shard is compacted nobody can adopt it.
    most = round.processes * (2 if round.smaller else 1)
    if open_shards > most:
        raise Wrong(f"{open_shards} open shards of {round.processes} processes")


def case(number: int, random: Random, folder: Path) -> None:
    play(ROUNDS[number % len(ROUNDS)], random.randrange(1 << 30), folder)


def test_what_many_processes_were_told_fits_together() -> None:
    harness.quick(sys.modules[__name__])


# That the check finds what is wrong

ONE, TWO = (1, 1), (2, 2)


def operation(kind: str, begin: int, end: int, value: Value = None, result: object = "ok") -> Operation:
    return Operation(kind, begin, end, value, result)


GOOD: dict[str, list[Operation]] = {
    "nothing": [],
    "one after another": [
        operation("put", 0, 1, ONE),
        operation("get", 2, 3, None, ONE),
        operation("overwrite", 4, 5, TWO),
        operation("put", 6, 7, ONE, "collision"),
        operation("delete", 8, 9),
        operation("get", 10, 11, None, None),
        operation("delete", 12, 13, None, "missing"),
        operation("in", 14, 15, None, False),
    ],
    "at the same time, in either order": [
        operation("put", 0, 10, ONE),
        operation("put", 0, 10, TWO, "collision"),
        operation("get", 0, 10, None, None),
        operation("get", 11, 12, None, ONE),
    ],
    "killed, and done": [operation("put", 0, NEVER, ONE, "unknown"), operation("get", 20, 21, None, ONE)],
    "killed, and not done": [operation("put", 0, NEVER, ONE, "unknown"), operation("get", 20, 21, None, None)],
    "killed, and done later": [
        operation("overwrite", 0, NEVER, ONE, "unknown"),
        operation("get", 20, 21, None, None),
        operation("get", 22, 23, None, ONE),
    ],
    "perhaps done in time": [operation("put", 0, 5, ONE, "unknown"), operation("get", 6, 7, None, ONE)],
    "perhaps not done in time": [operation("put", 0, 5, ONE, "unknown"), operation("get", 6, 7, None, None)],
    "killed, and one of several done, which nobody got": [
        operation("put", 0, NEVER, ONE, "unknown"),
        operation("overwrite", 0, NEVER, TWO, "unknown"),
        operation("in", 20, 21, None, True),
    ],
    "the same again": [operation("put", 0, 1, ONE), operation("put", 2, 3, ONE)],
}

BAD: dict[str, list[Operation]] = {
    "an acknowledged put is lost": [operation("put", 0, 1, ONE), operation("get", 2, 3, None, None)],
    "a deleted key is back": [
        operation("put", 0, 1, ONE),
        operation("delete", 2, 3),
        operation("get", 4, 5, None, ONE),
    ],
    "a put onto a value that nobody got": [operation("put", 0, 1, ONE), operation("put", 2, 3, TWO)],
    "two puts both succeed": [operation("put", 0, 9, ONE), operation("put", 0, 9, TWO)],
    "an older value after a newer one": [
        operation("put", 0, 1, ONE),
        operation("overwrite", 2, 20, TWO),
        operation("get", 3, 4, None, TWO),
        operation("get", 5, 6, None, ONE),
    ],
    "a value that nobody put": [operation("get", 0, 1, None, TWO)],
    "a value before it is put": [operation("get", 0, 1, None, ONE), operation("put", 2, 3, ONE)],
    "a collision with nothing": [operation("put", 0, 1, ONE, "collision")],
    "a missing key that is there": [operation("put", 0, 1, ONE), operation("delete", 2, 3, None, "missing")],
    "deleted twice": [operation("put", 0, 1, ONE), operation("delete", 2, 9), operation("delete", 2, 9)],
    "a kill that is half done": [
        operation("overwrite", 0, NEVER, ONE, "unknown"),
        operation("get", 2, 3, None, ONE),
        operation("get", 4, 5, None, None),
    ],
    "not done in time, and later": [
        operation("put", 0, 5, ONE, "unknown"),
        operation("get", 6, 7, None, None),
        operation("get", 8, 9, None, ONE),
    ],
}


@pytest.mark.parametrize("history", GOOD.values(), ids=list(GOOD))
def test_a_history_that_can_be(history: list[Operation]) -> None:
    assert stuck(history) is None


@pytest.mark.parametrize("history", BAD.values(), ids=list(BAD))
def test_a_history_that_can_not_be(history: list[Operation]) -> None:
    assert stuck(history)
