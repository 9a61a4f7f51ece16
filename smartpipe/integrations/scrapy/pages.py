"""The pages that a spider has fetched, and the item pipeline that writes each as one block."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timezone
from http.client import responses
from typing import Any
from urllib.parse import urldefrag
from weakref import WeakKeyDictionary

from scrapy import Request, signals
from scrapy.crawler import Crawler
from scrapy.http import Response
from scrapy.utils.defer import deferred_from_coro
from scrapy.utils.serialize import ScrapyJSONEncoder
from twisted.python.failure import Failure

from smartpipe import BlockTooLargeError, SmartPipeError
from smartpipe.integrations.scrapy.head import response_head
from smartpipe.integrations.scrapy.keys import numbered, times
from smartpipe.integrations.scrapy.shared import SharedPipe


@dataclass
class Page:
    """One page as an item: what a spider yields to have it written by `PagePipeline`.

    `url` is the block key. `result` is anything that JSON can hold, and what Scrapy's exporters take: items, dates,
    sets. `error` says what went wrong. `log` are lines of text, of the form `name: value` as far as they are ours;
    a spider may append its own.

    >>> from scrapy.http import HtmlResponse
    >>> page = Page.of(HtmlResponse("http://a/", status=404, body=b"<p>no</p>"), result={"title": None})
    >>> page.url, page.error
    ('http://a/', 'HTTP 404 Not Found')
    """

    url: str
    response: Response | None = None
    result: Any = None
    error: str | None = None
    log: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, response: Response, result: Any = None) -> Page:
        """Return the page of a response, in a spider's callback. A status of 400 and more is an error."""
        error = (
            f"HTTP {response.status} {responses.get(response.status, '')}".rstrip() if response.status >= 400 else None
        )
        return cls(response.url, response, result, error, _fetch_log(response.request, response))

    @classmethod
    def failed(cls, failure: Failure) -> Page:
        """Return the page that could not be fetched, in a spider's errback."""
        request: Request = failure.request  # type: ignore[attr-defined]
        response = getattr(failure.value, "response", None)
        if isinstance(response, Response):  # HttpError: the page of an error is a page
            return cls.of(response)
        error = " ".join(f"{type(failure.value).__name__}: {failure.value}".split())
        return cls(request.url, None, None, error, _fetch_log(request, None))


