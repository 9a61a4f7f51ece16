"""What a page links to, and the form in which its URLs are known."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, TypeVar
from urllib.parse import urljoin, urlsplit, urlunsplit

from parsel import Selector
from scrapy.http import HtmlResponse
from scrapy.utils.response import get_base_url, get_meta_refresh
from w3lib.url import safe_url_string

Result = TypeVar("Result")

_PORTS = {"http": 80, "https": 443}


def page_url(url: str, encoding: str = "utf-8") -> str | None:
    """Return the one form of a URL: escaped, no fragment, no default port, `/` for an empty path.

    None for what no crawl can fetch: other schemes, broken URLs.
    `encoding` is that of the page with the link: browsers send what stands in a query in it.

    >>> page_url("HTTP://Example.com:80#top"), page_url("mailto:me@example.com")
    ('http://example.com/', None)
    """
    try:
        parts = urlsplit(safe_url_string(url, encoding))
        port = parts.port
    except ValueError:
        return None
    if parts.scheme not in _PORTS or not parts.hostname:
        return None
    netloc = parts.netloc
    if port == _PORTS[parts.scheme]:
        netloc = netloc.rpartition(":")[0]
    return urlunsplit((parts.scheme, netloc, parts.path or "/", parts.query, ""))


def site(url: str) -> tuple[str | None, int | None]:
    """Return host and port of a URL, the port None where it is the default: http and https are the same site.

    >>> site("https://example.com/a") == site("http://example.com/"), site("http://localhost:8000/")
    (True, ('localhost', 8000))
    """
    parts = urlsplit(url)
    return parts.hostname, None if parts.port == _PORTS[parts.scheme] else parts.port


def read_page(response: HtmlResponse) -> tuple[str | None, list[str]]:
    """Return the title of a page, None where there is none, and the pages that it leads to.

    These are its refresh, and then its links and frames in their order, on any host, each once, without broken ones.

    Raises UnicodeError or LookupError where the page names an encoding that is none of text.
    """
    # Not the response's own selector, which does not exist where <base> is broken.
    root = Selector(text=response.text, type="html").root
    element = next(root.iter("title"), None)
    title = None if element is None else " ".join("".join(element.itertext()).split())
    base = _unless_broken(get_base_url, response) or response.url
    links: dict[str, None] = {}
    for href in dict.fromkeys(_references(response, root)):
        joined = _unless_broken(urljoin, base, href)
        url = None if joined is None else page_url(joined, response.encoding)
        if url is not None:
            links[url] = None
    return title, list(links)


def _references(response: HtmlResponse, root: Any) -> Iterator[str]:
    _, refresh = _unless_broken(get_meta_refresh, response) or (None, None)
    if refresh is not None:
        yield refresh
    for element in root.iter("a", "area", "frame", "iframe"):
        href = element.get("href" if element.tag in ("a", "area") else "src", "").strip()
        if href and not href.startswith("#"):
            yield href


def _unless_broken(function: Callable[..., Result], *arguments: Any) -> Result | None:
    # A URL with a host like [x is a ValueError.
    try:
        return function(*arguments)
    except ValueError:
        return None
