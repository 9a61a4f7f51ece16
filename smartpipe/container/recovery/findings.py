"""What verifying a pipe of either format adds up."""

from __future__ import annotations

from smartpipe.container.recovery.damage import Damage


class Findings:
    """What was found so far."""

    __slots__ = ("blocks", "bytes", "damage", "damaged", "notes")

    def __init__(self) -> None:
        self.blocks = 0
        self.damaged = 0
        self.bytes = 0
        self.damage: list[Damage] = []
        self.notes: list[str] = []

    def add(self, what: str, file: str, offset: int, size: int, reason: str, block: bytes | None = None) -> None:
        self.damage.append(Damage(what, file, offset, size, block, reason))


SPARE = "this is one copy of dictionary {}, and another is whole: no block is lost"
"""What a reason goes on with at a dictionary record."""


def plural(number: int, what: str) -> str:
    """A number of things in words.

    >>> plural(1, "block"), plural(2, "block")
    ('1 block', '2 blocks')
    """
    return f"{number} {what}" + ("" if number == 1 else "s")
