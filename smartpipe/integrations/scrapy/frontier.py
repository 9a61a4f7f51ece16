"""The pages of a site that are still to be fetched."""

from __future__ import annotations

import json
from collections import deque
from typing import NamedTuple

from smartpipe import Block, Reader
from smartpipe.integrations.scrapy.keys import unnumbered
from smartpipe.integrations.scrapy.links import page_url, site


class Target(NamedTuple):
    """A page to fetch: its URL, how many links it is away from the start, which page led to it."""

    url: str
    depth: int
    referer: str | None


class Frontier:
    """The pages of the start's site, each given out once, in the order in which they were found.

    >>> frontier = Frontier("http://a/")
    >>> frontier.add(["http://a/", "http://a/x", "http://b/"], 1, "http://a/")
    >>> frontier.pop().url, frontier.pop().url, frontier.pop()
    ('http://a/', 'http://a/x', None)
    """

    def __init__(self, start: str) -> None:
        self.start = start
        self.site = site(start)
        self.failing: dict[str, str] = {}
        """The error of each page that was in the pipe and whose last fetch failed."""
        self.stored: set[str] = set()
        """The pages that were in the pipe."""
        self._found: set[str] = set()
        self._waiting: deque[Target] = deque()
        self.add([start], 0, None)

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, urls: list[str], depth: int, referer: str | None) -> None:
        """Take what is new among `urls`, and on the same site."""
        for url in urls:
            if url not in self._found and site(url) == self.site:
                self._found.add(url)
                if url not in self.stored:
                    self._waiting.append(Target(url, depth, referer))

    def pop(self, *, new: bool = True) -> Target | None:
        """Return the next page to fetch, None when there is none; without `new` only one that had failed."""
        if self._waiting and (new or self._waiting[0].url in self.stored):
            return self._waiting.popleft()
        return None

    def resume(self, pipe: Reader, *, retry: bool) -> None:
        """Go on from what is in a pipe: what its pages link to is given out, but these themselves only with `retry`,
        where they had failed.

        Reads keys, and the pairs `error`, `log` and `result`, but no page.
        """
        failed: dict[str, Target] = {}
        for key, block in pipe.items(select=[b"error", b"log"]):
            url = page_url(unnumbered(key).decode("utf-8", "replace"))
            if url is None:
                continue
            self.stored.add(url)
            if b"error" in block:
                facts = _facts(block)
                failed[url] = Target(url, _depth(facts), facts.get("referer"))
                self.failing[url] = block[b"error"].decode("utf-8", "replace")
            else:
                failed.pop(url, None)
                self.failing.pop(url, None)
        again = [target for target in failed.values() if retry and site(target.url) == self.site]
        self._found.update(target.url for target in again)
        self._waiting = deque(again + [target for target in self._waiting if target.url not in self.stored])
        for key, block in pipe.items(select=[b"log", b"result"]):
            if b"result" in block:
                self.add(_links(block), _depth(_facts(block)) + 1, unnumbered(key).decode("utf-8", "replace"))


def _facts(block: Block) -> dict[str, str]:
    lines = block.get(b"log", b"").decode("utf-8", "replace").splitlines()
    return {name: value for name, _, value in (line.partition(": ") for line in lines)}


def _depth(facts: dict[str, str]) -> int:
    depth = facts.get("depth", "")
    return int(depth) if depth.isdecimal() else 0


def _links(block: Block) -> list[str]:
    # The pipe may hold pages of other spiders, with results of any kind.
    try:
        result = json.loads(block[b"result"])
    except ValueError:
        return []
    links = result.get("links") if isinstance(result, dict) else None
    if not isinstance(links, list):
        return []
    return [url for link in links if isinstance(link, str) and (url := page_url(link))]
