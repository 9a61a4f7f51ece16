"""The main job on real input: `make demo`.

Serves the standard library's documentation on loopback, crawls it into demo/pydoc.datz, looks into the pipe, and
reprocesses every page into demo/records.datz. With a network, `smartpipe crawl URL -o PREFIX` does the same with any
site.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import smartpipe

EXAMPLES = Path(__file__).resolve().parent
FOLDER = Path("demo")
PAGES = 400


def say(text: str) -> None:
    print(f"\n\033[1m{text}\033[0m" if sys.stdout.isatty() else f"\n{text}", flush=True)


def run(*arguments: str, lines: int | None = None) -> None:
    """Run a smartpipe command as a user would, showing it and at most so many lines of what it prints."""
    print("$ smartpipe", *arguments, f"| head -{lines}" if lines else "", flush=True)
    command = [sys.executable, "-m", "smartpipe", *arguments]
    environment = {**os.environ, "PYTHONPATH": str(EXAMPLES)}
    if lines is None:
        subprocess.run(command, check=True, env=environment)
        return
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment) as process:
        assert process.stdout is not None
        for _, line in zip(range(lines), process.stdout, strict=False):
            sys.stdout.buffer.write(line)
        sys.stdout.flush()
        process.stdout.close()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def serve(port: int) -> subprocess.Popen[bytes]:
    """Start pydoc's server, and wait until it answers. It ends when its standard input does."""
    server = subprocess.Popen(
        [sys.executable, "-m", "pydoc", "-n", "localhost", "-p", str(port)],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd=EXAMPLES,
    )
    for _ in range(200):
        try:
            socket.create_connection(("localhost", port), timeout=1).close()
            return server
        except OSError:
            if server.poll() is not None:
                break
            time.sleep(0.05)
    server.kill()
    sys.exit("demo: pydoc did not start its server")


def crawl(prefix: str) -> str:
    """Crawl pydoc's pages into a pipe; returns the url of the site, which has ended then."""
    port = free_port()
    server = serve(port)
    site = f"http://localhost:{port}/"
    try:
        run("crawl", site, "-o", prefix, "--max-pages", str(PAGES))
    finally:
        server.kill()
        server.wait()
    return site


def main() -> None:
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir()
    prefix, records = str(FOLDER / "pydoc"), str(FOLDER / "records")

    say(f"1. Crawl: {PAGES} pages of Python's own documentation, served on this machine, into one compressed pipe.")
    site = crawl(prefix)

    say("2. What is in it.")
    run("info", prefix, lines=9)
    run("ls", prefix, lines=10)

    say("3. Open one block to debug it: only what is asked for is read and inflated.")
    with smartpipe.open(prefix) as pipe:
        key = next(key for key in pipe if key.endswith(b"/argparse.html"))
        block = pipe[key]
        print(f">>> pipe[{key!r}].sizes()\n{block.sizes()}")
        print(f">>> pipe[{key!r}][b'log']\n{block[b'log'].decode()}")
        print(
            f"inflated so far: {pipe.stats()['inflated_bytes']:,} bytes, of {block.sizes()[0][1]:,} that the page has"
        )

    say("4. Run over everything again, on all cores: title, text and links of every page, as JSON, into a second pipe.")
    begin = time.perf_counter()
    run("map", prefix, records, "pages:record", "--select", "raw", "--compress", "zlib")
    seconds = time.perf_counter() - begin

    with smartpipe.open(prefix) as source, smartpipe.open(records) as result:
        before, after = source.stats(), result.stats()
        begin = time.perf_counter()
        for _, block in source.items():
            for _ in block:
                pass
        reading = time.perf_counter() - begin
    raw = before["raw_bytes"] / 1e6
    say("What it took:")
    print(f"pages        {before['blocks']:,}")
    print(f"raw          {raw:.1f} MB")
    print(f"stored       {before['data_bytes'] / 1e6:.1f} MB, {before['data_bytes'] / before['raw_bytes']:.1%} of raw")
    print(f"records      {after['blocks']:,}, {after['data_bytes'] / 1e6:.1f} MB stored")
    print(f"reprocessed  in {seconds:.1f} s, {raw / seconds:.0f} MB/s with parsing, on {os.cpu_count()} cores")
    print(f"read back    in {reading:.2f} s, {raw / reading:,.0f} MB/s, every pair, one thread")
    say("Try next:")
    print(f"{sys.executable} -m smartpipe ls --top {records}")
    print(f"{sys.executable} -m smartpipe cat {records} '{site}json.html' result")
    print(f"{sys.executable} -m smartpipe grep 'raise [A-Z]' {prefix} --key raw")
    print(f"{sys.executable} -m smartpipe crawl https://example.org -o example     # any site, with a network")


if __name__ == "__main__":
    main()
