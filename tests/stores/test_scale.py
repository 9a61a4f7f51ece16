"""What a store of artifacts does beside others, and with very many of them. Issue 6, 4."""

from __future__ import annotations

from typing import Any

from smartpipe.locations import Memory
from smartpipe.stores import ArtifactStore

RUN = {"flow": "F", "execution": "1", "layer": "L"}


def test_a_combined_archive_that_a_writer_removes_while_verify_looks_is_no_problem() -> None:
    class Busy(Memory):
        def _read_batch(self, keys: list[bytes]) -> Any:
            for key in keys:
                if key == b"F/.cache/1/L/x.json":
                    self.delete(key)
            return super()._read_batch(keys)

    place = Busy()
    store = ArtifactStore(place)
    for index in range(2):
        store.write(**RUN, index=index, name="x", values=[index])
    store.read(**RUN, name="x")
    assert b"F/.cache/1/L/x.json" in [content.key for content in place.contents()]
    assert store.verify().problems == []
