"""`smartpipe cat` and `smartpipe cat-all`"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

import click

import smartpipe
from smartpipe.cli import output
from smartpipe.cli.arguments import as_key, as_regexp, pipe_argument
from smartpipe.cli.bar import bar
from smartpipe.operations.progress import reported


@click.command()
@pipe_argument
@click.argument("block", type=as_key, required=False)
@click.argument("key", type=as_key, required=False)
@click.option("-c", "--block", "named_block", type=as_key, metavar="BLOCK", help="The block, as the original had it.")
@click.option("-k", "--key", "named_key", type=as_key, metavar="KEY", help="The pair key, as the original had it.")
def cat(pipe: str, block: bytes | None, key: bytes | None, named_block: bytes | None, named_key: bytes | None) -> None:
    """Write the values of a block.

    All of them or those of the pair KEY, as they are and with nothing between.
    """
    wanted = _one_of("BLOCK", block, "-c", named_block)
    pair = _one_of("KEY", key, "-k", named_key)
    if wanted is None:
        raise click.UsageError("Missing argument 'BLOCK'.")
    with smartpipe.open(pipe) as reader:
        write_values(reader[wanted], pair)


def write_values(block: smartpipe.Block, pair: bytes | None) -> None:
    """Write the values of a block, all or those of one pair key."""
    if pair is None:
        for _, value in block:
            output.write(value)
    else:
        # A key that is not there is the block's own error.
        for value in block.getall(pair) or [block[pair]]:
            output.write(value)


def _one_of(name: str, argument: bytes | None, option: str, value: bytes | None) -> bytes | None:
    if argument is not None and value is not None:
        raise click.UsageError(f"{name} and {option} say the same: give one of them")
    return value if argument is None else argument


@click.command("cat-all")
@pipe_argument
@click.option("-p", "--pattern", type=as_regexp, metavar="REGEXP", help="Only pairs whose key it finds.")
def cat_all(pipe: str, pattern: re.Pattern[bytes] | None) -> None:
    """Write the values of all blocks.

    As they are and with nothing between.
    """
    with smartpipe.open(pipe) as reader, bar("cat-all", printing=True) as progress:
        values = _all_values(reader) if pattern is None else _found_values(reader, pattern)
        for block_values in reported(values, len(reader), progress):
            for value in block_values:
                output.write(value)


def _all_values(reader: smartpipe.Reader) -> Iterator[Iterable[bytes]]:
    yield from ((value for _, value in block) for _, block in reader.items())


def _found_values(reader: smartpipe.Reader, pattern: re.Pattern[bytes]) -> Iterator[Iterable[bytes]]:
    """As `_all_values`, but inflate no large value without need: blocks come by key, and one key's values alone."""
    for key in reader:
        block = reader[key]
        wanted = {pair for pair in set(block.keys()) if pattern.search(pair)}
        if len(wanted) == 1:
            yield block.getall(wanted.pop())
        elif wanted:
            yield [value for pair, value in block if pair in wanted]
        else:
            yield ()
