"""What can be read of a damaged pipe of format 1."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from smartpipe.container.block import Block
from smartpipe.container.recovery.damage import Damage
from smartpipe.container.recovery.identity import Subject
from smartpipe.container.recovery.inspection1 import Inspection1, Part
from smartpipe.container.recovery.survey import Keys


class Salvage1:
    """The blocks as far as entries and data go. `lost`, `torn` and the counts are complete when `blocks` has ended."""

    def __init__(self, subject: Subject, index_path: str, progress: Callable[[int, int], object] | None) -> None:
        self.inspection = Inspection1(subject, index_path)
        self.progress = progress
        self.codec = subject.codec
        self.metadata: dict[bytes, bytes] = {}
        self.lost: list[Damage] = []
        self.torn: list[Damage] = []
        self.notes: list[str] = []
        self.missing = 0
        self.pairs = 0

    def blocks(self) -> Iterator[Block]:
        size = self.inspection.size
        last = self._last_of_each()
        for number, part in enumerate(self.inspection.parts()):
            if part.block is None:
                self._note(part)
            elif last.get(part.block.key, number) != number:
                reason = "the key occurs again behind it, and the last block counts"
                self._lose(Damage("duplicate", self.inspection.source.path, part.offset, 0, part.block.key, reason))
            else:
                self.pairs += len(part.block)
                yield part.block
            if self.progress is not None:
                self.progress(size + min(part.offset, size), 2 * size)

    def _last_of_each(self) -> dict[bytes, int]:
        """The number of the last whole part of each key that occurs more than once."""
        size = self.inspection.size
        keys = Keys()
        last: dict[bytes, int] = {}
        for number, part in enumerate(self.inspection.parts()):
            if part.block is not None and keys.meet(part.block.key, number) is not None:
                last[part.block.key] = number
            if self.progress is not None:
                self.progress(min(part.offset, size), 2 * size)
        return last

    def _note(self, part: Part) -> None:
        damage = part.damage
        if damage is None:
            return
        if damage.what == "torn":
            self.torn.append(damage)
        else:
            self._lose(damage)

    def _lose(self, damage: Damage) -> None:
        self.lost.append(damage)
        self.missing += damage.block is not None
