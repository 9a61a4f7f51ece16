"""Blocks whose content follows from their key, so that whoever reads one can tell whether it is right."""

from __future__ import annotations

from collections.abc import Iterable
from random import Random

from container.pipes import Blocks, Pairs
from torture.harness import Wrong

TEXT = b"".join(b"<p>%d</p>" % (number * number) for number in range(3000))


def pairs_of(key: bytes) -> Pairs:
    """The pairs of the block with a key: none, few, empty ones, large ones that shrink and that do not."""
    chance = Random(key)
    pairs = [] if chance.random() < 0.1 else [(b"key", key)]
    for name in (b"text", b"", b"bytes", b"text")[: 4 if pairs else 0]:
        size = chance.choice((None, 0, 1, 40, 300, 5000))
        if size is not None:
            start = chance.randrange(len(TEXT) - 5000)
            pairs.append((name, TEXT[start : start + size] if name == b"text" else chance.randbytes(size)))
    return pairs


def blocks_of(keys: Iterable[bytes]) -> Blocks:
    """The blocks with these keys."""
    return [(key, pairs_of(key)) for key in keys]


def check(key: bytes, pairs: Iterable[tuple[bytes, bytes]], where: str = "") -> None:
    """Raise Wrong where a block does not hold what its key says."""
    found = list(pairs)
    if found != pairs_of(key):
        sizes = [(name, len(value)) for name, value in found]
        raise Wrong(f"{where}: block {key!r} has {sizes}, not what was written there")
