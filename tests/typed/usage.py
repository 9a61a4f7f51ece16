"""What type checkers make of the public API. mypy reads this file and nothing runs it.

`assert_type` is exact, and an `ignore` at a line that mypy accepts is an error.
"""

from __future__ import annotations

import os
from array import array
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Literal

from typing_extensions import assert_type

import smartpipe


def opening(split: smartpipe.Split) -> None:
    assert_type(smartpipe.open("crawl"), smartpipe.Reader)
    assert_type(smartpipe.open(Path("crawl"), "r", max_block_size=1 << 20), smartpipe.Reader)
    assert_type(smartpipe.open(split), smartpipe.Reader)
    assert_type(smartpipe.open(Path("crawl"), "w", compress="zlib", level=9, format=1), smartpipe.Writer)
    assert_type(smartpipe.open("crawl", "x", compress=True, metadata={b"by": b"me"}), smartpipe.Writer)
    assert_type(smartpipe.open("crawl", "a"), smartpipe.Writer)
    assert_type(smartpipe.open("crawl", "a", compress="zstd", dictionary=False), smartpipe.Writer)
    smartpipe.open("crawl", "r+")  # type: ignore[call-overload]
    smartpipe.open("crawl", compress=True)  # type: ignore[call-overload]
    smartpipe.open("crawl", "w", compress="lzma")  # type: ignore[call-overload]
    smartpipe.open("crawl", "w", format=3)  # type: ignore[call-overload]
    smartpipe.open("crawl", "w", metadata={"by": "me"})  # type: ignore[call-overload]
    smartpipe.open("crawl", "w", dictionary=True)  # type: ignore[call-overload]
    smartpipe.open(split, "w")  # type: ignore[call-overload]


def reading(reader: smartpipe.Reader) -> None:
    with reader as same:
        assert_type(same, smartpipe.Reader)
    assert_type(reader[b"https://a"], smartpipe.Block)
    assert_type(reader.get(bytearray(b"https://a")), smartpipe.Block | None)
    assert_type(reader.get(b"https://a", 0), smartpipe.Block | int)
    assert_type(list(reader), list[bytes])
    assert_type(list(reader.keys()), list[bytes])
    assert_type(list(reader.items()), list[tuple[bytes, smartpipe.Block]])
    assert_type(reader.items(select=[b"raw", memoryview(b"log")], start=b"https://a").position, smartpipe.Position)
    assert_type(list(reader.get_many({b"https://a"})), list[tuple[bytes, smartpipe.Block | None]])
    assert_type(list(reader.pull_block()), list[tuple[bytes, bytes]])
    assert_type(reader.get_next_block_key(), bytes | None)
    assert_type([entry.raw for entry in reader.entries()], list[int | None])
    assert_type(reader.splits(2), list[smartpipe.Split])
    assert_type(reader.metadata, dict[bytes, bytes])
    assert_type(reader.dictionary, bytes | None)
    assert_type(reader.stats(), dict[str, int])
    batches = reader.columns(batch=1 << 20, select=[b"raw"], start=3, on_error="skip", threads=2)
    assert_type(next(batches), smartpipe.Columns)
    assert_type(next(batches)[0], tuple[bytes, bytes, bytes])
    assert_type(batches.position, smartpipe.Position)
    reader.to_arrow(select=[b"raw"], threads=2)
    smartpipe.open("copy", "w", format=reader.format, dictionary=reader.dictionary)
    assert "https://a" in reader  # type: ignore[operator]
    reader["https://a"]  # type: ignore[index]
    reader.items(select=b"raw")  # type: ignore[arg-type]
    reader.items(select=["raw"])  # type: ignore[list-item]
    reader.format = 1  # type: ignore[misc]


def looking(block: smartpipe.Block) -> None:
    assert_type(block.key, bytes)
    assert_type(block[0], tuple[bytes, bytes])
    assert_type(block[b"raw"], bytes)
    assert_type(block[memoryview(b"raw")], bytes)
    assert_type(block[:2], list[tuple[bytes, bytes]])
    assert_type(block.get(b"raw"), bytes | None)
    assert_type(block.get(b"raw", b""), bytes)
    assert_type(block.getall(b"raw"), list[bytes])
    assert_type(block.keys(), list[bytes])
    assert_type(block.sizes(), list[tuple[bytes, int]])
    assert_type(dict(block), dict[bytes, bytes])
    pairs: Iterator[tuple[bytes, bytes]] = iter(block)
    next(pairs)
    block["raw"]  # type: ignore[call-overload]
    block[b"raw"] = b""  # type: ignore[index]


