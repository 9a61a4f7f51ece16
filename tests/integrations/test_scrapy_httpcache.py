"""`PipeCacheStorage` as Scrapy's HTTP cache."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import scrapy
from scrapy.http import HtmlResponse, JsonResponse, Response, TextResponse
from scrapy.settings import Settings
from scrapy.utils.request import RequestFingerprinter

import smartpipe
from smartpipe.integrations.scrapy import PipeCacheStorage
from smartpipe.integrations.scrapy.head import response_head

from .process import Process, Ran
from .site import Site

Run = Callable[..., Ran]

PROJECT = """{before}
import scrapy
from scrapy.crawler import CrawlerProcess

class Mine(scrapy.Spider):
    name = "mine"

    async def start(self):
        for path in {paths}:
            yield scrapy.Request({url!r} + path, errback=lambda failure: print(path, type(failure.value).__name__))

    def parse(self, response):
        print(response.url.removeprefix({url!r}), response.status, response.text, *response.flags)

process = CrawlerProcess({{
    "TWISTED_REACTOR": "twisted.internet.asyncioreactor.AsyncioSelectorReactor",
    "TELNETCONSOLE_ENABLED": False,
    "LOG_LEVEL": "ERROR",
    "RETRY_TIMES": 0,
    "REDIRECT_ENABLED": False,
    "HTTPERROR_ALLOW_ALL": True,
    "CONCURRENT_REQUESTS": 1,
    "HTTPCACHE_ENABLED": True,
    "HTTPCACHE_STORAGE": "smartpipe.integrations.scrapy.PipeCacheStorage",
    "HTTPCACHE_DIR": {folder!r},
    **{settings},
}})
process.crawl(Mine)
process.start()
"""


@pytest.fixture
def run(site: Site, start: Callable[..., Process], tmp_path: Path) -> Run:
    """Runs a spider that fetches paths of the site with a cache, and prints what it gets."""

    def ran(*paths: str, before: str = "", **settings: object) -> Ran:
        folder = str(tmp_path / "cache")
        text = PROJECT.format(before=before, paths=paths, url=site.url, folder=folder, settings=settings)
        (tmp_path / "project.py").write_text(text)
        return start("project.py").wait()

    return ran


def test_a_crawl_is_played_again_with_the_network_off(site: Site, run: Run) -> None:
    site.html("/a", "a")
    site.html("/b", "b", status=404)
    site.pages["/c"] = (302, [("Location", "/a")], b"")
    first = run("/a", "/b", "/c")
    assert (first.code, first.err) == (0, "")
    assert sorted(first.out.splitlines()) == ["/a 200 a", "/b 404 b", "/c 302 "]
    site.stop()

    again = run("/a", "/b", "/c", "/unknown")

    assert sorted(again.out.splitlines()) == [
        "/a 200 a cached",
        "/b 404 b cached",
        "/c 302  cached",
        "/unknown DownloadConnectionRefusedError",
    ]
    site.start()


def test_what_a_cache_holds(site: Site, run: Run, tmp_path: Path) -> None:
    site.html("/a", "a")

    run("/a")

    with smartpipe.open(tmp_path / "cache" / "responses") as pipe:
        assert pipe.codec == "zlib"
        [(key, block)] = pipe.items()
    assert key == RequestFingerprinter().fingerprint(scrapy.Request(f"{site.url}/a")).hex().encode()
    assert block.keys() == [b"raw", b"response", b"url", b"method", b"time", b"address"]
    assert block[b"raw"] == b"a"
    assert block[b"response"].startswith(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n")
    assert (block[b"url"], block[b"method"]) == (f"{site.url}/a".encode(), b"GET")


def test_what_has_expired_is_fetched_and_stored_anew(site: Site, run: Run, tmp_path: Path) -> None:
    site.html("/a", "old")
    run("/a")
    site.html("/a", "new")
    assert run("/a", HTTPCACHE_EXPIRATION_SECS=3600).out == "/a 200 old cached\n"

    # The same cache, as it would be had it been written in 1970.
    (tmp_path / "old").mkdir()
    cache, aged = tmp_path / "cache" / "responses", tmp_path / "old" / "responses"
    with smartpipe.open(cache) as pipe, smartpipe.open(aged, "w", compress=True) as copy:
        for key, block in pipe.items():
            copy.write(key, {**dict(block), b"time": b"1.5"})
    old: dict[str, Any] = {"HTTPCACHE_DIR": str(tmp_path / "old")}
    assert run("/a", **old).out == "/a 200 old cached\n"
    assert run("/a", **old, HTTPCACHE_EXPIRATION_SECS=3600).out == "/a 200 new\n"
    site.stop()
    assert run("/a", **old, HTTPCACHE_EXPIRATION_SECS=3600).out == "/a 200 new cached\n"
    assert run("/a", **old).out == "/a 200 new cached\n"
    with smartpipe.open(tmp_path / "old" / "responses") as pipe:
        first, second = pipe
    assert second == first + b"#2"
    site.start()


def test_spiders_of_one_process_share_a_cache(site: Site, start: Callable[..., Process], tmp_path: Path) -> None:
    site.html("/a", "a")
    site.html("/b", "b")
    script = f"""
