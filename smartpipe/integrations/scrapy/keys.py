"""Block keys of pages: the URL, and URL#2, URL#3, ... for a page that is met again."""

from __future__ import annotations

from collections.abc import Container


def numbered(key: bytes, number: int) -> bytes:
    """Return the block key of meeting `number` (from 1) with what is known as `key`.

    >>> numbered(b"http://a/", 1), numbered(b"http://a/", 2)
    (b'http://a/', b'http://a/#2')
    """
    return key if number == 1 else b"%s#%d" % (key, number)


def unnumbered(block_key: bytes) -> bytes:
    """Return the key without its number. A URL that is fetched has no `#` of its own.

    >>> unnumbered(b"http://a/#2"), unnumbered(b"http://a/")
    (b'http://a/', b'http://a/')
    """
    return block_key.partition(b"#")[0]


def times(key: bytes, blocks: Container[bytes]) -> int:
    """Return how often `key` was met: the number of its newest block in `blocks`, 0 when there is none.

    >>> times(b"http://a/", {b"http://a/", b"http://a/#2"})
    2
    """
    number = 0
    while numbered(key, number + 1) in blocks:
        number += 1
    return number
