"""What the figures were measured on: the machine, and the versions of everybody."""

import os
import platform
import sqlite3
from importlib.metadata import version
from pathlib import Path

import smartpipe


def describe(folder: Path) -> dict[str, str]:
    """Return what to say beside the figures; `folder` is where the rivals write."""
    engine = smartpipe.engines()["zlib"]
    return {
        "memory": f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / (1 << 30):.0f} GiB",
        "load": f"{os.getloadavg()[0]:.1f}",
        "file system": file_system(folder),
        "system": f"{platform.system()} {platform.release()}",
        "Python": f"{platform.python_implementation()} {platform.python_version()}",
        "smartpipe": smartpipe.__version__,
        "zlib-ng": f"{engine['version']}, called through {'C' if engine['binding'] == 'c' else 'Python'}"
        f" (the package {version('zlib-ng')})",
        "LMDB": version("lmdb"),
        "SQLite": sqlite3.sqlite_version,
        "FastWARC": version("fastwarc"),
    }


def file_system(folder: Path) -> str:
    """Return the kind of the file system that a folder is on, as far as the system tells."""
    mounts = Path("/proc/mounts")
    if not mounts.exists():
        return "unknown"
    lines = [line.split() for line in mounts.read_text().splitlines()]
    place = folder.resolve()
    holding = [(len(point), kind) for _, point, kind, *_ in lines if place.is_relative_to(point)]
    return max(holding)[1]
