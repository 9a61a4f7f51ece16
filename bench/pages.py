"""Real pages: what pydoc says about the modules of the standard library. `python -m bench.pages FOLDER` makes them."""

import contextlib
import os
import pkgutil
import pydoc
import sys
import sysconfig
import warnings
from pathlib import Path

# Modules that open a window or a browser, print, or are packages of other people.
LEFT_OUT = {
    "__main__",
    "__phello__",
    "antigravity",
    "dist-packages",
    "ensurepip",
    "idlelib",
    "lib2to3",
    "site-packages",
    "test",
    "tests",
    "this",
    "turtle",
    "turtledemo",
}


def names() -> list[str]:
    """Return the names of the standard library's modules that can be imported without consequences."""
    found = set(sys.stdlib_module_names)
    found.update(m.name for m in pkgutil.walk_packages([sysconfig.get_path("stdlib")], onerror=lambda name: None))
    return sorted(name for name in found if not LEFT_OUT & set(name.split(".")))


def render(folder: Path) -> int:
    """Write a page per module into a folder; return how many. Modules of other platforms have none."""
    count = 0
    for name in names():
        try:
            module = pydoc.safeimport(name)
        except (pydoc.ErrorDuringImport, SystemExit):
            continue
        if module is None:
            continue
        page = pydoc.html.page(pydoc.describe(module), pydoc.html.document(module, name))
        (folder / f"{name}.html").write_bytes(page.encode("utf-8", "surrogateescape"))
        count += 1
    return count


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    with open(os.devnull, "w") as nothing, contextlib.redirect_stdout(nothing), contextlib.redirect_stderr(nothing):
        pages = render(Path(sys.argv[1]))
    print(pages)
