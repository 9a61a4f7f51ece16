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


class Copies:
    """The copies of dictionaries that were met: with one of two nothing is lost."""

    def __init__(self) -> None:
        self.whole: set[int] = set()
        self.damaged: dict[int, int] = {}
        """Offset to number."""

    def spare(self, offset: int) -> str | None:
        """What the reason goes on with where a damaged copy lies and another is whole."""
        number = self.damaged.get(offset)
        if number not in self.whole:
            return None
        return f"this is one copy of dictionary {number}, and another is whole: no block is lost"


def plural(number: int, what: str) -> str:
    """A number of things in words.

    >>> plural(1, "block"), plural(2, "block")
    ('1 block', '2 blocks')
    """
    return f"{number} {what}" + ("" if number == 1 else "s")
