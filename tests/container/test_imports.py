"""Imports point downward only, and importing smartpipe loads little. DESIGN.md, «The house»."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import smartpipe

from .process import run

PACKAGE = Path(smartpipe.__file__).parent
CSRC = PACKAGE.parent / "csrc"

# From the bottom to the top. A module may import those of layers below it, and of its own.
LAYERS = [
    ["errors"],
    ["_platform"],
    ["_libraries"],
    ["_codec"],
    ["container"],
    [""],  # smartpipe/__init__.py, the table of contents; it finds operations when they are first asked for
    ["shards"],
    ["locations"],
    ["stores"],
    ["operations"],
    ["integrations"],
    ["cli", "__main__"],
]
HEAVY = ["numpy", "click", "rich", "multiprocessing", "scrapy", "concurrent.futures", "asyncio", "pyarrow", "lxml"]


def modules() -> Iterator[tuple[str, Path]]:
    """All modules of the package by their names without «smartpipe.»; an extension is a .pyx with its .pxd."""
    for path in sorted(PACKAGE.rglob("*.py*")):
        if path.suffix in (".py", ".pyx", ".pxd"):
            name = ".".join(path.relative_to(PACKAGE).with_suffix("").parts)
            yield name.removesuffix("__init__").rstrip("."), path


def layer(name: str) -> int:
    return next(number for number, names in enumerate(LAYERS) if name.split(".")[0] in names)


def statements(path: Path) -> Iterator[tuple[str, list[str]]]:
    """The imports of a file, anywhere in it: a module, and the names that are taken from it, if any."""
    text = path.read_text()
    if path.suffix == ".py":
        tree = ast.parse(text)
        for node in ast.walk(tree):
            if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
                node.body = [ast.Pass()]  # is not run
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                yield from ((alias.name, []) for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                assert node.level == 0, f"{path}: a relative import"
                yield node.module or "", [alias.name for alias in node.names]
    else:
        for module, in_brackets, names in re.findall(
            r"^\s*from\s+(\S+)\s+c?import\s+(?:\(([^)]*)\)|(.*))", text, re.MULTILINE
        ):
            yield module, re.findall(r"(\w+)(?:\s+as\s+\w+)?\s*(?:,|$)", in_brackets or names)
        for module in re.findall(r"^\s*c?import\s+(\S+)", text, re.MULTILINE):
            yield module, []


ALL = dict(modules())


def uses(name: str, path: Path) -> set[str]:
    """The modules of the package that a module imports. `from smartpipe import errors` is an import of errors."""
    found = set()
    for module, names in statements(path):
        if module.split(".")[0] != "smartpipe":
            continue
        inner = module.removeprefix("smartpipe").removeprefix(".")
        parts = {f"{inner}.{part}".removeprefix("."): part for part in names}
        found |= {part for part in parts if part in ALL}
        if not parts or not parts.keys() <= ALL.keys():
            found.add(inner)
    return found - {name}


def test_every_module_has_its_layer() -> None:
    assert len(ALL) > 20
    for name in ALL:
        layer(name)


@pytest.mark.parametrize("name, path", list(modules()), ids=lambda value: str(value)[-40:])
def test_no_module_imports_upward(name: str, path: Path) -> None:
    for target in uses(name, path):
        assert layer(target) <= layer(name), f"{path} imports smartpipe.{target}"


def test_no_two_modules_import_each_other() -> None:
    graph: dict[str, set[str]] = {}
    for name, path in modules():
        graph.setdefault(name, set()).update(uses(name, path) - {name})
    done: set[str] = set()

    def visit(name: str, way: tuple[str, ...]) -> None:
        assert name not in way, " -> ".join([*way, name])
        if name not in done:
            for target in sorted(graph.get(name, ())):
                visit(target, (*way, name))
            done.add(name)

    for name in graph:
        visit(name, ())


def test_integrations_use_public_names_only() -> None:
    public = {*smartpipe.__all__, "errors", "__version__"}
    for name, path in modules():
        if layer(name) == layer("integrations"):
            for module, names in statements(path):
                if module == "smartpipe":
                    assert set(names) <= public, f"{path}: {names}"
                elif module.startswith("smartpipe."):
                    assert module.split(".")[1] in ("integrations", "errors"), f"{path}: {module}"


def test_c_knows_neither_python_nor_files() -> None:
    if not CSRC.is_dir():
        pytest.skip("an installed package has no csrc")
    own = {path.name for path in CSRC.iterdir()}
    standard = {"stdatomic.h", "stddef.h", "stdint.h", "string.h", "stdlib.h"}
    for path in sorted(CSRC.iterdir()):
        for line in path.read_text().splitlines():
            if match := re.match(r'\s*#\s*include\s*([<"])(.*)[>"]', line):
                assert match[2] in (own if match[1] == '"' else standard), f"{path}: {line}"


def test_only_the_codec_links_c() -> None:
    for name, path in modules():
        if path.suffix in (".pyx", ".pxd") and name not in ("_codec", "_platform"):
            for header in re.findall(r'cdef extern from "(.*?)"', path.read_text()):
                assert header == "Python.h", f"{path}: {header}"


def test_importing_smartpipe_loads_little() -> None:
    loaded = run("import sys, smartpipe; print(*sorted(sys.modules))").split()
    assert "smartpipe.container.reader" in loaded
    assert not [name for name in loaded if any(name == heavy or name.startswith(heavy + ".") for heavy in HEAVY)]
    for lazy in ("smartpipe.operations", "smartpipe.cli", "smartpipe.integrations"):
        assert not [name for name in loaded if name == lazy or name.startswith(lazy + ".")]


def test_reading_and_writing_load_nothing_more(tmp_path: Path) -> None:
    code = """
import sys, smartpipe
with smartpipe.open(sys.argv[1], "w", compress=True) as pipe:
    pipe.write(b"a", {b"k": b"v" * 9000})
with smartpipe.open(sys.argv[1]) as pipe:
    assert [list(block) for _, block in pipe.items()] == [[(b"k", b"v" * 9000)]]
print(*sorted(sys.modules))
"""
    loaded = run(code, tmp_path / "pipe").split()
    assert not [name for name in loaded if any(name == heavy or name.startswith(heavy + ".") for heavy in HEAVY)]


def test_a_module_needs_its_packages_only_where_it_calls_them() -> None:
    """What is not needed to install smartpipe is an extra, which a module imports in the function that needs it."""
    needed = {"smartpipe", "deflate", "zlib_ng", "cython", "cpython", "libc"} | sys.stdlib_module_names
    for name, path in modules():
        if path.suffix == ".py" and layer(name) < layer("operations"):
            tree = ast.parse(path.read_text())
            for node in tree.body:
                roots = (
                    {alias.name.split(".")[0] for alias in node.names}
                    if isinstance(node, ast.Import)
                    else {(node.module or "").split(".")[0]}
                    if isinstance(node, ast.ImportFrom)
                    else set()
                )
                assert roots <= needed, f"{path}: {roots - needed}"


def test_every_public_name_is_there() -> None:
    for name in smartpipe.__all__:
        assert getattr(smartpipe, name) is not None
    assert smartpipe.__all__ == sorted(smartpipe.__all__, key=lambda name: (name.lower() == name, name))
