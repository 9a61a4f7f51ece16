"""Scraped pages in pipes: an item pipeline and an HTTP cache for Scrapy projects, and the crawl of a whole site."""

try:
    import scrapy as _scrapy  # noqa: F401
except ModuleNotFoundError:
    raise ModuleNotFoundError(
        "smartpipe.integrations.scrapy needs Scrapy: pip install 'smartpipe[scrapy]'", name="scrapy"
    ) from None

from smartpipe.integrations.scrapy.crawling import crawl
from smartpipe.integrations.scrapy.httpcache import PipeCacheStorage
from smartpipe.integrations.scrapy.pages import Page, PagePipeline
from smartpipe.integrations.scrapy.spider import CrawlCounts

__all__ = ["CrawlCounts", "Page", "PagePipeline", "PipeCacheStorage", "crawl"]
