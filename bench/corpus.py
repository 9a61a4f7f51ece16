"""The data that everybody writes and reads: blocks as lists of (key, pairs), the same in every run and process."""

import json
import mimetypes
import random
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

Block = tuple[bytes, dict[bytes, bytes]]

RESULTS = Path(__file__).parent / "results"
SEED = 1
TITLE = re.compile(rb"<title>(.*?)</title>", re.IGNORECASE | re.DOTALL)
LINK = re.compile(rb'href="([^"#]+)')


@dataclass(frozen=True)
class Corpus:
    """Where the pages come from, and how much of everything there is."""

    folder: Path
    pages: int
    small: int

    def blocks(self, data: str) -> list[Block]:
        """Return the blocks of one kind: "pages" or "small"."""
        return page_blocks(self.folder, self.pages) if data == "pages" else small_blocks(self.small)


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


def page_blocks(folder: Path, most: int) -> list[Block]:
    """Return a block per file of a folder, in an order that is shuffled as a crawl's is."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    if not files:
        raise SystemExit(f"{folder}: no files to make a corpus from")
    random.Random(SEED).shuffle(files)
    return [page_block(folder, path) for path in files[:most]]


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


def small_blocks(count: int) -> list[Block]:
    """Return blocks of two small pairs, about 150 bytes each, as a pipeline of many small artifacts leaves them."""
    numbers = random.Random(SEED)
    words = ["page", "module", "index", "value", "error", "object", "list", "table", "python", "name", "path", "file"]
    blocks = []
    for i in range(count):
        record = {
            "id": i,
            "title": " ".join(numbers.choices(words, k=4)),
            "score": round(numbers.random(), 6),
            "seen": numbers.randrange(1_700_000_000, 1_800_000_000),
        }
        key = f"http://localhost/item/{numbers.randrange(1 << 40):010x}/{i}".encode()
        log = f"200 in {numbers.randrange(900)} ms"
        blocks.append((key, {b"result": json.dumps(record).encode(), b"log": log.encode()}))
    return blocks
