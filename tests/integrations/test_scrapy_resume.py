"""A crawl that was ended, and the same command again."""

from __future__ import annotations

import re
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

import smartpipe

from .blocks import blocks, facts
from .process import Process, Ran
from .site import Site

Crawl = Callable[..., Ran]


def tree(site: Site, pages: int) -> set[str]:
    """A site where page n links to the pages 2n and 2n + 1; gives its URLs."""
    for number in range(1, pages + 1):
        links = "".join(f"<a href={link}>{link}</a>" for link in (2 * number, 2 * number + 1) if link <= pages)
        site.html(f"/{number}", f"<title>page {number}</title>{links}{'text ' * 200 * (number % 7)}")
    return {f"{site.url}/{number}" for number in range(1, pages + 1)}


def wait_for(what: Callable[[], bool], seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.02)


def stored(prefix: Path) -> int:
    """The number of blocks, while somebody writes."""
    try:
        with smartpipe.open(prefix) as pipe:
            return len(pipe)
    except smartpipe.PipeNotFoundError:
        return 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_and_the_same_command_goes_on(
    number: signal.Signals, site: Site, start: Callable[..., Process], crawl: Crawl, tmp_path: Path
) -> None:
    urls = tree(site, 60)
    command = [f"{site.url}/1", "-o", "pages", "--concurrency", "4"]
    site.free = 20
    site.gate.clear()
    process = start("-m", "smartpipe", "crawl", *command)
    wait_for(lambda: len(site.asked()) == 24)
    process.send(number)
    site.gate.set()
    ran = process.wait()

    assert ran.code == 128 + number
    assert ran.err == f"smartpipe: ended by {number.name}; the same command goes on from here\n"
    first = blocks(tmp_path / "pages")
    assert 20 <= len(first) < 60
    assert ran.out.startswith(f"{len(first)} pages, 0 failures; ")
    asked = site.asked()
    # What was on its way when the signal came had time to arrive.
    assert {f"{site.url}{path}" for path in asked} == set(first)

    ran = crawl(*command)

    assert (ran.code, ran.err) == (0, "")
    assert f"\nin the pipe before: {len(first)} pages\n" in ran.out
    read = blocks(tmp_path / "pages")
    assert list(read)[: len(first)] == list(first)
    assert set(read) == urls
    assert {key: block["raw"] for key, block in read.items()} == {
        f"{site.url}{path}": site.body(path) for path in site.pages
    }
    assert sorted(site.asked()) == sorted(site.pages)
    # Depths and referers of pages found by way of the pipe are those of the site.
    assert {key: facts(block)["depth"] for key, block in read.items()} == {
        f"{site.url}/{page}": str(page.bit_length() - 1) for page in range(1, 61)
    }
    assert facts(read[f"{site.url}/60"])["referer"] == f"{site.url}/30"


def test_pages_that_hang_do_not_hold_up_the_end(site: Site, start: Callable[..., Process], tmp_path: Path) -> None:
    tree(site, 10)
    site.free = 3
    site.gate.clear()
    process = start("-m", "smartpipe", "crawl", f"{site.url}/1", "-o", "pages", "--concurrency", "4")
    wait_for(lambda: len(site.asked()) == 7 and stored(tmp_path / "pages") == 3)
    process.send(signal.SIGINT)
    ran = process.wait()  # the gate is shut: only the end of the grace can end this

    assert ran.code == 130
    assert ran.err == "smartpipe: ended by SIGINT; the same command goes on from here\n"
    # The first page, and two of the four that were then asked for at once, whichever came first.
    found = set(blocks(tmp_path / "pages"))
    assert len(found) == 3 and f"{site.url}/1" in found
    assert found < {f"{site.url}/{number}" for number in range(1, 8)}


def test_a_second_signal_ends_it_at_once(site: Site, start: Callable[..., Process], tmp_path: Path) -> None:
    tree(site, 10)
    site.free = 3
    site.gate.clear()
    script = f"""
from smartpipe.integrations.scrapy import crawl, crawling
crawling._GRACE = 3600
counts = crawl("{site.url}/1", "pages", concurrency=4, settings={{"DOWNLOAD_TIMEOUT": 600}})
print(counts.pages, counts.left, counts.signal)
"""
    process = start("-c", script)
    wait_for(lambda: len(site.asked()) == 7 and stored(tmp_path / "pages") == 3)
    process.send(signal.SIGINT)
    time.sleep(0.5)
    process.send(signal.SIGTERM)
    ran = process.wait()

    assert (ran.code, ran.out, ran.err) == (0, "3 4 15\n", "")
    assert len(blocks(tmp_path / "pages")) == 3