import asyncio, scrapy
from scrapy.crawler import AsyncCrawlerProcess

turns = {{"first": asyncio.Event(), "second": asyncio.Event()}}

class Mine(scrapy.Spider):
    async def start(self):
        # Both are open all the time. The second asks for what the first has just stored, and the other way round.
        if self.name == "first":
            yield scrapy.Request("{site.url}/a", meta={{"turn": "second"}})
            await turns["first"].wait()
            yield scrapy.Request("{site.url}/b", meta={{"turn": None}})
        else:
            await turns["second"].wait()
            yield scrapy.Request("{site.url}/a", meta={{"turn": None}})
            yield scrapy.Request("{site.url}/b", meta={{"turn": "first"}})

    def parse(self, response):
        print(self.name, response.text, *response.flags)
        if response.meta["turn"]:
            turns[response.meta["turn"]].set()

process = AsyncCrawlerProcess({{
    "TELNETCONSOLE_ENABLED": False, "LOG_LEVEL": "ERROR", "HTTPCACHE_ENABLED": True,
    "HTTPCACHE_STORAGE": "smartpipe.integrations.scrapy.PipeCacheStorage", "SMARTPIPE_CACHE_PATH": "cache",
}})
for name in turns:
    process.crawl(type(name, (Mine,), {{"name": name}}))
process.start()
"""

    ran = start("-c", script).wait()

    assert (ran.code, ran.err) == (0, "")
    assert sorted(ran.out.splitlines()) == ["first a", "first b cached", "second a cached", "second b"]
    assert sorted(site.asked()) == ["/a", "/b"]
    with smartpipe.open(tmp_path / "cache") as pipe:
        assert len(pipe) == 2


def test_a_cache_that_somebody_else_writes_closes_the_spider(site: Site, run: Run, tmp_path: Path) -> None:
    site.html("/a", "a")
    (tmp_path / "cache").mkdir()
    with smartpipe.open(tmp_path / "cache" / "responses", "a", compress=True):
        ran = run("/a")

    assert "The HTTP cache can not be opened: " in ran.err
    assert str(tmp_path / "cache" / "responses") in ran.err
    assert "Traceback" not in ran.err
    assert site.requests == []


def test_a_response_larger_than_a_block_is_not_cached(site: Site, run: Run, tmp_path: Path) -> None:
    site.html("/large", "x" * 3000)
    site.html("/small", "small")

    ran = run("/large", "/small", SMARTPIPE_MAX_BLOCK_SIZE=2000, LOG_LEVEL="WARNING")

    assert sorted(line[:10] for line in ran.out.splitlines()) == ["/large 200", "/small 200"]
    assert "Not cached: " in ran.err and "2000" in ran.err
    with smartpipe.open(tmp_path / "cache" / "responses") as pipe:
        assert [block[b"raw"] for _, block in pipe.items()] == [b"small"]


def test_a_cache_that_can_not_be_written_closes_the_spider(site: Site, run: Run, tmp_path: Path) -> None:
    for number in range(50):
        site.html(f"/{number}", f"{number} " * 5000)
    limit = """
