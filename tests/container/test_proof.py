"""`verify=True`: a writer inflates each block before it writes it, and so finds a compressor that is wrong.

The compressor is replaced by a wrong one through the Python binding of the engine, in a process of its own.
"""

from __future__ import annotations

import pytest

import smartpipe

from .pipes import PAGES, Kind, every_kind, read, write
from .process import run

WRONG = {
    "a flipped bit": "good[:-5] + bytes([good[-5] ^ 1]) + good[-4:]",
    "other bytes": "right(bytes(len(data)), level)",
    "less": "right(memoryview(data)[:-1], level)",
    "more": "right(bytes(data) + b'x', level)",
    "bytes behind": "good + b'x'",
    "a part": "good[:-1]",
}
CODE = """
import sys
from zlib_ng import zlib_ng
right = zlib_ng.compress
hurt = False

def compress(data, level=-1, *rest):
    good = right(data, level)
    return ({wrong}) if hurt and len(data) == {size} else good

zlib_ng.compress = compress
import smartpipe
with smartpipe.open(sys.argv[1], "x", format={format}, compress=True, verify=True) as pipe:
    pipe.write(b"good", {{b"k": b"v" * 9000, b"l": b"small" * 50}})
    hurt = True
    try:
        pipe.write(b"bad", {{b"k": b"v" * 9000, b"l": b"small" * 50}})
    except smartpipe.EngineError as error:
        assert error.block == b"bad" and error.path == pipe.data_path
        print(error.args[0])
    hurt = False
    assert b"bad" not in pipe
    pipe.write(b"bad", {{b"k": b"again"}})
"""
# Raw sizes: the whole block in format 1; the head, with two pairs, and the large value in format 2.
PARTS = {
    1: [("the compressed block", 9268)],
    2: [("the compressed head", 268), ("the compressed value of pair 0", 9000)],
}


@pytest.mark.parametrize("wrong", WRONG)
@pytest.mark.parametrize(
    "format, part, size", [(format, part, size) for format, parts in PARTS.items() for part, size in parts]
)
def test_a_wrong_compressor_is_found_before_anything_is_written(
    wrong: str, format: int, part: str, size: int, prefix: str
) -> None:
    code = CODE.format(wrong=WRONG[wrong], format=format, size=size)
    said = run(code, prefix, SMARTPIPE_ENGINE="python")
    assert said == f"{part} does not inflate to what it was made of; the block was not written\n"
    blocks = read(prefix)
    assert blocks == [(b"good", [(b"k", b"v" * 9000), (b"l", b"small" * 50)]), (b"bad", [(b"k", b"again")])]


@every_kind
def test_a_right_compressor_passes(kind: Kind, prefix: str) -> None:
    write(prefix, PAGES, kind, verify=True)
    assert read(prefix) == PAGES
    with smartpipe.open(prefix, "a", verify=True) as pipe:
        pipe.write(b"zeros", {b"k": bytes(5_000_000)})
        with pipe.block(b"step by step") as block:
            block.append(b"k", b"v")
    assert read(prefix)[len(PAGES)][1] == [(b"k", bytes(5_000_000))]