class PagePipeline:
    """An item pipeline: writes each `Page` as a block, lets other items pass.

    A block has the key URL (without a fragment) and the pairs

    - `raw`: the body, after its content encoding (gzip) was taken off,
    - `response`: status line and headers, see `response_head`; the headers are as they came, `Content-Encoding` too,
    - `result`: the spider's result as JSON in UTF-8,
    - `error`: what went wrong, only if something did,
    - `log`: lines about the fetch.

    What a page does not have is left out: one that was refused has an `error` and a `log` only. A result that is no
    JSON, and a body that is too large for a block, become an `error`; the rest of the page is written.

    Settings:

    - `SMARTPIPE_PATH`: the pipe, which is continued or created. Required.
    - `SMARTPIPE_REPEATED`: what happens to a page whose URL is in the pipe: `"number"` (default) writes it as
      `URL#2`, then `URL#3`; `"skip"` does not write it.
    - `SMARTPIPE_COMPRESS`, `SMARTPIPE_LEVEL`, `SMARTPIPE_MAX_BLOCK_SIZE`: the options of `smartpipe.open`, but a new
      pipe is compressed by default.

    Spiders of one process may write to the same pipe. When writing fails, the disk being full for example, the spider
    is closed with the reason `smartpipe`: pages that can not be kept need not be fetched. In Scrapy's statistics:
    `smartpipe/pages` and `smartpipe/bytes` (of bodies) that were written, `smartpipe/errors` among them, and
    `smartpipe/skipped`.

    Raises ValueError for settings that make no sense, and what `smartpipe.open` raises when the spider is opened.
    """

    def __init__(self, crawler: Crawler) -> None:
        settings = crawler.settings
        self.crawler = crawler
        self.path: str = settings.get("SMARTPIPE_PATH") or ""
        if not self.path:
            raise ValueError("PagePipeline needs the setting SMARTPIPE_PATH: the prefix of the pipe to write")
        self.repeated: str = settings.get("SMARTPIPE_REPEATED", "number")
        if self.repeated not in ("number", "skip"):
            raise ValueError(f"SMARTPIPE_REPEATED is {self.repeated!r}: expected 'number' or 'skip'")
        # Scrapy takes Content-Encoding out of the headers when it decodes the body.
        self._heads: WeakKeyDictionary[Request, bytes] = WeakKeyDictionary()
        crawler.signals.connect(self._response_downloaded, signal=signals.response_downloaded)

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> PagePipeline:
        return cls(crawler)

    def open_spider(self) -> None:
        self.pipe = SharedPipe.open(self.path, self.crawler.settings)

    def close_spider(self) -> None:
        self.pipe.release()

    def process_item(self, item: Any) -> Any:
        if isinstance(item, Page):
            try:
                self._write(item)
            except (SmartPipeError, OSError):
                deferred_from_coro(self.crawler.engine.close_spider_async(reason="smartpipe"))
                raise
        return item

    def _write(self, page: Page) -> None:
        stats = self.crawler.stats
        url = urldefrag(page.url).url.encode()
        met = times(url, self.pipe)
        if met and self.repeated == "skip":
            stats.inc_value("smartpipe/skipped")
            return
        key = numbered(url, met + 1)
        pairs = self._pairs(page)
        try:
            self.pipe.write(key, pairs)
        except BlockTooLargeError as error:
            page.error = page.error or str(error)
            pairs = self._pairs(page)
            del pairs[b"raw"]
            self.pipe.write(key, pairs)
        stats.inc_value("smartpipe/pages")
        stats.inc_value("smartpipe/bytes", len(pairs.get(b"raw", b"")))
        if page.error is not None:
            stats.inc_value("smartpipe/errors")

    def _pairs(self, page: Page) -> dict[bytes, bytes]:
        pairs = {}
        if page.response is not None:
            request = page.response.request
            head = self._heads.get(request) if request is not None else None
            pairs[b"raw"] = page.response.body
            pairs[b"response"] = head or response_head(page.response)
        if page.result is not None:
            try:
                text = ScrapyJSONEncoder(ensure_ascii=False, allow_nan=False).encode(page.result)
            except (TypeError, ValueError, RecursionError) as problem:
                page.error = page.error or f"the result is no JSON: {problem}"
            else:
                # Half a surrogate pair has no UTF-8; written as \udc80 it is still JSON.
                pairs[b"result"] = text.encode("utf-8", "backslashreplace")
        if page.error is not None:
            pairs[b"error"] = page.error.encode("utf-8", "backslashreplace")
        pairs[b"log"] = "".join(f"{line}\n" for line in page.log).encode("utf-8", "backslashreplace")
        return pairs

    def _response_downloaded(self, response: Response, request: Request) -> None:
        self._heads[request] = response_head(response)


def _fetch_log(request: Request | None, response: Response | None) -> list[str]:
    now = datetime.now(timezone.utc).isoformat(timespec="milliseconds")
    log = [f"fetched: {now}"]
    if request is not None:
        log.append(f"request: {request.method} {request.url}")
    if response is not None:
        log += [f"status: {response.status}", f"bytes: {len(response.body)}"]
        if response.ip_address is not None:
            log.append(f"address: {response.ip_address}")
        if response.flags:
            log.append(f"flags: {' '.join(response.flags)}")
    if request is not None:
        meta = request.meta
        if "download_latency" in meta:
            log.append(f"latency: {meta['download_latency']:.3f} s")
        if "depth" in meta:
            log.append(f"depth: {meta['depth']}")
        if referer := request.headers.get("Referer"):
            log.append(f"referer: {referer.decode('latin-1')}")
        if "retry_times" in meta:
            log.append(f"retries: {meta['retry_times']}")
        log += [f"redirected from: {url}" for url in meta.get("redirect_urls", [])]
    return log
