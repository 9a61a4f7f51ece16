"""The data that everybody writes and reads: blocks of (key, pairs), the same in every run and process.

Five kinds. *pages*: a block per html page of a folder, of 41 KB on average, with the pairs raw, response, result and
log. *small*: 100 pairs a block, of 9 and 24 bytes. *keys*: blocks of one pair of 8 bytes, as many as wanted, in no
order. *artifacts*: one pair of 200 B to 4 KB with an empty key, under its SHA-256: pieces of pages. *objects*: no
blocks but Python values whose pickles have 200 B to 4 KB: dictionaries of a url, a number and a piece of a page.
"""

import json
import mimetypes
import pickle
import random
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any
from urllib.parse import quote

Block = tuple[bytes, dict[bytes, bytes]]

RESULTS = Path(__file__).parent / "results"
SEED = 1
TITLE = re.compile(rb"<title>(.*?)</title>", re.IGNORECASE | re.DOTALL)
LINK = re.compile(rb'href="([^"#]+)')

# The documentation of Python and PostgreSQL in Debian: where packages put it, and where they are unpacked for here.
DEBIAN = ("python3.11-doc", "postgresql-doc-15")
FOLDERS = ("python3.11/html", "postgresql-doc-15/html")
INSTALLED = Path("/usr/share/doc")
UNPACKED = RESULTS / "debian"

SMALL_PAIRS = 100
SMALLEST, LARGEST = 200, 4096  # bytes of an artifact
# What a key is made with: an odd number, so that every key is another one.
SPREAD = 0x9E3779B97F4A7C15
AT_ONCE = 100_000


def pages_folder() -> Path:
    """Return a folder of real pages: Debian's documentation where it can be had, else what pydoc renders."""
    for root in (INSTALLED, UNPACKED / "usr/share/doc"):
        if all((root / folder).is_dir() for folder in FOLDERS):
            return root
    if shutil.which("apt-get") and shutil.which("dpkg") and unpack_debian():
        return UNPACKED / "usr/share/doc"
    return pydoc_folder()


def unpack_debian() -> bool:
    """Fetch Debian's packages and unpack them into a folder of our own; whether that was possible."""
    UNPACKED.mkdir(parents=True, exist_ok=True)
    fetch = subprocess.run(["apt-get", "-qq", "download", *DEBIAN], cwd=UNPACKED, capture_output=True, check=False)
    packages = sorted(UNPACKED.glob("*.deb"))
    if fetch.returncode != 0 or len(packages) != len(DEBIAN):
        return False
    for package in packages:
        subprocess.run(["dpkg", "-x", package, UNPACKED], check=True)
    return True


def pydoc_folder() -> Path:
    """Return a folder of pages rendered by pydoc, which is made where it is not there yet."""
    folder = RESULTS / f"pydoc-{sys.version_info.major}.{sys.version_info.minor}"
    if not folder.exists():
        unfinished = folder.with_suffix(".new")
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(parents=True)
        # A process of its own: importing all modules leaves traces.
        subprocess.run([sys.executable, "-m", "bench.pages", unfinished], check=True, stdout=subprocess.DEVNULL)
        unfinished.rename(folder)
    return folder


def page_files(folder: Path) -> list[Path]:
    """Return the pages of a folder, in an order that is shuffled as a crawl's is."""
    inside = [folder / part for part in FOLDERS if (folder / part).is_dir()] or [folder]
    pages = [path for part in inside for path in sorted(part.rglob("*.html"))]
    if not pages:
        raise SystemExit(f"{folder}: no html pages to make a corpus from")
    random.Random(SEED).shuffle(pages)
    return pages


def page_block(folder: Path, path: Path) -> Block:
    raw = path.read_bytes()
    url = f"http://localhost/{quote(path.relative_to(folder).as_posix(), errors='surrogateescape')}"
    kind = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
    title = TITLE.search(raw)
    links = [link.decode("utf-8", "replace") for link in dict.fromkeys(LINK.findall(raw))][:20]
    result = {
        "url": url,
        "title": title[1].decode("utf-8", "replace").strip() if title else path.name,
        "bytes": len(raw),
        "words": len(raw.split()),
        "links": links,
    }
    response = (
        f"HTTP/1.1 200 OK\r\nServer: pydoc\r\nDate: Mon, 01 Jan 2024 00:00:00 GMT\r\n"
        f"Content-Type: {kind}; charset=utf-8\r\nContent-Length: {len(raw)}\r\n"
        f"Cache-Control: max-age=3600\r\nConnection: keep-alive\r\n\r\n"
    )
    log = f"00:00:00.000 fetch {url}\n00:00:00.041 200, {len(raw)} bytes\n00:00:00.057 {len(links)} links\n"
    return url.encode(), {
        b"raw": raw,
        b"response": response.encode(),
        b"result": json.dumps(result).encode(),
        b"log": log.encode(),
    }


