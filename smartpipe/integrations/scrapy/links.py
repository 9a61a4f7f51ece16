"""What a page links to, and the form in which its URLs are known."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import urljoin, urlsplit, urlunsplit

from scrapy.http import HtmlResponse
from scrapy.utils.response import get_base_url, get_meta_refresh
from w3lib.url import safe_url_string

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


def title(response: HtmlResponse) -> str | None:
    """Return the text of the first `<title>`, None where there is none."""
    element = next(response.selector.root.iter("title"), None)
    return None if element is None else " ".join("".join(element.itertext()).split())


def links(response: HtmlResponse) -> list[str]:
    """Return the pages that this one leads to, on any host, each once: its refresh, then links and frames in order."""
    found: dict[str, None] = {}
    base = get_base_url(response)
    for href in dict.fromkeys(_references(response)):
        try:
            url = page_url(urljoin(base, href), response.encoding)
        except ValueError:  # of urljoin, for a host like [x
            continue
        if url is not None:
            found[url] = None
    return list(found)


def _references(response: HtmlResponse) -> Iterator[str]:
    _, refresh = get_meta_refresh(response)
    if refresh is not None:
        yield refresh
    for element in response.selector.root.iter("a", "area", "frame", "iframe"):
        href = element.get("href" if element.tag in ("a", "area") else "src", "").strip()
        if href and not href.startswith("#"):
            yield href
