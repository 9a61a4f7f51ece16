"""How a pipe lies in a folder: the names of its files, and the list of them.

    FOLDER/%blocks.jsonl       the list: a line that says what the pipe was, then a line for each block, in order
    FOLDER/<block>/<pair>      a folder for each block, a file for each pair, its content the value
    FOLDER/%dictionary         the dictionary of the pipe, where it has one

A name is the key in percent escapes: ASCII letters, digits, `_`, `-`, `~` and `.` stand for themselves (a `.` at
either end does not), every other byte is `%XX`. So no name has a slash, a backslash or a NUL, and none is `.`, `..`
or hidden. A name that would be empty, longer than 200 bytes, or that is taken (by the same pair key earlier in the
block, or by a key that a file system without upper and lower case takes for it) is cut to 200 bytes and gets `%~`
and the number of the block or the pair, from 0; no escape looks like that. The list has every key in full.

The list is JSON, a value a line. The first is {"smartpipe": "folder", "version": 1, "format", "codec", "blocks":
how many, "metadata": [[key, value], ...], "dictionary": whether there is one}, each other {"block": key, "folder":
name, "pairs": [[key, file name], ...]}; keys and values are in percent escapes.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, BinaryIO, NamedTuple
from urllib.parse import quote_from_bytes, unquote_to_bytes

import smartpipe

LIST = "%blocks.jsonl"
DICTIONARY = "%dictionary"
LONGEST_NAME = 200
"""File systems take 255 bytes; some of them need a part of it."""


class Head(NamedTuple):
    """What the first line says of the pipe."""

    format: int
    codec: str
    blocks: int
    metadata: dict[bytes, bytes]
    dictionary: bool
    """Whether it is in a file."""


class ListedBlock(NamedTuple):
    """What another line says of a block."""

    key: bytes
    folder: str
    pairs: list[tuple[bytes, str]]
    """(pair key, file name)"""


def escape(key: bytes) -> str:
    """A key as ASCII text that could be part of a name."""
    text = quote_from_bytes(key, safe="")
    if text.startswith("."):
        text = "%2E" + text[1:]
    if text.endswith("."):
        text = text[:-1] + "%2E"
    return text


def plain_name(key: bytes) -> str | None:
    """The name of a key, None where its escape is empty or too long."""
    name = escape(key)
    return name if 0 < len(name) <= LONGEST_NAME else None


def numbered_name(key: bytes, number: int) -> str:
    """The name of a key that can not have its plain one."""
    return f"{escape(key)[:LONGEST_NAME]}%~{number}"


def file_names(keys: list[bytes]) -> list[str]:
    """The names of the files of a block with these pair keys."""
    taken: set[str] = set()
    names = []
    for number, key in enumerate(keys):
        name = plain_name(key)
        if name is None or name.lower() in taken:
            name = numbered_name(key, number)
        taken.add(name.lower())
        names.append(name)
    return names


def head_line(head: Head) -> str:
    metadata = [[escape(key), escape(value)] for key, value in head.metadata.items()]
    return json.dumps({"smartpipe": "folder", "version": 1, **head._asdict(), "metadata": metadata}) + "\n"


def block_line(block: ListedBlock) -> str:
    pairs = [[escape(key), name] for key, name in block.pairs]
    return json.dumps({"block": escape(block.key), "folder": block.folder, "pairs": pairs}) + "\n"


def read_list(path: str, lines: BinaryIO) -> tuple[Head, Iterator[ListedBlock]]:
    """The head and then the blocks of a list. FormatError, TruncatedError naming `path` and the line.

    No name passes but the ones that its key can have, so none leads out of the folder.
    """
    parser = _Parser(path)
    head = parser.head(lines.readline())
    return head, parser.blocks(lines, head.blocks)


class _Parser:
    def __init__(self, path: str) -> None:
        self.path = path
        self.line = 0

    def head(self, line: bytes) -> Head:
        value = self.value(line)
        if value.get("smartpipe") != "folder" or value.get("version") != 1:
            raise self.error('"smartpipe": "folder", "version": 1', value)
        match value:
            case {"format": 1 | 2 as number, "codec": str(codec), "blocks": int(blocks), "metadata": list(metadata)}:
                dictionary = value.get("dictionary", False)
                if not isinstance(dictionary, bool):
                    raise self.error("whether there is a dictionary", dictionary)
                return Head(number, codec, blocks, dict(self.entry(pair) for pair in metadata), dictionary)
        raise self.error("format, codec, blocks and metadata", value)

    def blocks(self, lines: BinaryIO, count: int) -> Iterator[ListedBlock]:
        for number in range(count):
            line = lines.readline()
            if not line.endswith(b"\n"):
                raise smartpipe.TruncatedError(
                    f"ends after {number} of {count} blocks: the folder was not extracted to the end", path=self.path
                )
            value = self.value(line)
            pairs = value.get("pairs")
            if not isinstance(pairs, list):
                raise self.error("a list of pairs", pairs)
            block, folder = self.named([value.get("block"), value.get("folder")], number)
            yield ListedBlock(block, folder, [self.named(pair, place) for place, pair in enumerate(pairs)])
        if line := lines.readline():
            raise self.error(f"the end after {count} blocks", line)

    def value(self, line: bytes) -> dict[str, Any]:
        self.line += 1
        try:
            value = json.loads(line)
        except (ValueError, RecursionError):
            raise self.error("JSON", line) from None
        if not isinstance(value, dict):
            raise self.error("a JSON object", value)
        return value

    def named(self, pair: object, number: int) -> tuple[bytes, str]:
        """(key, name) from [key, name]."""
        match pair:
            case [key, str(name)]:
                raw = self.key(key)
                if name not in (plain_name(raw), numbered_name(raw, number)):
                    raise self.error(f"a name that the key {key!r} can have", name)
                return raw, name
        raise self.error("a key and a name", pair)

    def entry(self, pair: object) -> tuple[bytes, bytes]:
        """(key, value) from [key, value] of the metadata."""
        match pair:
            case [key, value]:
                return self.key(key), self.key(value)
        raise self.error("a key and a value", pair)

    def key(self, text: object) -> bytes:
        if isinstance(text, str) and text.isascii():
            key = unquote_to_bytes(text)
            if escape(key) == text:
                return key
        raise self.error("a key in percent escapes", text)

    def error(self, expected: str, found: object) -> smartpipe.FormatError:
        shown = repr(found)
        shown = shown if len(shown) <= 100 else shown[:100] + "..."
        return smartpipe.FormatError(f"line {self.line}: expected {expected}, found {shown}", path=self.path)
