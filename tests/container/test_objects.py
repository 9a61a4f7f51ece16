"""Writers, blocks and iterators: they are not copied, not pickled, and lacking something they do not crash."""

from __future__ import annotations

import pytest

from .pipes import KINDS, PAGES, plant, read, warned
from .process import run, start

PREPARE = """
import copy, pickle, sys
import smartpipe
path = sys.argv[1]
reader = smartpipe.open(path)
writer = smartpipe.open(path + "-new", "w")
block = writer.block(b"open")
items = reader.items()
next(items)
objects = {
    "reader": reader, "writer": writer, "writer's block": block, "items": items, "block": reader[b"https://a"],
    "block of items": next(items)[1], "pairs": iter(reader[b"https://a"]), "keys": reader.keys(),
    "entries": reader.entries(), "many": reader.get_many([b""]), "batches": reader.columns(batch=1),
    "columns": next(reader.columns()),
}
"""


@pytest.mark.parametrize(
    "call", ["pickle.dumps(thing)", "copy.copy(thing)", "copy.deepcopy(thing)", "pickle.dumps([thing], 5)"]
)
def test_open_things_can_not_be_copied(call: str, prefix: str) -> None:
    # Two of them on the same files would not know of each other. What travels is a Split, or a reader.
    plant(prefix, PAGES, KINDS[0])
    code = f"""{PREPARE}
del objects["reader"]
for name, thing in objects.items():
    try:
        {call}
    except TypeError:
        continue
    print(name)
writer.abort()
"""
    assert run(code, prefix) == ""


def test_what_was_made_without_its_init_raises(prefix: str) -> None:
    # As a subclass whose __init__ forgets super().__init__().
    plant(prefix, PAGES, KINDS[0])
    code = f"""{PREPARE}
writer.abort()
names = (
    "keys sizes items entries stats splits pull_block get_next_block_key get_many getall get write block checkpoint"
    " columns to_arrow __arrow_c_stream__ write_columns write_arrow blocks"
    " append flush sync abort close __enter__ __exit__ data_path format codec metadata position path key"
).split()
arguments = [(), (b"a",), (2,), (b"a", b"b"), (b"a", {{}}), (None, None, None)]

def ask(name, arguments):
    return lambda thing: getattr(thing, name)(*arguments)

calls = [len, list, repr, next, lambda thing: thing[b"a"], lambda thing: thing[0], lambda thing: b"a" in thing]
calls += [ask(name, some) for name in names for some in arguments]
for thing in objects.values():
    for call in calls:
        try:
            call(type(thing).__new__(type(thing)))
        except Exception:
            pass
print("alive")
"""
    assert run(code, prefix) == "alive\n"


ENDING = """
import sys, smartpipe
path = sys.argv[1]
reader = smartpipe.open(path)
items = reader.items()
key, block = next(items)
pairs = iter(block)
keys = reader.keys()
next(keys)
writer = smartpipe.open(path + "-new", "w", compress=True)
writer.write(b"a", {b"k": b"v" * 9000})
replacing = smartpipe.open(path, "w")
replacing.write(b"a", {})
open_block = writer.block(b"b")
writer.checkpoint(b"c")
"""


@pytest.mark.parametrize("end", ["", "sys.exit(0)", "del smartpipe", "sys.modules.clear()"])
def test_the_interpreter_ends_quietly_with_open_things(end: str, prefix: str) -> None:
    plant(prefix, PAGES, KINDS[1])
    process = start(ENDING + end, prefix, stderr=True)
    output, errors = process.communicate(timeout=60)
    assert (process.returncode, output, errors) == (0, "", "")
    with warned():
        assert read(prefix + "-new") == [(b"a", [(b"k", b"v" * 9000)])]
    assert read(prefix) == PAGES
