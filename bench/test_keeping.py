"""Every contender that keeps artifacts does the same work: what was put is got, and what was deleted is not. And so
does every one that keeps Python values: equal ones come back."""

import json
import pickle
import time
from contextlib import closing
from hashlib import sha256
from operator import itemgetter
from pathlib import Path
from typing import Any

import pytest

import smartpipe
from bench.child import Watch
from bench.corpus import LARGEST, SMALLEST, Block, Keys, artifact_blocks, key, python_values
from bench.goals import goals
from bench.keeping import (
    check_objects,
    compact,
    delete,
    got,
    keep_objects,
    looking_up,
    put,
    put_many,
    room,
    together,
    write_objects,
)
from bench.results import Results
from bench.rivals.objects import EXECUTION, FLOW, LAYER, NAME, ObjectKeeper
from bench.rivals.rival import Form, rival
from bench.rivals.shards import SHARDS
from bench.rivals.store import Keeper, Value
from bench.workloads import GZIP, is_own, workloads
from bench.workloads import SHARDS as ON_SHARDS
from smartpipe.locations import Files
from smartpipe.stores import ArtifactStore

PATIENCE = 30  # seconds until what a process put has to be seen
ENTRANTS = [
    entrant
    for workload in workloads(quick=True)
    for entrant in workload.entrants
    if workload.data in ("artifacts", "objects")
]
WRITING = [action for action in dict.fromkeys(each.action for each in ENTRANTS) if action.startswith("write")]


def contenders(*actions: str) -> dict[tuple[str, Form], None]:
    return dict.fromkeys((each.rival, Form(each.codec, each.level)) for each in ENTRANTS if each.action in actions)


def made(name: str, form: Form) -> Any:
    try:
        keeper: ObjectKeeper = rival(name, form)
    except ImportError as error:
        if is_own(name):
            raise
        pytest.skip(f"not to be had here: {error}")
    return keeper


@pytest.fixture
def values(corpora: dict[str, list[Block]]) -> list[Value]:
    return [(name, pairs[b""]) for name, pairs in corpora["artifacts"]]


def found(keeper: Keeper, folder: Path) -> dict[bytes, bytes]:
    opened = keeper.open(folder, False)
    values = list(opened.items())
    assert [opened.get(name) for name, _ in values] == [value for _, value in values]
    opened.close()
    assert len(values) == len(dict(values))
    return dict(values)


def test_artifacts_are_the_same_in_every_run_and_named_by_their_digests(corpora: dict[str, list[Block]]) -> None:
    blocks = corpora["artifacts"]
    assert artifact_blocks(corpora["pages"], len(blocks)) == blocks
    assert len(dict(blocks)) == len(blocks)
    for name, pairs in blocks:
        assert SMALLEST <= len(pairs[b""]) <= LARGEST
        assert name == sha256(pairs[b""]).hexdigest().encode()


@pytest.mark.parametrize(("name", "form"), contenders("put"), ids=str)
def test_what_was_put_is_got(name: str, form: Form, values: list[Value], tmp_path: Path) -> None:
    keeper = made(name, form)
    keeper.begin(tmp_path)
    put(keeper, tmp_path, values)
    assert found(keeper, tmp_path) == dict(values)


def test_a_reader_in_one_transaction_gets_what_was_put_before(values: list[Value], tmp_path: Path) -> None:
    keeper = made("sqlite.Snapshot", Form())
    keeper.begin(tmp_path)
    put(keeper, tmp_path, values)
    assert found(keeper, tmp_path) == dict(values)


@pytest.mark.parametrize(("name", "form"), contenders("put_many"), ids=str)
def test_what_was_put_in_bulk_is_got(name: str, form: Form, values: list[Value], tmp_path: Path) -> None:
    keeper = made(name, form)
    keeper.begin(tmp_path)
    put_many(keeper, tmp_path, values)
    assert found(keeper, tmp_path) == dict(values)


@pytest.mark.parametrize(("name", "form"), contenders("put"), ids=str)
def test_what_a_process_puts_another_one_gets_that_is_there_already(
    name: str, form: Form, values: list[Value], tmp_path: Path
) -> None:
    keeper = made(name, form)
    keeper.begin(tmp_path)

    def take_turns(share: list[Value]) -> None:
        opened = keeper.open(tmp_path, True)
        for name, value in share:
            opened.put(name, value)
        end = time.monotonic() + PATIENCE
        for name, value in values:
            while got(opened, name) != value:
                assert time.monotonic() < end
        opened.close()

    together(2, values, lambda share: lambda: take_turns(share))


@pytest.mark.parametrize(("name", "form"), contenders("delete"), ids=str)
def test_what_was_deleted_is_gone_and_nothing_else(name: str, form: Form, values: list[Value], tmp_path: Path) -> None:
    keeper = made(name, form)
    keeper.begin(tmp_path)
    put(keeper, tmp_path, values)
    delete(keeper, tmp_path, values[::2])
    assert found(keeper, tmp_path) == dict(values[1::2])


@pytest.mark.parametrize(("name", "form"), contenders("compact"), ids=str)
def test_compacting_gives_room_back_and_keeps_the_rest(
    name: str, form: Form, values: list[Value], tmp_path: Path
) -> None:
    keeper = made(name, form)
    keeper.begin(tmp_path)
    put(keeper, tmp_path, values)
    delete(keeper, tmp_path, values[::2])
    before = room(tmp_path)
    compact(keeper, tmp_path, values)
    assert found(keeper, tmp_path) == dict(values[1::2])
    assert room(tmp_path) < before


