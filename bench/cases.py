"""What is measured: a case is a kind of data, a codec, a workload and a rival; a round of it is one test."""

import random
from collections.abc import Callable
from dataclasses import dataclass

from bench.corpus import SEED, Block
from bench.rivals import RIVALS
from bench.rivals.rival import Rival, Store

SMALL_PAIR = b"log"  # the pair that select and pair ask for
LOOKUPS = 2000

WORKLOADS = {"pages": ("write", "read", "random", "select", "pair"), "small": ("write", "read", "random")}
CODECS = {"zlib": True, "none": False}


@dataclass(frozen=True)
class Case:
    """One of everything that is measured."""

    data: str
    codec: str
    workload: str
    rival: Rival

    @property
    def compress(self) -> bool:
        return CODECS[self.codec]

    def __str__(self) -> str:
        return f"{self.data}-{self.codec}-{self.workload}-{self.rival.name}"


def cases() -> list[Case]:
    """Return all cases, those that are compared with one another side by side."""
    return [
        Case(data, codec, workload, rival)
        for data, workloads in WORKLOADS.items()
        for codec in CODECS
        for workload in workloads
        for rival in RIVALS
        if workload in rival.workloads
    ]


def case_named(name: str) -> Case:
    """Return the case with a name."""
    return next(case for case in cases() if str(case) == name)


@dataclass(frozen=True)
class Work:
    """A reading workload made ready: what to call, on how many blocks, and how many bytes of values it has to give."""

    run: Callable[[Store], int]
    blocks: int
    expected: int


def reading(case: Case, blocks: list[Block]) -> Work:
    """Return the work of a case that reads."""
    wanted = random.Random(SEED).choices(blocks, k=LOOKUPS)
    keys = [key for key, _ in wanted]
    if case.workload == "read":
        return Work(read, len(blocks), sum(case.rival.size(pairs) for _, pairs in blocks))
    if case.workload == "random":
        return Work(lambda store: get(store, keys), len(keys), sum(case.rival.size(pairs) for _, pairs in wanted))
    if case.workload == "select":
        return Work(select, len(blocks), sum(len(pairs[SMALL_PAIR]) for _, pairs in blocks))
    return Work(lambda store: get_pair(store, keys), len(keys), sum(len(pairs[SMALL_PAIR]) for _, pairs in wanted))


def read(store: Store) -> int:
    total = 0
    for _, pairs in store.read():
        for _, value in pairs:
            total += len(value)
    return total


def get(store: Store, keys: list[bytes]) -> int:
    total = 0
    for key in keys:
        for _, value in store.get(key):
            total += len(value)
    return total


def select(store: Store) -> int:
    return sum(len(value) for _, value in store.select(SMALL_PAIR))


def get_pair(store: Store, keys: list[bytes]) -> int:
    total = 0
    for key in keys:
        total += len(store.get_pair(key, SMALL_PAIR))
    return total
