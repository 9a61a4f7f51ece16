"""Every contender does the same work: what it gives back is what it was given."""

from pathlib import Path

import pytest

from bench.child import SMALL_PAIR
from bench.corpus import Block
from bench.rivals.limits import joined
from bench.rivals.rival import Form, Rival, Store, rival
from bench.workloads import is_own, workloads

# Those that keep artifacts, Python values, and keys in many shards, are in test_keeping.py.
ENTRANTS = [
    entrant
    for workload in workloads(quick=True)
    for entrant in workload.entrants
    if workload.data not in ("artifacts", "objects") and entrant.rival != "shards.Thirty"
]
FORMS = dict.fromkeys((each.rival, Form(each.codec, each.level, each.threads)) for each in ENTRANTS)
CONTENDERS = [case for case in FORMS if not case[0].startswith("limits.")]
LIMITS = [case for case in FORMS if case[0].startswith("limits.")]

# webdataset leaves files to the garbage collector.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


def made(name: str, form: Form) -> Rival:
    try:
        return rival(name, form)
    except ImportError as error:
        if is_own(name):
            raise
        pytest.skip(f"not to be had here: {error}")


def written(contender: Rival, folder: Path, blocks: list[Block]) -> Store:
    contender.write(folder, blocks)
    return contender.open(folder)


@pytest.mark.parametrize("data", ["pages", "small"])
@pytest.mark.parametrize(("name", "form"), CONTENDERS, ids=str)
def test_what_is_read_is_what_was_written(
    name: str, form: Form, data: str, corpora: dict[str, list[Block]], tmp_path: Path
) -> None:
    blocks = corpora[data]
    store = written(made(name, form), tmp_path, blocks)
    for _ in range(2):
        assert {key: dict(pairs) for key, pairs in store.read()} == dict(blocks)
    store.close()


@pytest.mark.parametrize(("name", "form"), CONTENDERS, ids=str)
def test_one_pair_of_every_block(name: str, form: Form, corpora: dict[str, list[Block]], tmp_path: Path) -> None:
    blocks = corpora["pages"]
    store = written(made(name, form), tmp_path, blocks)
    assert sorted(map(bytes, store.select(SMALL_PAIR))) == sorted(pairs[SMALL_PAIR] for _, pairs in blocks)
    store.close()


@pytest.mark.parametrize(
    ("name", "form"),
    dict.fromkeys((each.rival, Form(each.codec, each.level)) for each in ENTRANTS if each.action in ("get", "pair")),
    ids=str,
)
def test_one_block_by_key(name: str, form: Form, corpora: dict[str, list[Block]], tmp_path: Path) -> None:
    blocks = corpora["pages"]
    store = written(made(name, form), tmp_path, blocks)
    for key, pairs in (blocks[-1], blocks[0]):
        assert dict(store.get(key)) == pairs
        assert store.get_pair(key, SMALL_PAIR) == pairs[SMALL_PAIR]
    store.close()


@pytest.mark.parametrize("name", dict.fromkeys(each.rival for each in ENTRANTS if each.action == "open"), ids=str)
def test_a_key_that_is_there_is_told_from_one_that_is_not(
    name: str, corpora: dict[str, list[Block]], tmp_path: Path
) -> None:
    blocks = corpora["small"]
    store = written(made(name, Form()), tmp_path, blocks)
    assert all(store.has(key) for key, _ in blocks)
    assert not store.has(blocks[0][0] + b"/")
    store.close()


@pytest.mark.parametrize(
    ("name", "action"),
    dict.fromkeys((each.rival, each.action) for each in ENTRANTS if each.action in ("write_pairs", "write_columns")),
)
def test_other_ways_to_write_give_the_same(
    name: str, action: str, corpora: dict[str, list[Block]], tmp_path: Path
) -> None:
    blocks = corpora["small"]
    contender = made(name, Form())
    given = contender.gathered(blocks) if action == "write_columns" else blocks
    getattr(contender, action)(tmp_path, given)
    store = contender.open(tmp_path)
    assert {key: dict(pairs) for key, pairs in store.read()} == dict(blocks)
    store.close()


@pytest.mark.parametrize("name", dict.fromkeys(each.rival for each in ENTRANTS if each.action == "columns"), ids=str)
def test_columns_have_all_bytes(name: str, corpora: dict[str, list[Block]], tmp_path: Path) -> None:
    blocks = corpora["small"]
    contender = made(name, Form())
    contender.write(tmp_path, blocks)
    store = contender.open(tmp_path)
    found = store.columns()
    pairs = [value for _, pairs in blocks for value in pairs.values()]
    assert found == (len(pairs), sum(map(len, pairs)))
    store.close()


@pytest.mark.parametrize(("name", "form"), LIMITS, ids=str)
def test_a_limit_handles_all_bytes(name: str, form: Form, corpora: dict[str, list[Block]], tmp_path: Path) -> None:
    blocks = corpora["pages"]
    limit = made(name, form)
    limit.prepare(blocks)
    limit.write(tmp_path, blocks)
    store = limit.open(tmp_path)
    found = b"".join(bytes(value) for _, pairs in store.read() for _, value in pairs)
    assert found == b"".join(joined(pairs) for _, pairs in blocks)
    store.close()
