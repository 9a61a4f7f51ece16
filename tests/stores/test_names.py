"""Names of flows, executions, layers and artifacts: strange ones, and long ones. Issue 6, «Bad input»."""

from __future__ import annotations

import pytest

from smartpipe.locations import Location
from smartpipe.stores import ArtifactStore

GOOD = [
    "x" * 250,
    "é" * 125,
    "\U0001f600" * 62,
    "e\u0301",
    "\u00e9",
    "\u202e",
    "\ufeff",
    "a\nb",
    " ",
    "\t",
    "\x7f",
    "..x",
    "x..",
    ".hidden",
    "-rf",
    "*",
    "?",
    "~",
    "%2e%2e",
    "a:b",
    "0",
    "x.json",
    ".json",
    "artifacts",
    "archives",
    ".cache",
    ".record.json",
]
BAD = ["", ".", "..", "a/b", "/", "../x", "a\\b", "a\0b", "\ud800", "x" * 251, "é" * 126]
PARTS = ("flow", "execution", "layer", "name")
RUN = {"flow": "F", "execution": "E", "layer": "L", "name": "N"}


@pytest.mark.parametrize("part", PARTS)
def test_strange_names_are_kept_apart_and_come_back(location: Location, part: str) -> None:
    store = ArtifactStore(location)
    for name in GOOD:
        for index in range(2):
            store.write(**{**RUN, part: name}, index=index, values=["of", name, index])  # type: ignore[arg-type]
    for name in GOOD:
        for _ in range(2):
            assert list(store.read(**{**RUN, part: name})) == ["of", name, 0, "of", name, 1]
    listed = {
        "flow": store.list_flows,
        "execution": lambda: store.list_executions(flow="F"),
        "layer": lambda: store.list_layers(flow="F", execution="E"),
        "name": lambda: store.list_artifacts(flow="F", execution="E", layer="L"),
    }
    assert listed[part]() == sorted(GOOD)
    assert store.verify().problems == [] and store.gc(grace=0).removed == []
    for flow in store.list_flows():
        for execution in store.list_executions(flow=flow):
            store.delete_execution(flow=flow, execution=execution)
    store.gc(grace=0)
    assert [content.key for content in location.contents()] == []


def test_all_parts_as_long_as_they_may_be(location: Location) -> None:
    store = ArtifactStore(location)
    parts = dict.fromkeys(PARTS, "é" * 125)
    for index in (0, 10**18 - 1):
        store.write(**parts, index=index, values=[index])  # type: ignore[arg-type]
    assert list(store.read(**parts)) == [0, 10**18 - 1]
    assert store.verify().archives == 2


@pytest.mark.parametrize("part", PARTS)
def test_names_that_lead_elsewhere_are_refused_and_write_nothing(location: Location, part: str) -> None:
    store = ArtifactStore(location)
    own = {"flow": [".smartpipe"], "name": [".record"]}
    for name in [*BAD, *own.get(part, [])]:
        with pytest.raises(ValueError, match=part):
            store.write(**{**RUN, part: name}, index=0, values=[1])  # type: ignore[arg-type]
        with pytest.raises(ValueError, match=part):
            store.read(**{**RUN, part: name})
    assert [content.key for content in location.contents()] == []