def page_blocks(folder: Path, most: int) -> list[Block]:
    """Return a block per page, at most so many."""
    return [page_block(folder, path) for path in page_files(folder)[:most]]


def small_blocks(pairs: int) -> list[Block]:
    """Return so many small pairs, a hundred to a block."""
    numbers = random.Random(SEED)
    names = [b"field-%03d" % number for number in range(SMALL_PAIRS)]
    return [
        (
            b"http://localhost/item/%010x/%d" % (numbers.randrange(1 << 40), block),
            {name: b"%024d" % numbers.randrange(10**20) for name in names},
        )
        for block in range(pairs // SMALL_PAIRS)
    ]


def artifact_blocks(pages: list[Block], count: int) -> list[Block]:
    """Return so many artifacts, all different: a line of JSON about a page, and a piece of it."""
    numbers = random.Random(SEED)
    found: dict[bytes, bytes] = {}
    while len(found) < count:
        url, pairs = numbers.choice(pages)
        raw, result = pairs[b"raw"], json.loads(pairs[b"result"])
        place = numbers.randrange(len(raw))
        about = {"url": url.decode(), "title": result["title"], "place": place, "bytes": len(raw), "run": len(found)}
        size = numbers.randint(SMALLEST, LARGEST)
        # A piece goes on at the beginning of the page where it comes to the end.
        value = (json.dumps(about).encode() + b"\n" + raw[place:] + raw * (1 + size // len(raw)))[:size]
        found[sha256(value).hexdigest().encode()] = value
    return [(digest, {b"": value}) for digest, value in found.items()]


def python_values(pages: list[Block], count: int) -> list[dict[str, Any]]:
    """Return so many Python values, all different: the number of each is its place here."""
    numbers = random.Random(SEED)
    values: list[dict[str, Any]] = []
    while len(values) < count:
        url, pairs = numbers.choice(pages)
        raw, value = pairs[b"raw"], {"url": url.decode(), "number": len(values), "text": ""}
        place, size = numbers.randrange(len(raw)), numbers.randint(SMALLEST, LARGEST)
        room = max(size - len(pickle.dumps(value, protocol=5)), 0)
        value["text"] = (raw[place:] + raw * (1 + room // len(raw)))[:room].decode("utf-8", "ignore")
        # A long url leaves no room for a short text, and a text may be less than its bytes.
        if SMALLEST <= len(pickle.dumps(value, protocol=5)) <= LARGEST:
            values.append(value)
    return values


def key(number: int) -> bytes:
    """The key of a block of the third kind."""
    return b"http://localhost/%016x" % (number * SPREAD & (1 << 64) - 1)


@dataclass
class Keys:
    """Blocks of one small pair, made in portions while the clock stands still."""

    count: int
    seconds: float = field(default=0.0, init=False)
    processor: float = field(default=0.0, init=False)

    def __iter__(self) -> Iterator[Block]:
        pairs = {b"value": b"12345678"}
        for begin in range(0, self.count, AT_ONCE):
            wall, processor = time.perf_counter(), time.process_time()
            portion = [(key(number), pairs) for number in range(begin, min(begin + AT_ONCE, self.count))]
            self.seconds += time.perf_counter() - wall
            self.processor += time.process_time() - processor
            yield from portion


def save(blocks: list[Block] | list[dict[str, Any]], path: Path) -> Path:
    """Keep blocks, or Python values, for the processes that measure."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        pickle.dump(blocks, file, protocol=5)
    return path


def load(path: Path) -> list[Any]:
    """Return the blocks, or the Python values, that were kept."""
    with path.open("rb") as file:
        kept: list[Any] = pickle.load(file)
    return kept
