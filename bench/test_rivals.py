"""Every rival does the same work: what it gives back is what it was given."""

from pathlib import Path

import pytest

from bench.cases import CODECS, SMALL_PAIR
from bench.corpus import Block
from bench.rivals import RIVALS
from bench.rivals.alone import joined
from bench.rivals.rival import Rival
from bench.stores import Stores

WHOLE = [rival for rival in RIVALS if "read" in rival.workloads and "pair" in rival.workloads]


@pytest.fixture(params=("pages", "small"))
def blocks(request: pytest.FixtureRequest, stores: Stores) -> list[Block]:
    return stores.blocks(request.param)[:50]


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("rival", WHOLE, ids=lambda rival: rival.name)
def test_what_is_read_is_what_was_written(rival: Rival, codec: str, blocks: list[Block], tmp_path: Path) -> None:
    rival.write(tmp_path, blocks, CODECS[codec])
    store = rival.open(tmp_path, CODECS[codec])
    key, pairs = blocks[len(blocks) // 2]
    assert {key: dict(pairs) for key, pairs in store.read()} == dict(blocks)
    assert dict(store.get(key)) == pairs
    assert dict(store.select(SMALL_PAIR)) == {key: pairs[SMALL_PAIR] for key, pairs in blocks}
    assert store.get_pair(key, SMALL_PAIR) == pairs[SMALL_PAIR]
    store.close()


@pytest.mark.parametrize("codec", CODECS)
def test_the_limit_handles_all_bytes_of_a_block(codec: str, blocks: list[Block], tmp_path: Path) -> None:
    limit = next(rival for rival in RIVALS if rival.name == "limit")
    limit.prepare(blocks)
    limit.write(tmp_path, blocks, CODECS[codec])
    store = limit.open(tmp_path, CODECS[codec])
    key, pairs = blocks[len(blocks) // 2]
    expected = [(key, [(b"", joined(pairs))]) for key, pairs in blocks]
    assert [(key, list(pairs)) for key, pairs in store.read()] == expected
    assert list(store.get(key)) == [(b"", joined(pairs))]
    store.close()
