"""The examples that `make demo` does not run."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import smartpipe
from smartpipe.locations import Files, Shards
from smartpipe.stores import ArtifactStore

EXAMPLES = Path(__file__).parents[1] / "examples"


def test_artifacts(tmp_path: Path) -> None:
    pytest.importorskip("lxml", reason="lxml, which comes with smartpipe[scrapy], takes pages apart")
    with smartpipe.open(tmp_path / "site", "w", compress=True) as pipe:
        for number in range(60):
            page = f"<title>page {number}</title><p>{'some text ' * number}<a href='/p{(number + 1) % 60}'>next</a>"
            pipe.write(b"http://localhost/p%d" % number, {b"raw": page.encode(), b"log": b"200"})
        pipe.write(b"http://localhost/empty", {b"raw": b""})
    command = [sys.executable, str(EXAMPLES / "artifacts.py"), "site"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    shards, files = (line.split() for line in done.stdout.splitlines() if line.startswith(("shards  ", "files  ")))
    assert int(shards[1]) < 40 < 60 < int(files[1]), "two files for each process at most, and the store's own"

    # The second execution finds more in pages whose url has a multiple of ten letters: those from p10 on.
    expected = [f"page {number}" for number in range(60)]
    demo = tmp_path / "demo"
    for place in (Shards(demo / "artifacts-shards", mode="r"), Files(demo / "artifacts-files")):
        with ArtifactStore(place) as store:
            for execution in ("1", "2"):
                records = store.read(flow="Pydoc", execution=execution, layer="Extract", name="records")
                assert [record["title"] for record in records] == expected
                assert [record["links"] for record in records[58:]] == [
                    ["http://localhost/p59"],
                    ["http://localhost/p0"],
                ]
                found = [number for number, record in enumerate(records) if "words" in record]
                assert found == (list(range(10, 60)) if execution == "2" else [])
                assert store.read_record(flow="Pydoc", execution=execution, layer="Extract").splits == 4
            assert store.list_executions(flow="Pydoc") == ["1", "2"]
