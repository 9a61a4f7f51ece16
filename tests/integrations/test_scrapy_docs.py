"""The examples of docs/scraping.md run, one after another, as a reader would run them."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from pathlib import Path

from .blocks import blocks
from .process import Process
from .site import Site

PAGE = Path(__file__).parents[2] / "docs" / "scraping.md"


def test_the_examples_run(site: Site, start: Callable[..., Process], tmp_path: Path) -> None:
    site.html("/", "<title>Home</title>" + "".join(f"<a href={number}>{number}</a>" for number in range(150)))
    for number in range(150):
        site.html(f"/{number}", f"<title>Page {number}</title>")
    text = PAGE.read_text("utf-8").replace("http://localhost:8000", site.url)
    examples = re.findall(r"^```(python|console)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    assert len(examples) >= 8
    outputs = []

    for language, code in examples:
        if language == "python":
            (tmp_path / "example.py").write_text(code)
            runs = [["example.py"]]
        else:
            commands = [shlex.split(line.removeprefix("$ ")) for line in code.splitlines()]
            assert all(command[0] == "smartpipe" for command in commands)
            runs = [["-m", *command] for command in commands]
        for arguments in runs:
            ran = start(*arguments).wait()
            assert (ran.code, ran.err) == (0, ""), code
            outputs.append(ran.out)

    assert [len(blocks(tmp_path / name)) for name in ("pages", "small", "once", "again")] == [120, 20, 20, 20]
    assert f"{site.url}/5 Page 5\n" in "".join(outputs)
    assert "Home from the site\n" in outputs
    assert f"{site.url}/" in blocks(tmp_path / "modules")


def test_every_setting_is_named(start: Callable[..., Process]) -> None:
    text = PAGE.read_text("utf-8")
    source = "".join(path.read_text() for path in (PAGE.parents[1] / "smartpipe/integrations/scrapy").glob("*.py"))
    assert set(re.findall("SMARTPIPE_[A-Z_]+", source)) == set(re.findall("SMARTPIPE_[A-Z_]+", text))
    options = start("-m", "smartpipe", "crawl", "--help").wait().out
    assert set(re.findall("--[a-z-]{3,}", options)) - {"--help", "--output", "--set"} == set(
        re.findall(r"(?<=`)--[a-z-]{3,}", text)
    )
