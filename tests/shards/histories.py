"""Whether what happened to a key can have happened one after another: a check of histories for being linearizable.

An operation has when it began and when it ended, and what came of it. One that a kill interrupted has no end: it may
have happened at any time after its begin, or not at all. Between these times each operation has to have an instant at
which it happened as a whole, so that one after another they are what a dict would do. Wing and Gong's search, with a
memory of what was tried.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace

NEVER = 1 << 63
Value = tuple[int, int] | None  # who wrote it, and with which operation; None: nothing is there


@dataclass(frozen=True)
class Operation:
    """An operation on one key.

    `kind` is put (once), overwrite, delete, get or in. `result` is «ok», «collision», «missing», what get or in gave,
    and «unknown» of one that has no end, or of which only a part may have been done.
    """

    kind: str
    begin: int
    end: int
    value: Value
    result: object
    who: str = ""

    @property
    def optional(self) -> bool:
        return self.result == "unknown"

    @property
    def only_looks(self) -> bool:
        return self.kind in ("get", "in") or self.result in ("collision", "missing")


IMPOSSIBLE = object()
UNSEEN: Value = (-1, -1)  # a value that is written once and that nobody gets: which of these it is makes no difference


def after(operation: Operation, state: Value) -> object:
    """What the key holds after an operation; IMPOSSIBLE where that can not have had its result."""
    kind, value, result = operation.kind, operation.value, operation.result
    if kind == "get":
        return state if state == result else IMPOSSIBLE
    if kind == "in":
        return state if (state is not None) == result else IMPOSSIBLE
    if kind == "overwrite":
        return value
    if kind == "put":
        free = state is None or (state == value and value != UNSEEN)
        if result == "collision":
            return IMPOSSIBLE if free else state
        return value if free else IMPOSSIBLE
    there = state is not None
    if result == "missing":
        return IMPOSSIBLE if there else state
    return None if there else IMPOSSIBLE


def stuck(operations: list[Operation]) -> list[Operation] | None:
    """None where the operations on a key can have happened; else those among which the search came no further."""
    operations = without_unseen(operations)
    ended = sorted((operation for operation in operations if operation.end < NEVER), key=lambda one: one.begin)
    endless = sorted((operation for operation in operations if operation.end == NEVER), key=lambda one: one.begin)
    # How many of the ended have happened without a gap, which behind these, which of the endless, and what is there.
    begin: Node = (0, frozenset(), frozenset(), None)
    nodes, seen = [begin], {begin}
    furthest = 0
    while nodes:
        node = nodes.pop()
        if node[0] == len(ended):
            return None
        furthest = max(furthest, node[0])
        for following in followers(node, ended, endless):
            if following not in seen:
                seen.add(following)
                nodes.append(following)
    return ended[furthest : furthest + 30]


def without_unseen(operations: list[Operation]) -> list[Operation]:
    """The operations with UNSEEN for values that only one of them writes and that none has got."""
    written = Counter(operation.value for operation in operations)
    got = {operation.result for operation in operations if operation.kind == "get"}
    return [
        replace(operation, value=UNSEEN)
        if operation.value is not None and written[operation.value] == 1 and operation.value not in got
        else operation
        for operation in operations
    ]


Node = tuple[int, frozenset[int], frozenset[int], Value]


def followers(node: Node, ended: list[Operation], endless: list[Operation]) -> list[Node]:
    """What may come next, the likeliest last."""
    first, behind, used, value = node
    candidates = []
    last = NEVER  # the first end of those that have not happened: none that begins later may come before it
    for i in range(first, len(ended)):
        if ended[i].begin > last:
            break
        if i not in behind:
            candidates.append(i)
            last = min(last, ended[i].end)
    for i in candidates:
        if ended[i].only_looks and ended[i].begin <= last and after(ended[i], value) is not IMPOSSIBLE:
            # What can have happened later can have happened now, as it changes nothing.
            return [(*taken(i, first, behind), used, value)]
    found: list[Node] = []
    tried = set()  # of those that do the same, the first stands for all
    for j, operation in enumerate(endless):
        if operation.begin > last:
            break
        following = after(operation, value)
        if j in used or following is IMPOSSIBLE or following == value or (operation.kind, operation.value) in tried:
            continue
        tried.add((operation.kind, operation.value))
        found.append((first, behind, used | {j}, following))  # type: ignore[arg-type]
    for i in sorted(candidates, key=lambda i: ended[i].end, reverse=True):
        if ended[i].begin > last:
            continue
        place, others = taken(i, first, behind)
        if ended[i].optional:
            found.append((place, others, used, value))
        following = after(ended[i], value)
        if following is not IMPOSSIBLE:
            found.append((place, others, used, following))  # type: ignore[arg-type]
    return found


def taken(i: int, first: int, behind: frozenset[int]) -> tuple[int, frozenset[int]]:
    """How many have happened without a gap, and which behind these, when one more has."""
    others = behind | {i}
    while first in others:
        others -= {first}
        first += 1
    return first, others