def writing(
    writer: smartpipe.Writer, reader: smartpipe.Reader, block: smartpipe.Block, pairs: Mapping[bytes, bytearray]
) -> None:
    with writer as same:
        assert_type(same, smartpipe.Writer)
    writer.write(b"a", {b"raw": b"<html>"})
    writer.write(bytearray(b"b"), {b"raw": array("d"), b"log": b"ok"})
    writer.write(b"c", [(b"raw", b"<html>"), (bytearray(b"log"), memoryview(b"ok"))])
    writer.write(b"d", ((b"%d" % number, b"") for number in range(3)))
    writer.write(b"e", block)
    writer.write(b"f", pairs)
    writer.write(b"g", pairs.items())
    with writer.block(b"h") as step:
        step.append(b"raw", b"<html>")
    assert_type(writer.recovered, str | None)
    assert_type(writer.format, Literal[1, 2])
    offsets = array("q", [0, 1])
    assert_type(writer.write_columns((offsets, b"a"), offsets, (offsets, b"k"), (offsets, bytearray(b"v"))), int)
    assert_type(writer.write_arrow(reader), int)
    writer.write_arrow({"block": []})  # type: ignore[arg-type]
    writer.write("a", {})  # type: ignore[call-overload]
    writer.write(b"a", {"raw": b""})  # type: ignore[type-var]
    writer.write(b"a", [(b"raw", "<html>")])  # type: ignore[list-item]
    writer.append(b"raw", 1)  # type: ignore[arg-type]


def the_originals_names(prefix: os.PathLike[str]) -> None:
    writer = smartpipe.SmartPipeWriter(prefix, compress=True)
    writer.checkpoint(b"a")
    reader = smartpipe.SmartPipeReader("crawl")
    assert_type(reader.pull_block(b"a"), Iterator[tuple[bytes, bytes]])


def errors(error: smartpipe.BlockNotFound) -> None:
    assert_type(error.path, str | None)
    assert_type(error.block, bytes | None)
    assert_type(error.offset, int | None)
    looked_up: KeyError = error
    raise looked_up


def engines() -> None:
    assert_type(smartpipe.engines()["zlib"]["version"], str)


def stores(store: smartpipe.ShardStore, block: smartpipe.Block) -> None:
    assert_type(smartpipe.ShardStore(Path("artifacts"), "r"), smartpipe.ShardStore)
    smartpipe.ShardStore("artifacts", "w")  # type: ignore[arg-type]
    smartpipe.ShardStore("artifacts", compress="lzma")  # type: ignore[arg-type]
    store.put(b"key", {b"raw": memoryview(b"value")}, overwrite=True)
    store.put(b"key", [(b"raw", b"value")])
    store.put_bytes(bytearray(b"key"), b"value")
    store.put_bytes("key", b"value")  # type: ignore[arg-type]
    assert_type(store.put_many({b"a": b"value"}), int)
    assert_type(store.put_many([(b"a", {b"raw": b"value"})]), int)
    assert_type(store.get(b"key"), smartpipe.Block | None)
    assert_type(store.get(b"key", 0), smartpipe.Block | int)
    assert_type(store.get_bytes(b"key"), bytes)
    assert_type(store.get_bytes(b"key", None), bytes | None)
    assert_type(store[b"key"], smartpipe.Block)
    assert_type(store.keys(prefix=b"k"), Iterator[bytes])
    assert_type(store.items([b"raw"], "skip", threads=2), Iterator[tuple[bytes, smartpipe.Block]])
    assert_type(store.entries(), Iterator[smartpipe.Entry])
    assert_type(store.compact(dead=0.5).bytes_after, int)
    assert_type(store.gc(grace=0).removed, list[str])
    assert_type(smartpipe.pack("site", store.path, on_error=print, compress="zlib"), dict[str, int])
    assert_type(smartpipe.unpack(Path("store"), "site", on_error="skip"), dict[str, int])
