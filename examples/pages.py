"""What the examples do with each page.

cd examples && smartpipe map ../demo/pydoc ../demo/records pages:record --select raw
"""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import urljoin

import lxml.html

import smartpipe


def record(key: bytes, block: smartpipe.Block) -> dict[bytes, bytes] | None:
    """Return what `extracted` does as JSON; None, which drops the block, for what is no page."""
    found = extracted(key, block)
    return None if found is None else {b"result": json.dumps(found).encode()}


def extracted(key: bytes, block: smartpipe.Block) -> dict[str, Any] | None:
    """Return title, text and links of a page; None for what is no page."""
    raw = block.get(b"raw")
    if not raw:
        return None
    page = lxml.html.document_fromstring(raw)
    url = key.decode()
    title = page.findtext(".//title") or ""
    for element in page.xpath("//script|//style|//head"):
        element.drop_tree()
    links = sorted({link for href in page.xpath("//a/@href") if (link := absolute(url, href))})
    text = " ".join(page.text_content().split())
    return {"title": title.strip(), "text": text, "links": links}


def absolute(url: str, href: str) -> str | None:
    """Return where a link of the page leads, None for one into the page itself and for what is no URL."""
    try:
        return None if href.startswith("#") else urljoin(url, href)
    except ValueError:
        return None
