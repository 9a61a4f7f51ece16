"""Scrapy's HTTP cache on a pipe."""

from __future__ import annotations

import logging
import os
import time
from ipaddress import ip_address

from scrapy import Request, Spider
from scrapy.exceptions import CloseSpider
from scrapy.http import Response
from scrapy.responsetypes import responsetypes
from scrapy.settings import BaseSettings
from scrapy.utils.defer import deferred_from_coro
from scrapy.utils.project import data_path

from smartpipe import BlockTooLargeError, SmartPipeError
from smartpipe.integrations.scrapy.head import parse_head, response_head
from smartpipe.integrations.scrapy.keys import numbered, times
from smartpipe.integrations.scrapy.shared import SharedPipe

logger = logging.getLogger(__name__)


class PipeCacheStorage:
    """A storage for Scrapy's `HTTPCACHE_STORAGE`: every response is a block, so that a crawl can be played again
    with the network off.

    The block key is the fingerprint of the request in hex; what is stored again, because it had expired, is a new block
    `fingerprint#2`, and the newest counts. The pairs: `raw` (the body as it was sent, still gzip where the server sent
    gzip), `response` (status line and headers, see `response_head`), `url`, `method`, `time` (seconds since 1970
    when it was stored), and where there are some `flags` and `address`. Nothing is pickled: reading a cache runs no
    code.

    All spiders of a process share the cache; a second process gets a LockedError while the first writes.

    Settings:

    - `SMARTPIPE_CACHE_PATH`: the pipe, which is continued or created; by default `responses` in Scrapy's
      `HTTPCACHE_DIR`.
    - `HTTPCACHE_EXPIRATION_SECS`: after so many seconds a response counts as missing; 0 for never.
    - `SMARTPIPE_COMPRESS`, `SMARTPIPE_LEVEL`, `SMARTPIPE_MAX_BLOCK_SIZE`: as for `PagePipeline`.

    A cache that can not be opened or written is logged as an error and closes the spider, with the reason `smartpipe`.
    A response that is too large for a block is not cached, which is logged as a warning.
    """

    def __init__(self, settings: BaseSettings) -> None:
        self.path: str = settings.get("SMARTPIPE_CACHE_PATH") or os.path.join(
            data_path(settings["HTTPCACHE_DIR"], createdir=True), "responses"
        )
        self.expiration_secs = settings.getint("HTTPCACHE_EXPIRATION_SECS")
        self._settings = settings
        self._pipe: SharedPipe | None = None

    def open_spider(self, spider: Spider) -> None:
        self._fingerprint = spider.crawler.request_fingerprinter.fingerprint
        try:
            self._pipe = SharedPipe.open(self.path, self._settings)
        except (SmartPipeError, OSError, ValueError) as error:
            logger.error("The HTTP cache can not be opened: %s", error, extra={"spider": spider})
            raise CloseSpider("smartpipe") from error

    def close_spider(self, spider: Spider) -> None:
        if self._pipe is not None:
            self._pipe.release()
            self._pipe = None

    def retrieve_response(self, spider: Spider, request: Request) -> Response | None:
        """Return the response of an equal request, or None when it was not stored or has expired."""
        assert self._pipe is not None, "open_spider comes first"
        key = self._key(request)
        met = times(key, self._pipe)
        block = self._pipe.get(numbered(key, met)) if met else None
        if block is None:
            return None
        stored = float(block[b"time"])
        if 0 < self.expiration_secs < time.time() - stored:
            return None
        request.meta["cache_timestamp"] = stored  # what Scrapy's own storages leave there
        return _response(block[b"url"].decode(), dict(block))

    def store_response(self, spider: Spider, request: Request, response: Response) -> None:
        """Store the response as the newest of this request."""
        assert self._pipe is not None, "open_spider comes first"
        key = self._key(request)
        pairs = {
            b"raw": response.body,
            b"response": response_head(response),
            b"url": response.url.encode(),
            b"method": request.method.encode(),
            b"time": repr(time.time()).encode(),
        }
        if response.flags:
            pairs[b"flags"] = "\n".join(response.flags).encode()
        if response.ip_address is not None:
            pairs[b"address"] = str(response.ip_address).encode()
        try:
            self._pipe.write(numbered(key, times(key, self._pipe) + 1), pairs)
        except BlockTooLargeError as error:
            logger.warning("Not cached: %s", error, extra={"spider": spider})
        except (SmartPipeError, OSError) as error:
            logger.error("The HTTP cache can not be written: %s", error, extra={"spider": spider})
            deferred_from_coro(spider.crawler.engine.close_spider_async(reason="smartpipe"))

    def _key(self, request: Request) -> bytes:
        return self._fingerprint(request).hex().encode()


def _response(url: str, pairs: dict[bytes, bytes]) -> Response:
    protocol, status, headers = parse_head(pairs[b"response"])
    body = pairs[b"raw"]
    cls = responsetypes.from_args(headers=headers, url=url, body=body)
    return cls(
        url=url,
        status=status,
        headers=headers,
        body=body,
        flags=pairs[b"flags"].decode().split("\n") if b"flags" in pairs else None,
        ip_address=ip_address(pairs[b"address"].decode()) if b"address" in pairs else None,
        protocol=protocol,
    )
