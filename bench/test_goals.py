"""What is said about figures: ratios of rounds, goals reached or short, and what is missing."""

import json
from pathlib import Path

import pytest

from bench.goals import goals
from bench.report import losses
from bench.results import Results


def results(folder: Path, seconds: dict[str, list[float]], **absent: str) -> Results:
    """Figures of writing plain pages: the times of each round."""
    figures = [
        {"workload": "write-plain", "entrant": name, "round": round, "seconds": time, "raw": 10**6, "stored": 10**6}
        for name, times in seconds.items()
        for round, time in enumerate(times)
    ]
    figures += [{"workload": "write-plain", "entrant": name, "round": 0, "absent": why} for name, why in absent.items()]
    path = folder / "figures.json"
    path.write_text(json.dumps({"machine": {}, "quick": True, "figures": figures}))
    return Results(path)


def test_a_ratio_is_the_median_of_the_ratios_of_the_rounds(tmp_path: Path) -> None:
    # A round in which the machine was busy counts like any other: 3, 2 and 4 times as fast.
    found = results(tmp_path, {"smartpipe": [1, 10, 1], "original": [3, 20, 4]})
    assert found.ratio("write-plain", "smartpipe", "original") == 3


@pytest.mark.parametrize(
    ("original", "state", "figure"),
    [
        (2.2, "reached", "2.2 ×, wanted ≥ 2.2 ×"),
        (1.1, "short", "1.1 ×, wanted ≥ 2.2 ×: 50% under"),
    ],
)
def test_a_goal_is_reached_or_short_by_so_much(tmp_path: Path, original: float, state: str, figure: str) -> None:
    goal, *_ = goals(results(tmp_path, {"smartpipe": [1], "original": [original]}))
    assert (goal.state, goal.figure) == (state, figure)


def test_a_goal_says_what_it_is_in_processor_time(tmp_path: Path) -> None:
    found = results(tmp_path, {"smartpipe": [1], "original": [3]})
    # Smartpipe waited half of the time, the original for nothing.
    found.figures["write-plain", "smartpipe"][0]["cores"] = 0.5
    found.figures["write-plain", "original"][0]["cores"] = 1
    assert goals(found)[0].figure == "3 × (6 × in processor time), wanted ≥ 2.2 ×"


def test_what_can_not_be_measured_is_said(tmp_path: Path) -> None:
    _, goal, *_ = goals(
        results(tmp_path, {"smartpipe": [1], "original": [3]}, msgpack="not to be had here (no module)")
    )
    assert (goal.state, goal.figure) == ("not measured", "wanted ≥ 1.7 ×: msgpack not to be had here")


def test_goals_of_other_workloads_are_left_out(tmp_path: Path) -> None:
    found = goals(results(tmp_path, {"smartpipe": [1], "original": [3], "msgpack": [2]}))
    assert [goal.state for goal in found] == ["reached", "reached"]


def test_whoever_is_faster_is_said(tmp_path: Path) -> None:
    said = losses(results(tmp_path, {"smartpipe": [2, 2], "bagz": [1, 1], "original": [2.05, 1.99]}))
    assert said == "- Write pages, plain: bagz 2.00 × as fast"