def test_kill_9_loses_no_block_and_the_same_command_goes_on(
    site: Site, start: Callable[..., Process], crawl: Crawl, tmp_path: Path
) -> None:
    urls = tree(site, 60)
    command = [f"{site.url}/1", "-o", "pages", "--concurrency", "4"]
    site.free = 20
    site.gate.clear()
    process = start("-m", "smartpipe", "crawl", *command)
    wait_for(lambda: stored(tmp_path / "pages") == 20)
    process.send(signal.SIGKILL)
    assert process.wait().code == -signal.SIGKILL
    first = blocks(tmp_path / "pages")
    assert len(first) == 20
    # A kill while a block was written leaves a part of it.
    with (tmp_path / "pages.datz").open("ab") as file:
        file.write((tmp_path / "pages.datz").read_bytes()[-1000:-500])
    site.gate.set()
    site.free = 1_000_000
    site.requests.clear()

    ran = crawl(*command)

    assert ran.code == 0
    assert ran.out.startswith("40 pages, 0 failures; ")
    read = blocks(tmp_path / "pages")
    assert list(read)[:20] == list(first)
    assert set(read) == urls
    assert {f"{site.url}{path}" for path in site.asked()} == urls - set(first)


def test_what_failed_is_fetched_again_with_retry_only(site: Site, crawl: Crawl, tmp_path: Path) -> None:
    site.html("/", "<a href=shaky>1</a><a href=gone>2</a><a href=fine>3</a>")
    site.html("/shaky", "not now", status=500)
    site.html("/fine", "fine")
    command = [site.url, "-o", "pages", "-s", "RETRY_TIMES=0"]
    assert crawl(*command).out.startswith("2 pages, 2 failures; ")
    first = blocks(tmp_path / "pages")

    site.requests.clear()
    site.html("/shaky", "<a href=hidden>4</a>")
    site.html("/hidden", "hidden")
    assert crawl(*command).out.startswith("0 pages, 0 failures; ")
    assert site.asked() == []

    ran = crawl(*command, "--retry", "--max-pages", 4)

    # Four pages were in the pipe: the two that failed are none more, what they link to would be.
    assert sorted(site.asked()) == ["/gone", "/shaky"]
    assert ran.out.startswith("1 page, 1 failure; ")
    assert "\nin the pipe and failed: 1 page, --retry fetches them again\n" in ran.out
    assert ran.out.endswith("\nfound and not fetched: 1 page\n")
    read = blocks(tmp_path / "pages")
    assert {key: read[key] for key in first} == first
    assert read[f"{site.url}/shaky#2"]["raw"] == b"<a href=hidden>4</a>"
    assert "error" not in read[f"{site.url}/shaky#2"]
    assert facts(read[f"{site.url}/shaky#2"])["depth"] == "1"
    assert facts(read[f"{site.url}/shaky#2"])["referer"] == f"{site.url}/"
    assert read[f"{site.url}/gone#2"]["error"] == b"HTTP 404 Not Found"

    site.requests.clear()
    assert crawl(*command, "--retry").out.startswith("1 page, 1 failure; ")
    assert sorted(site.asked()) == ["/gone", "/hidden"]
    ran = crawl(*command)
    assert "\nin the pipe and failed: 1 page, --retry fetches them again\n" in ran.out
    assert set(blocks(tmp_path / "pages")) == {
        f"{site.url}/{path}" for path in ("", "shaky", "shaky#2", "gone", "gone#2", "gone#3", "fine", "hidden")
    }


