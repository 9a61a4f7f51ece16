"""How verify, recover and rebuild_index say what is not whole."""

from __future__ import annotations

from dataclasses import dataclass

WORDS = {
    "damaged": "bytes are not what was written",
    "torn": "a write that was not finished",
    "lost": "something was there, and is not any more",
    "duplicate": "a block key that occurs again behind it",
    "unreadable": "larger than max_block_size, or of a kind or codec that this version does not know",
    "index": "the index is missing, of another pipe, damaged, or contradicts the data",
}


@dataclass(frozen=True)
class Damage:
    """One thing that is not whole, and where."""

    what: str
    """One of WORDS."""
    file: str
    offset: int
    size: int
    """Bytes from `offset` on; 0 where nothing is there."""
    block: bytes | None
    """The key of the block, where it is known."""
    reason: str