import resource, signal
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, resource.RLIM_INFINITY))
"""

    ran = run(*(f"/{number}" for number in range(50)), before=limit, SMARTPIPE_COMPRESS=False)

    assert "The HTTP cache can not be written: " in ran.err
    assert str(tmp_path / "cache" / "responses.dat") in ran.err
    assert "Traceback" not in ran.err
    assert 0 < len(ran.out.splitlines()) < 50
    with smartpipe.open(tmp_path / "cache" / "responses") as pipe:
        assert len(pipe) >= 2


@pytest.fixture
def storage(tmp_path: Path) -> Iterator[PipeCacheStorage]:
    storage = PipeCacheStorage(Settings({"SMARTPIPE_CACHE_PATH": str(tmp_path / "cache"), "HTTPCACHE_DIR": "unused"}))
    storage.open_spider(SPIDER)
    yield storage
    storage.close_spider(SPIDER)


# What a storage asks of a spider: the fingerprinter of its crawler.
SPIDER: Any = SimpleNamespace(crawler=SimpleNamespace(request_fingerprinter=RequestFingerprinter()))


@pytest.mark.parametrize(
    "response",
    [
        HtmlResponse(
            "http://a/", headers={"Content-Type": "text/html; charset=latin-1"}, body="caf\xe9".encode("latin-1")
        ),
        JsonResponse(
            "http://a/x", status=404, headers={"Content-Type": "application/json"}, body=b"{}", protocol="HTTP/1.0"
        ),
        TextResponse("http://a/", headers={"Content-Type": "text/plain"}, body=b"", flags=["partial", "two words"]),
        Response("http://a/", headers={"Content-Type": "image/png"}, body=bytes(range(256)) * 50, protocol="h2"),
        TextResponse("http://a/", status=204, headers={"Set-Cookie": ["a=1", "b=2"], "X": b"\xe9: \xff", "Empty": ""}),
        TextResponse("http://a/", status=599, ip_address=ipaddress.ip_address("::1"), body=b"\r\n\r\n"),
    ],
)
def test_a_response_comes_back_as_it_was(response: Response, storage: PipeCacheStorage) -> None:
    request = scrapy.Request("http://a/")
    assert storage.retrieve_response(SPIDER, request) is None

    storage.store_response(SPIDER, request, response)
    read = storage.retrieve_response(SPIDER, request)

    assert read is not None
    assert type(read) is type(response)
    for name in ("url", "status", "headers", "body", "flags", "ip_address"):
        assert getattr(read, name) == getattr(response, name), name
    assert read.protocol == response.protocol or (response.protocol is None and read.protocol == "HTTP/1.1")
    if isinstance(response, TextResponse):
        assert isinstance(read, TextResponse) and read.text == response.text
    assert isinstance(request.meta["cache_timestamp"], float)


@pytest.mark.parametrize(
    ("response", "head"),
    [
        (Response("http://a/", protocol="h2"), b"HTTP/2 200 OK\r\n"),
        (Response("http://a/", status=404, protocol="HTTP/1.0"), b"HTTP/1.0 404 Not Found\r\n"),
        (Response("http://a/", status=599, headers={"a": [b"1", b"\xff"]}), b"HTTP/1.1 599 \r\nA: 1\r\nA: \xff\r\n"),
    ],
)
def test_the_head_of_a_response(response: Response, head: bytes) -> None:
    assert response_head(response) == head


def test_requests_are_told_apart_and_the_newest_response_counts(storage: PipeCacheStorage) -> None:
    get = scrapy.Request("http://a/?b=1&c=2")
    same = scrapy.Request("http://a/?c=2&b=1")
    post = scrapy.Request("http://a/?b=1&c=2", method="POST", body=b"x")
    for body in (b"one", b"two", b"three"):
        storage.store_response(SPIDER, get, Response(get.url, body=body))
        read = storage.retrieve_response(SPIDER, same)
        assert read is not None and read.body == body
    assert storage.retrieve_response(SPIDER, post) is None
