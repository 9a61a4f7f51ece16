"""Values in memory."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

from smartpipe.locations import Location, Memory

from .contract import Contract


class TestMemory(Contract):
    def location(self, home: Path, **options: Any) -> Location:
        return Memory(str(home), **options)

    def test_places_without_a_name_are_their_own(self) -> None:
        one, two = Memory(), Memory()
        one.write(b"a", b"value")
        assert two.read_bytes(b"a") is None
        assert len({one, two}) == 2

    def test_a_pickled_place_without_a_name_begins_empty(self) -> None:
        place = Memory()
        place.write(b"a", b"value")
        assert list(pickle.loads(pickle.dumps(place)).contents()) == []

    def test_a_value_does_not_follow_the_buffer_that_it_was_written_from(self) -> None:
        place = Memory()
        buffer = bytearray(b"value")
        place.write(b"a", buffer)
        buffer[:] = b"other"
        assert place.read_bytes(b"a") == b"value"

    def test_what_is_read_can_not_change_what_is_kept(self) -> None:
        place = Memory()
        place.write(b"a", b"value")
        with place.read(b"a") as stream:
            stream.write(b"other")
        assert place.read_bytes(b"a") == b"value"