def test_a_start_that_had_failed(site: Site, crawl: Crawl, tmp_path: Path) -> None:
    site.html("/", "not now", status=503)
    command = [site.url, "-o", "pages", "-s", "RETRY_TIMES=0"]
    refused = f"smartpipe: {site.url}: HTTP 503 Service Unavailable\n"

    ran = crawl(*command)
    assert (ran.code, ran.err) == (1, refused)
    site.html("/", "home")
    ran = crawl(*command)
    assert (ran.code, ran.err) == (1, refused)
    assert "--retry" in ran.out
    ran = crawl(*command, "--retry")
    assert (ran.code, ran.err) == (0, "")
    assert list(blocks(tmp_path / "pages")) == [f"{site.url}/", f"{site.url}/#2"]


def test_a_pipe_with_blocks_of_others_is_continued(site: Site, crawl: Crawl, tmp_path: Path) -> None:
    site.html("/", "<a href=a>a</a>")
    site.html("/a", "a")
    odd = {
        b"\xff\x00": {b"result": b"{}"},
        b"notes": {b"error": b"no url"},
        f"{site.url}/a".encode(): {b"raw": b"mine", b"result": b"not json", b"log": b"\xff\ndepth: deep\n"},
        f"{site.url}/list".encode(): {b"result": b"[1, 2]"},
        f"{site.url}/number".encode(): {b"result": b'{"links": 3}'},
        f"{site.url}/mixed".encode(): {b"result": b'{"links": [null, "mailto:a@b", "%s/found"]}' % site.url.encode()},
    }
    site.html("/found", "found")
    with smartpipe.open(tmp_path / "pages", "w", compress=True) as pipe:
        for key, pairs in odd.items():
            pipe.write(key, pairs)

    ran = crawl(site.url, "-o", "pages")

    assert (ran.code, ran.err) == (0, "")
    assert sorted(site.asked()) == ["/", "/found"]
    with smartpipe.open(tmp_path / "pages") as pipe:
        keys = list(pipe)
        assert keys[: len(odd)] == list(odd)
        # Both were asked for at the same time.
        assert sorted(keys[len(odd) :]) == [f"{site.url}/".encode(), f"{site.url}/found".encode()]


def test_the_cache_plays_a_crawl_again_without_the_site(site: Site, crawl: Crawl, tmp_path: Path) -> None:
    site.html("/", "<title>home</title><a href=a>a</a><a href=moved>b</a><a href=gone>c</a><a href=private>d</a>")
    site.pages["/a"] = (200, [("Content-Type", "image/png"), ("X-A", "1"), ("X-A", "2")], bytes(range(256)))
    site.pages["/moved"] = (301, [("Location", "/target")], b"")
    site.html("/target", "arrived")
    site.pages["/robots.txt"] = (200, [], b"User-agent: *\nDisallow: /private\n")
    assert crawl(site.url, "-o", "first", "--cache", "cache").code == 0
    site.stop()

    ran = crawl(site.url, "-o", "second", "--cache", "cache")

    assert (ran.code, ran.err) == (0, "")
    assert ran.out.startswith("3 pages, 1 redirect, 1 failure, 1 forbidden by robots.txt; ")
    first, second = blocks(tmp_path / "first"), blocks(tmp_path / "second")
    assert set(second) == set(first) and len(first) == 5
    for key, block in first.items():
        again = second[key]
        assert facts(again)["flags"] == "cached"
        # Scrapy's cache adds a date to a response without one.
        again["response"] = re.sub(rb"Date: .*\r\n", b"", again["response"])
        assert {**again, "log": b""} == {**block, "log": b""}
    site.start()


def test_the_cache_keeps_no_failures_that_pass(site: Site, crawl: Crawl, tmp_path: Path) -> None:
    site.html("/", "<a href=shaky>1</a>")
    site.html("/shaky", "not now", status=503)
    command = [site.url, "-o", "pages", "--cache", "cache", "-s", "RETRY_TIMES=0"]
    crawl(*command)
    site.html("/shaky", "fine")

    assert crawl(*command, "--retry").code == 0

    assert blocks(tmp_path / "pages")[f"{site.url}/shaky#2"]["raw"] == b"fine"


def test_a_cache_that_can_not_be_opened(site: Site, crawl: Crawl, tmp_path: Path) -> None:
    site.html("/", "home")

    ran = crawl(site.url, "-o", "pages", "--cache", "missing/cache")

    assert (ran.code, ran.out) == (1, "")
    assert str(tmp_path / "missing") in ran.err and ran.err.count("\n") == 1
    assert site.requests == []
    assert blocks(tmp_path / "pages") == {}
