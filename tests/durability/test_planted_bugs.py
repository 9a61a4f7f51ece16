"""The tests find bugs: of those planted in a copy of the code, each makes what is to find it fail. `make torture` tries
all of them."""

from __future__ import annotations

import os
import shutil

import pytest

from . import planting
from .planted_bugs import BUGS, SAMPLE, Bug

pytestmark = [
    pytest.mark.timeout(900),
    pytest.mark.skipif(os.environ.get("SMARTPIPE_ENGINE") == "python", reason="the engine makes no difference to it"),
    pytest.mark.skipif(os.environ.get("SMARTPIPE_BUILD") == "sanitize", reason="it has a build of its own"),
    pytest.mark.skipif(not (planting.HOME / "setup.py").exists(), reason="the sources are not here"),
]


@pytest.fixture(scope="module")
def built() -> None:
    """The copy, built."""
    if shutil.which("cc") is None and shutil.which("gcc") is None:
        assert os.environ.get("CI") != "true", "there is no C compiler"
        pytest.skip("there is no C compiler")
    planting.build()


def test_there_are_twenty() -> None:
    assert len(BUGS) == len({bug.name for bug in BUGS}) == 20
    assert {bug.file.rpartition(".")[2] for bug in BUGS[:SAMPLE]} == {"py", "pyx", "c"}


def test_every_bug_can_still_be_planted() -> None:
    planting.sources()


@pytest.mark.usefixtures("built")
def test_without_a_bug_nothing_is_found() -> None:
    outcome = planting.play(None, planting.catchers_of(BUGS[:SAMPLE]))
    assert outcome.good, "\n\n".join([*outcome.shown, *outcome.died])


@pytest.mark.usefixtures("built")
@pytest.mark.parametrize("bug", BUGS[:SAMPLE], ids=lambda bug: bug.name)
def test_a_bug_is_found(bug: Bug) -> None:
    outcome = planting.play(bug, bug.catchers)
    assert outcome.shown, "\n\n".join(["nothing was found", *outcome.died])
