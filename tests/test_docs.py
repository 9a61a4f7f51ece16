"""The examples of the documentation run: the doctests of the package, and the blocks of README.md and docs/.

The blocks of a page run one after another, in one folder. `python` blocks share a namespace, and one that begins with
the comment `# name.py` is also a file of that name. A `console` block has commands after `$ ` (going on after `> `) and
what they print, with `...` for anything; a command of which nothing is shown has to succeed. A `sh` block that begins
with smartpipe is a script. A comment `<!-- no-test: reason -->` before a block skips it.
"""

from __future__ import annotations

import doctest
import importlib
import os
import pkgutil
import re
import subprocess
import sys
import tempfile
import types
from collections.abc import Iterator
from pathlib import Path

import pytest

import smartpipe

ROOT = Path(__file__).parents[1]

# Pages with tests of their own, which know more of what the examples need.
ELSEWHERE = {
    "cli.md": "tests/cli/test_documentation.py",
    "scraping.md": "tests/integrations/test_scrapy_docs.py",
}

BLOCK = re.compile(r"^(?:<!-- no-test: (.+) -->\n+)?```(python|console|sh)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def doctests() -> Iterator[object]:
    """Yield every doctest of the package as a parameter."""
    finder = doctest.DocTestFinder()
    for name in sorted(module.name for module in pkgutil.walk_packages(smartpipe.__path__, "smartpipe.")):
        if name.endswith("__main__"):
            continue
        try:
            module = importlib.import_module(name)
        except ModuleNotFoundError as error:
            if (error.name or "").startswith("smartpipe"):
                raise
            yield pytest.param(None, marks=pytest.mark.skip(reason=f"{error.name} is not installed"), id=name)
            continue
        found = {test.name: test for test in finder.find(module) if test.examples}
        for label, test in found.items():
            # Cython puts doctests into `__test__` too, of which only those of properties are not found otherwise.
            owner = re.sub(r"\.__test__\.(.*) \(line \d+\)$", r".\1", label)
            if owner == label or owner not in found:
                yield pytest.param(test, id=owner)


class Page:
    """A page of the documentation, and what its blocks share."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.text = path.read_text("utf-8")
        self.blocks = list(BLOCK.finditer(self.text))
        self.done = 0
        self.module = types.ModuleType("__main__")
        self.folder: Path | None = None

    def line(self, number: int) -> int:
        """Return the line of the page at which a block's code begins."""
        return self.text.count("\n", 0, self.blocks[number].start(3)) + 1

    def skipped(self, number: int) -> str | None:
        """Return why a block is not run, None where it is."""
        reason, language, code = self.blocks[number].groups()
        if reason is None and language == "sh" and not code.startswith("smartpipe "):
            return "no command of smartpipe"
        return reason

    def run_to(self, number: int) -> None:
        """Run a block, and before it those that were not run yet, in the current folder."""
        while self.done <= number:
            self.done += 1
            if self.skipped(self.done - 1) is None:
                self.run(self.done - 1)

    def run(self, number: int) -> None:
        _, language, code = self.blocks[number].groups()
        if language == "python":
            name = re.match(r"# (\w+\.py)\n", code)
            if name is not None:
                Path(name[1]).write_text(code, "utf-8")
            # With empty lines before it, so that tracebacks name the lines of the page.
            exec(compile("\n" * (self.line(number) - 1) + code, self.path, "exec"), vars(self.module))
        elif language == "console":
            for example in re.split(r"^\$ ", code, flags=re.MULTILINE)[1:]:
                command, shown = re.fullmatch(r"([^\n]*\n(?:>[^\n]*\n)*)(.*)", example, re.DOTALL).groups()
                ended = shell(re.sub(r"^> ?", "", command, flags=re.MULTILINE))
                pattern = ".*".join(re.escape(part) for part in shown.split("..."))
                good = re.fullmatch(pattern, ended.stdout, re.DOTALL) if shown else ended.returncode == 0
                assert good, f"$ {command}{ended.stdout}"
        else:
            ended = shell(code)
            assert ended.returncode == 0, f"{code}{ended.stdout}"


def shell(command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", "-euc", command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )


def blocks() -> Iterator[object]:
    """Yield every block of the pages as a parameter."""
    for path in [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]:
        if path.name in ELSEWHERE:
            continue
        page = Page(path)
        for number in range(len(page.blocks)):
            reason = page.skipped(number)
            marks = [] if reason is None else [pytest.mark.skip(reason=reason)]
            yield pytest.param(page, number, marks=marks, id=f"{path.name}:{page.line(number)}")


@pytest.fixture(scope="session")
def commands(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the command `smartpipe`, as an installation makes it."""
    folder = tmp_path_factory.mktemp("bin")
    script = folder / "smartpipe"
    script.write_text(f"#!{sys.executable}\nimport sys\nfrom smartpipe.cli import main\nsys.exit(main())\n")
    script.chmod(0o755)
    return folder


@pytest.fixture
def surroundings(commands: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the blocks of a page find: the command, and for it the package."""
    monkeypatch.setenv("PATH", f"{commands}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))


@pytest.mark.parametrize("example", list(doctests()))
def test_doctest(example: doctest.DocTest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    output: list[str] = []
    runner = doctest.DocTestRunner(verbose=False)
    runner.run(example, out=output.append)
    assert runner.failures == 0, "".join(output)


@pytest.mark.parametrize(("page", "number"), list(blocks()))
@pytest.mark.usefixtures("surroundings")
def test_block(
    page: Page, number: int, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    page.folder = page.folder or tmp_path_factory.mktemp(page.path.stem)
    monkeypatch.chdir(page.folder)
    monkeypatch.setitem(sys.modules, "__main__", page.module)
    page.run_to(number)


@pytest.mark.parametrize(("name", "test"), list(ELSEWHERE.items()))
def test_the_other_pages_have_tests(name: str, test: str) -> None:
    assert name in (ROOT / test).read_text()


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("```python\nassert 1 == 2\n```\n", AssertionError),
        ("```python\nx = 1\n```\n\n```python\ndel x, y\n```\n", NameError),
        ("```console\n$ smartpipe ls nowhere\n```\n", AssertionError),
        ("```console\n$ echo one\n$ false\n```\n", AssertionError),
        ("```console\n$ echo one\ntwo\n```\n", AssertionError),
        ("```console\n$ printf 'a\\nb\\n'\na\n```\n", AssertionError),
        ("```console\n$ echo one\n...\ntwo\n```\n", AssertionError),
        ("```sh\nsmartpipe ls nowhere\ntrue\n```\n", AssertionError),
    ],
)
@pytest.mark.usefixtures("surroundings")
def test_a_wrong_example_fails(
    text: str, error: type[Exception], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "page.md").write_text(text)
    monkeypatch.chdir(tmp_path)
    page = Page(tmp_path / "page.md")
    with pytest.raises(error):
        page.run_to(len(page.blocks) - 1)


@pytest.mark.usefixtures("surroundings")
def test_right_examples_pass(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "page.md").write_text(
        "```python\n# pages.py\nx = 1\n```\n\n"
        "<!-- no-test: there is no y -->\n```python\ny\n```\n\n"
        "```python\nimport pages\n\nassert pages.x == x\n```\n\n"
        "```console\n$ smartpipe ls nowhere\nsmartpipe: nowhere...\n```\n\n"
        "```console\n$ printf 'a\\nb\\n' \\\n> | tee both\na\nb\n$ cat both\n```\n\n"
        "```sh\nfalse\n```\n\n"
        "```sh\nsmartpipe --help > both\ngrep convert both\n```\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    page = Page(tmp_path / "page.md")
    page.run_to(len(page.blocks) - 1)
    assert len(page.blocks) == 7
