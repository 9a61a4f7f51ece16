"""Crawling one site into a pipe."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import os
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from types import FrameType
from typing import Any, cast
from urllib.parse import urlsplit

from scrapy.crawler import AsyncCrawlerProcess
from scrapy.settings import Settings

import smartpipe
from smartpipe.integrations.scrapy.frontier import Frontier
from smartpipe.integrations.scrapy.links import page_url
from smartpipe.integrations.scrapy.shared import SharedPipe
from smartpipe.integrations.scrapy.spider import CrawlCounts, SiteSpider

_GRACE = 5.0
"""Seconds that pages on their way have after the first signal."""

_crawled = False


def crawl(
    url: str,
    prefix: str | os.PathLike[str],
    *,
    max_pages: int | None = None,
    delay: float | None = None,
    concurrency: int = 8,
    retry: bool = False,
    compress: bool | str | None = None,
    level: int = 6,
    obey_robots: bool = True,
    cache: str | os.PathLike[str] | None = None,
    settings: Mapping[str, Any] | None = None,
    progress: Callable[[CrawlCounts], None] | None = None,
) -> CrawlCounts:
    """Fetch the pages of one site into the pipe `prefix`, one block per page, and return what was done.

    The blocks are those of `PagePipeline`, with the result `{"title": ..., "links": [...]}`. Only pages of the host
    and port of `url` are fetched, breadth first; redirects and failures are blocks too. What is in the pipe is not
    fetched again: its links are followed from there, so that the same call goes on where the last one stopped.

    - `max_pages`: how many pages the pipe may have in the end, redirects and failures included; None for all.
    - `delay`: seconds between two requests; None for 0.5, and 0 when the host is this machine. A longer
      `Crawl-delay` in robots.txt counts.
    - `concurrency`: how many requests may be on their way.
    - `retry`: fetch again what had failed, as `URL#2` and so on.
    - `compress`, `level`: as in `smartpipe.open`, but None compresses a new pipe.
    - `obey_robots`: leave out what robots.txt forbids.
    - `cache`: a pipe with responses, see `PipeCacheStorage`. What it has is not fetched from the network, what it
      has not is added, but no failures that may pass (HTTP 408, 429, 500 and more).
    - `settings`: further Scrapy settings, over all of these. Scrapy's log: `{"LOG_ENABLED": True}`.
    - `progress`: called with the counts after each page.

    SIGINT and SIGTERM end the crawl: pages on their way have five seconds, a second signal ends it at once. The pipe is
    closed, and the counts name the signal.

    It can run once in a process, because Scrapy's reactor can, and only in the main thread.

    Raises ValueError for a URL that is not http or https and for numbers that make no sense, RuntimeError when it runs
    a second time, what `smartpipe.open` raises in mode `"a"`, and what made writing fail.

    ::

        from smartpipe.integrations.scrapy import crawl

        counts = crawl("http://localhost:8000/", "pages", max_pages=100)
        print(counts.pages, counts.failures)
    """
    start = page_url(url)
    if start is None:
        raise ValueError(f"{url!r} is no URL that can be crawled: expected http://HOST/... or https://HOST/...")
    if max_pages is not None and max_pages < 1:
        raise ValueError(f"max_pages is {max_pages}: expected 1 or more")
    if concurrency < 1:
        raise ValueError(f"concurrency is {concurrency}: expected 1 or more")
    if delay is None:
        delay = 0.0 if _is_this_machine(start) else 0.5
    if not delay >= 0:
        raise ValueError(f"delay is {delay}: expected 0 or more seconds")
    global _crawled
    if _crawled:
        raise RuntimeError("crawl() ran in this process before: Scrapy's reactor starts once, use another process")

    began = time.monotonic()
    options = _settings(prefix, delay, concurrency, compress, level, obey_robots, cache)
    options.update(settings or {})
    frontier = Frontier(start)
    with contextlib.ExitStack() as opened:
        # Opened here, and shared by the pipeline and the cache: what is wrong with them is raised, and they are closed
        # however Scrapy ends.
        pipes = []
        for path in (prefix, cache):
            if path is not None:
                pipes.append(SharedPipe.open(path, options))
                opened.callback(pipes[-1].release)
        with smartpipe.open(prefix) as reader:
            frontier.resume(reader, retry=retry)
        counts = CrawlCounts(before=len(frontier.stored), failing=len(frontier.failing), left=len(frontier))
        _crawled = True
        process = AsyncCrawlerProcess(options)
        spider = process.crawl(
            SiteSpider, frontier=frontier, counts=counts, max_pages=max_pages, window=2 * concurrency, progress=progress
        )
        with _ended_by_signals(process, counts):
            process.start(install_signal_handlers=False)
        if spider.done() and not spider.cancelled() and (error := spider.exception()):
            raise error
    for pipe in pipes:
        if pipe.error is not None:
            raise pipe.error
    counts.problem = counts.problem or frontier.failing.get(start)
    counts.seconds = time.monotonic() - began
    return counts


def _settings(
    prefix: str | os.PathLike[str],
    delay: float,
    concurrency: int,
    compress: bool | str | None,
    level: int,
    obey_robots: bool,
    cache: str | os.PathLike[str] | None,
) -> Settings:
    return Settings(
        {
            "USER_AGENT": f"smartpipe/{smartpipe.__version__}",
            "ROBOTSTXT_OBEY": obey_robots,
            "CONCURRENT_REQUESTS": concurrency,
            "CONCURRENT_REQUESTS_PER_DOMAIN": concurrency,
            "DOWNLOAD_DELAY": delay,
            "DOWNLOAD_TIMEOUT": 60,
            "HTTPERROR_ALLOW_ALL": True,
            # Requests come from the frontier, not from the page whose callback hands them out.
            "REFERER_ENABLED": False,
            "SPIDER_MIDDLEWARES": {"scrapy.spidermiddlewares.depth.DepthMiddleware": None},
            "URLLENGTH_LIMIT": 0,
            "SCHEDULER_MEMORY_QUEUE": "scrapy.squeues.FifoMemoryQueue",
            "TELNETCONSOLE_ENABLED": False,
            "LOG_ENABLED": False,
            "LOG_LEVEL": "INFO",
            "ITEM_PIPELINES": {"smartpipe.integrations.scrapy.PagePipeline": 300},
            "SMARTPIPE_PATH": os.fspath(prefix),
            "SMARTPIPE_COMPRESS": compress,
            "SMARTPIPE_LEVEL": level,
            "HTTPCACHE_ENABLED": cache is not None,
            "HTTPCACHE_STORAGE": "smartpipe.integrations.scrapy.PipeCacheStorage",
            "HTTPCACHE_IGNORE_HTTP_CODES": [408, 429, *range(500, 600)],
            "SMARTPIPE_CACHE_PATH": None if cache is None else os.fspath(cache),
        }
    )


def _is_this_machine(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


@contextlib.contextmanager
def _ended_by_signals(process: AsyncCrawlerProcess, counts: CrawlCounts) -> Iterator[None]:
    from twisted.internet import reactor  # the one that AsyncCrawlerProcess has installed

    loop = asyncio.get_event_loop()

    def end_now() -> None:
        with contextlib.suppress(RuntimeError):  # it has stopped already
            cast(Any, reactor).stop()

    def end() -> None:
        stopping.append(loop.create_task(process.stop()))
        loop.call_later(_GRACE, end_now)

    def handler(number: int, frame: FrameType | None) -> None:
        first = counts.signal is None
        counts.signal = number
        loop.call_soon_threadsafe(end if first else end_now)

    stopping: list[asyncio.Task[None]] = []  # the loop itself holds tasks weakly
    before = {number: signal.signal(number, handler) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, old in before.items():
            signal.signal(number, old)
