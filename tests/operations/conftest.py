"""Pipes as plain lists of (block key, [(pair key, value), ...]), to plant and to compare."""

import pytest

import smartpipe


def write(path, blocks, **options):
    with smartpipe.open(path, "w", **options) as pipe:
        for key, pairs in blocks:
            pipe.write(key, pairs)
    return str(path)


def read(path):
    with smartpipe.open(path) as pipe:
        return [(key, list(block)) for key, block in pipe.items()]


@pytest.fixture
def planted(tmp_path):
    """planted("name", blocks, **options of open) writes a pipe and gives its prefix."""
    return lambda name, blocks, **options: write(tmp_path / name, blocks, **options)


@pytest.fixture
def blocks_of():
    """blocks_of(path) gives all that a pipe holds."""
    return read


PAGES = [
    (b"https://a", [(b"raw", b"<html>" + bytes(range(256)) * 40), (b"log", b"ok"), (b"log", b"again")]),
    (b"", [(b"", b"")]),
    (b"empty", []),
    (b"\x00\xff/..", [(b"raw", b"\x00" * 9000)]),
]


@pytest.fixture
def pages():
    """A block with a large value and a pair key twice, one with empty keys, one without pairs, one with a binary
    key."""
    return [(key, list(pairs)) for key, pairs in PAGES]
