"""The spider of `smartpipe crawl`: every page of one site."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urljoin

from scrapy import Request, Spider, signals
from scrapy.crawler import Crawler
from scrapy.exceptions import IgnoreRequest
from scrapy.http import HtmlResponse, Response
from scrapy.robotstxt import RobotParser
from twisted.python.failure import Failure

from smartpipe.integrations.scrapy.frontier import Frontier, Target
from smartpipe.integrations.scrapy.links import page_url, read_page, site
from smartpipe.integrations.scrapy.pages import Page


@dataclass
class CrawlCounts:
    """What one crawl did."""

    pages: int = 0
    """Pages written, without redirects and failures."""
    redirects: int = 0
    """Redirects written; where they lead is a page of its own."""
    failures: int = 0
    """Pages written that failed: refused, timed out, HTTP 400 and more."""
    forbidden: int = 0
    """Pages that robots.txt forbids; they are not written."""
    bytes: int = 0
    """Bytes of the bodies written."""
    seconds: float = 0.0
    """How long it took."""
    before: int = 0
    """Pages that were in the pipe already."""
    failing: int = 0
    """Pages in the pipe whose last fetch failed, in this run or before: what `retry` would fetch again."""
    left: int = 0
    """Pages that were found and not fetched, because of `max_pages` or a signal."""
    signal: int | None = None
    """The number of the signal that ended the crawl."""
    problem: str | None = None
    """Why the start page gave no page; None when it did."""


class SiteSpider(Spider):
    """Fetches what a frontier gives, and adds to it what the pages link to.

    The result of a page is `{"title": ..., "links": [...]}`, with links to any host. A redirect is a page without
    a title, with one link. Nothing is fetched twice; where it stops, the pipe says what is left.
    """

    name = "smartpipe"

    def __init__(
        self,
        *,
        frontier: Frontier,
        counts: CrawlCounts,
        max_pages: int | None,
        window: int,
        progress: Callable[[CrawlCounts], None] | None,
    ) -> None:
        super().__init__()
        self.frontier = frontier
        self.counts = counts
        self.max_pages = max_pages
        self.window = window
        """Requests in Scrapy's hands at a time: the others wait in the frontier, which is in order and small."""
        self.progress = progress
        self._active = 0
        self._taken = len(frontier.stored)
        """Pages of the pipe, and those that are being fetched: never more than max_pages."""

    @classmethod
    def from_crawler(cls, crawler: Crawler, *args: Any, **kwargs: Any) -> SiteSpider:
        spider = super().from_crawler(crawler, *args, **kwargs)
        crawler.signals.connect(spider._item_scraped, signal=signals.item_scraped)
        crawler.signals.connect(spider._robots_parsed, signal=signals.robots_parsed)
        return spider

    async def start(self) -> AsyncIterator[Request]:
        for request in self._due():
            yield request

    def _due(self) -> Iterator[Request]:
        while self._active < self.window:
            target = self.frontier.pop(new=self.max_pages is None or self._taken < self.max_pages)
            if target is None:
                return
            self._active += 1
            self._taken += target.url not in self.frontier.stored
            yield Request(
                target.url,
                callback=self._fetched,
                errback=self._failed,
                cb_kwargs={"target": target},
                headers={"Referer": target.referer} if target.referer else None,
                # Those of robots.txt are followed by Scrapy.
                meta={"depth": target.depth, "dont_redirect": True},
                dont_filter=True,
            )

    def _fetched(self, response: Response, target: Target) -> Iterator[Page | Request]:
        self._active -= 1
        page = Page.of(response)
        if page.error is None:
            page.result = _result(page)
            self.frontier.add(page.result["links"], target.depth + 1, response.url)
        yield page
        yield from self._due()

    def _failed(self, failure: Failure) -> Iterator[Page | Request]:
        self._active -= 1
        target: Target = failure.request.cb_kwargs["target"]  # type: ignore[attr-defined]
        if isinstance(failure.value, IgnoreRequest) and "robots.txt" in str(failure.value):
            self._taken -= target.url not in self.frontier.stored
            self.counts.forbidden += 1
            if target.url == self.frontier.start:
                self.counts.problem = "forbidden by robots.txt"
            self._report()
        else:
            yield Page.failed(failure)
        yield from self._due()

    def _item_scraped(self, item: Page) -> None:
        counts = self.counts
        if item.error is not None:
            counts.failures += 1
            self.frontier.failing[item.url] = item.error
        else:
            self.frontier.failing.pop(item.url, None)
            location = _location(item.response)
            if location is None:
                counts.pages += 1
            else:
                counts.redirects += 1
                if item.url == self.frontier.start and site(location) != self.frontier.site:
                    counts.problem = f"it redirects to another site, {location}"
        counts.bytes = self.crawler.stats.get_value("smartpipe/bytes", 0)
        self._report()

    def _report(self) -> None:
        self.counts.failing = len(self.frontier.failing)
        self.counts.left = len(self.frontier) + self._active
        if self.progress is not None:
            self.progress(self.counts)

    def _robots_parsed(self, robotparser: RobotParser) -> None:
        settings = self.crawler.settings
        delay = robotparser.crawl_delay(settings["ROBOTSTXT_USER_AGENT"] or settings["USER_AGENT"])
        if delay:
            for slot in self.crawler.engine.downloader.slots.values():
                slot.delay = max(slot.delay, delay)
                slot.jitter = 0


def _result(page: Page) -> dict[str, Any]:
    location = _location(page.response)
    if location is not None:
        return {"title": None, "links": [location]}
    if isinstance(page.response, HtmlResponse):
        try:
            title, links = read_page(page.response)
        except (UnicodeError, LookupError) as error:
            page.log.append(f"links: not read, {type(error).__name__}: {error}")
        else:
            return {"title": title, "links": links}
    return {"title": None, "links": []}


def _location(response: Response | None) -> str | None:
    if response is None or response.status not in (301, 302, 303, 307, 308):
        return None
    location = response.headers.get("Location")
    if location is None:
        return None
    try:
        return page_url(urljoin(response.url, location.decode("utf-8", "replace")))
    except ValueError:  # of urljoin, for a host like [x
        return None