# Python values


def test_python_values_are_the_same_in_every_run_and_all_different(
    corpora: dict[str, list[Block]], python: list[dict[str, Any]]
) -> None:
    assert python_values(corpora["pages"], len(python)) == python
    pickles = [pickle.dumps(value, protocol=5) for value in python]
    assert all(SMALLEST <= len(data) <= LARGEST for data in pickles)
    assert len(set(pickles)) == len(python)


@pytest.mark.parametrize(
    ("action", "name", "form"), [(action, *each) for action in WRITING for each in contenders(action)], ids=str
)
def test_python_values_that_were_written_are_read(
    action: str, name: str, form: Form, python: list[dict[str, Any]], tmp_path: Path
) -> None:
    keeper = made(name, form)
    keeper.begin(tmp_path)
    write_objects(keeper, action, tmp_path, python)
    with closing(keeper.open_objects(tmp_path, False)) as opened:
        assert sorted(opened.read(), key=itemgetter("number")) == python
        assert [opened.get(place) for place in opened.names(python)] == python


@pytest.mark.parametrize("action", ["write", "read_objects", "get_objects", "get_cold"])
def test_python_values_are_measured(action: str, python: list[dict[str, Any]], tmp_path: Path) -> None:
    keeper = made("artifact_store.Shards", Form("deflate", 6))
    if action != "write":
        keep_objects(keeper, "make", tmp_path, python, Watch(1, 0))
    answer = keep_objects(keeper, action, tmp_path, python, Watch(1, 1))
    assert answer["blocks"] == len(python) and answer["seconds"] > 0
    assert ("stored" in answer) == (action == "write")


def test_other_values_than_were_written_are_noticed(python: list[dict[str, Any]], tmp_path: Path) -> None:
    keeper = made("artifact_store.Shards", Form("deflate", 6))
    write_objects(keeper, "write", tmp_path, [*python[:-1], {**python[-1], "text": "another"}])
    with closing(keeper.open_objects(tmp_path, False)) as opened, pytest.raises(RuntimeError, match="other values"):
        check_objects(opened, python)


@pytest.mark.parametrize("action", ["write", "write_named"])
def test_a_gzip_file_each_is_a_datastore_as_smartpipe_reads_it_and_writes_it(
    action: str, python: list[dict[str, Any]], tmp_path: Path
) -> None:
    gzipped, ours = made("files.Gzipped", Form("deflate", 9)), made("artifact_store.Files", Form("deflate", 6))
    flow = tmp_path / "theirs" / FLOW
    flow.mkdir(parents=True)
    gzipped.begin(flow)
    write_objects(gzipped, action, flow, python)
    with ArtifactStore(Files(tmp_path / "theirs")) as store:
        assert list(store.read(flow=FLOW, execution=EXECUTION, layer=LAYER, name=NAME)) == python
    write_objects(ours, action, tmp_path / "ours", python)
    with closing(gzipped.open_objects(tmp_path / "ours" / FLOW, False)) as opened:
        assert list(opened.read()) == python


def test_a_process_that_fails_is_said(values: list[Value]) -> None:
    def fails(share: list[Value]) -> None:
        raise ValueError

    with pytest.raises(RuntimeError, match="a process of 2 ended without an answer"):
        together(2, values, lambda share: lambda: fails(share))


@pytest.mark.parametrize("written", [False, True])
def test_keys_in_thirty_shards_are_found_as_in_a_pipe(written: bool, tmp_path: Path) -> None:
    thirty = rival("shards.Thirty", Form())
    count = 3000
    folder = tmp_path / "keys"
    folder.mkdir()
    thirty.write(folder, Keys(count))
    with smartpipe.ShardStore(folder / "store", "r") as store:
        assert store.stats()["shards"] == SHARDS
        assert set(store) == {key(number) for number in range(count)}
    answer = looking_up(thirty, folder, count, written)
    assert answer["blocks"] == count and 0 < answer["lookup"] < answer["seconds"] + 1


def test_goals_of_stores_are_ratios_of_rounds_and_counts_of_files(tmp_path: Path) -> None:
    seconds = {"smartpipe": 1.0, "SQLite": 1.5, "a gzip file each": 6.0}
    figures = [
        {"workload": "artifacts-goal-put", "entrant": name, "round": 0, "seconds": time, "files": 20, "blocks": 1}
        for name, time in seconds.items()
    ]
    path = tmp_path / "figures.json"
    path.write_text(json.dumps({"machine": {}, "quick": True, "figures": figures}))
    assert [(goal.state, goal.value) for goal in goals(Results(path))] == [
        ("short", 1.5),
        ("reached", 6.0),
        ("short", 20),
    ]


def test_goals_of_python_values_are_of_a_gzip_file_each(tmp_path: Path) -> None:
    ours = {"seconds": 1.0, "files": 19, "stored": 41}
    theirs = {"seconds": 4.5, "files": 50_000, "stored": 100}
    figures = [
        {"workload": workload, "entrant": name, "round": 0, "blocks": 1, **found}
        for workload in ("objects-write", "objects-read", "objects-get", "objects-cold")
        for name, found in ((ON_SHARDS, ours), (GZIP, theirs))
    ]
    path = tmp_path / "figures.json"
    path.write_text(json.dumps({"machine": {}, "quick": True, "figures": figures}))
    assert [(goal.state, goal.value) for goal in goals(Results(path))] == [
        ("short", 4.5),
        ("reached", 4.5),
        ("reached", 4.5),
        ("reached", 4.5),
        ("reached", 19),
        ("short", 0.41),
    ]
