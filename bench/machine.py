"""What the figures were measured on: the machine, and the versions of everybody."""

import os
import platform
import re
import sqlite3
import subprocess
from datetime import date
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import smartpipe

PACKAGES = (
    "zlib-ng",
    "deflate",
    "isal",
    "backports.zstd",
    "lz4",
    "fastwarc",
    "warcio",
    "bagz",
    "array_record",
    "mcap",
    "webdataset",
    "msgpack",
    "lmdb",
    "diskcache",
    "joblib",
    "rocksdict",
    "pyarrow",
)
ROOT = Path(__file__).parents[1]


def describe(folder: Path) -> dict[str, str]:
    """Return what to say beside the figures; `folder` is where everybody writes."""
    found = {
        "date": date.today().isoformat(),
        "commit": commit(),
        "processor": f"{os.cpu_count()} × {processor()}",
        "memory": f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / (1 << 30):.0f} GiB",
        "system": f"{platform.system()} {platform.release()}",
        "file system": file_system(folder),
        "load": f"{os.getloadavg()[0]:.1f}",
        "Python": f"{platform.python_implementation()} {platform.python_version()}",
        "smartpipe": smartpipe.__version__,
        "its engines": "; ".join(f"{codec} by {engines(used)}" for codec, used in smartpipe.engines().items()),
        "SQLite": sqlite3.sqlite_version,
    }
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "none"
    return found


def engines(used: dict[str, Any]) -> str:
    """The libraries of a codec, of all its levels, and how they are called."""
    found = [used, *used.get("levels", {}).values()]
    names = dict.fromkeys(f"{engine['engine']} {engine['version']}" for engine in found)
    return f"{' and '.join(names)} through {used['binding']}"


def commit() -> str:
    """The commit of this checkout, and whether there are changes to it."""

    def git(*arguments: str) -> str:
        return subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=False).stdout.strip()

    return (git("rev-parse", "--short=12", "HEAD") or "unknown") + (
        " with changes" if git("status", "-s", "-uno") else ""
    )


def processor() -> str:
    cpu = Path("/proc/cpuinfo")
    found = re.search(r"^model name\s*: (.*)$", cpu.read_text(), re.MULTILINE) if cpu.exists() else None
    return found[1] if found else platform.processor() or platform.machine()


def file_system(folder: Path) -> str:
    """Return the kind of the file system that a folder is on, as far as the system tells."""
    mounts = Path("/proc/mounts")
    if not mounts.exists():
        return "an unknown file system"
    lines = [line.split() for line in mounts.read_text().splitlines()]
    place = folder.resolve()
    holding = [(len(point), kind) for _, point, kind, *_ in lines if place.is_relative_to(point)]
    return max(holding)[1]
