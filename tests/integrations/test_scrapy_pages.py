"""`PagePipeline` in a Scrapy project of one's own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from .blocks import blocks, facts, result
from .process import Process, Ran
from .site import Answer, Site

Run = Callable[..., Ran]

PROJECT = """
import datetime, scrapy
from scrapy.crawler import CrawlerProcess
from smartpipe.integrations.scrapy import Page

settings = {{
    "TWISTED_REACTOR": "twisted.internet.asyncioreactor.AsyncioSelectorReactor",
    "TELNETCONSOLE_ENABLED": False,
    "LOG_LEVEL": "ERROR",
    "RETRY_TIMES": 0,
    "ITEM_PIPELINES": {{"smartpipe.integrations.scrapy.PagePipeline": 300}},
    "SMARTPIPE_PATH": "pages",
    **{settings},
}}

class Mine(scrapy.Spider):
    name = "mine"

    async def start(self):
        for path in {paths}:
            yield scrapy.Request({url!r} + path, errback=self.failed, dont_filter=True)

    def failed(self, failure):
        yield Page.failed(failure)

{parse}

process = CrawlerProcess(settings)
crawler = process.create_crawler(Mine)
process.crawl(crawler)
process.start()
stats = crawler.stats.get_stats()
ours = {{name: value for name, value in sorted(stats.items()) if name.startswith("smartpipe/")}}
print(ours, stats.get("finish_reason"))
"""

PARSE = """
    def parse(self, response):
        yield Page.of(response, {"text": response.text})
"""


@pytest.fixture
def run(site: Site, start: Callable[..., Process], tmp_path: Path) -> Run:
    """Runs a spider that fetches paths of the site with a pipeline, and prints its statistics."""

    def ran(*paths: str, parse: str = PARSE, **settings: object) -> Ran:
        (tmp_path / "project.py").write_text(PROJECT.format(paths=paths, parse=parse, settings=settings, url=site.url))
        return start("project.py").wait()

    return ran


def test_pages_become_blocks(site: Site, run: Run, tmp_path: Path) -> None:
    site.html("/a", "text of a")
    site.html("/gone", "gone", status=410)

    ran = run("/a", "/gone")

    assert (ran.err, ran.out) == ("", "{'smartpipe/bytes': 13, 'smartpipe/errors': 1, 'smartpipe/pages': 2} finished\n")
    read = blocks(tmp_path / "pages")
    assert set(read) == {f"{site.url}/a", f"{site.url}/gone"}
    a, gone = read[f"{site.url}/a"], read[f"{site.url}/gone"]
    assert list(a) == ["raw", "response", "result", "log"]
    assert a["raw"] == b"text of a"
    assert a["response"] == b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\nContent-Type: text/html; charset=utf-8\r\n"
    assert a["result"] == b'{"text": "text of a"}'
    assert list(gone) == ["raw", "response", "error", "log"]
    assert gone["error"] == b"HTTP 410 Gone"


def test_what_can_not_be_fetched_is_a_block_with_an_error(site: Site, run: Run, tmp_path: Path) -> None:
    def hangs_up() -> Answer:
        raise ConnectionError

    site.pages["/up"] = hangs_up

    ran = run("/up#part")

    assert ran.out == "{'smartpipe/bytes': 0, 'smartpipe/errors': 1, 'smartpipe/pages': 1} finished\n"
    [(key, block)] = blocks(tmp_path / "pages").items()
    assert key == f"{site.url}/up"
    assert list(block) == ["error", "log"]
    assert block["error"].startswith(b"DownloadFailedError: ")
    assert facts(block)["request"] == f"GET {site.url}/up#part"


def test_redirects_are_followed_by_scrapy_and_logged(site: Site, run: Run, tmp_path: Path) -> None:
    site.pages["/one"] = (301, [("Location", "/two")], b"")
    site.pages["/two"] = (302, [("Location", "/three#here")], b"")
    site.html("/three", "there")

    run("/one")

    read = blocks(tmp_path / "pages")
    assert list(read) == [f"{site.url}/three"]
    log = read[f"{site.url}/three"]["log"].decode().splitlines()
    assert [line for line in log if line.startswith("redirected")] == [
        f"redirected from: {site.url}/one",
        f"redirected from: {site.url}/two",
    ]


def test_a_page_met_again_gets_the_next_number(site: Site, run: Run, tmp_path: Path) -> None:
    answers = iter([b"one", b"two", b"three", b"four"])
    site.pages["/a"] = lambda: (200, [], next(answers))

    run("/a", "/a#part", CONCURRENT_REQUESTS=1)
    run("/a", SMARTPIPE_REPEATED="number")

    assert {key: block["raw"] for key, block in blocks(tmp_path / "pages").items()} == {
        f"{site.url}/a": b"one",
        f"{site.url}/a#2": b"two",
        f"{site.url}/a#3": b"three",
    }

    ran = run("/a", SMARTPIPE_REPEATED="skip")

    assert ran.out == "{'smartpipe/skipped': 1} finished\n"
    assert len(blocks(tmp_path / "pages")) == 3


def test_results_of_any_kind(site: Site, run: Run, tmp_path: Path) -> None:
    for name in ("date", "item", "list", "surrogate", "set", "nan", "object", "none"):
        site.html(f"/{name}", name)
    parse = """
    def parse(self, response):
        class Item(scrapy.Item):
            name = scrapy.Field()
        results = {
            "date": datetime.date(2024, 2, 29), "item": Item(name="caf\\u00e9"), "list": [1, {"a": None}],
            "surrogate": "\\udc80", "set": {1}, "nan": float("nan"), "object": object(), "none": None,
        }
        page = Page.of(response, results[response.text])
        page.log.append("mine: \\u00fc")
        yield page
"""

    ran = run(
        *(f"/{name}" for name in ("date", "item", "list", "surrogate", "set", "nan", "object", "none")), parse=parse
    )

    assert (ran.code, ran.err) == (0, "")
    read = {key.rpartition("/")[2]: block for key, block in blocks(tmp_path / "pages").items()}
    assert {name: result(block) for name, block in read.items() if "result" in block} == {
        "date": "2024-02-29",
        "item": {"name": "café"},
        "list": [1, {"a": None}],
        "surrogate": "\udc80",
        "set": [1],
    }
    assert read["item"]["result"] == '{"name": "café"}'.encode()
    for name in ("nan", "object"):
        assert list(read[name]) == ["raw", "response", "error", "log"]
        assert read[name]["raw"] == name.encode()
        assert read[name]["error"].startswith(b"the result is no JSON: ")
    assert list(read["none"]) == ["raw", "response", "log"]
    assert all(facts(block)["mine"] == "ü" for block in read.values())


def test_other_items_pass(site: Site, run: Run, tmp_path: Path) -> None:
    site.html("/a", "a")
    parse = """
    def parse(self, response):
        yield {"mine": response.text}
        yield Page.of(response)
"""

    ran = run("/a", parse=parse, FEEDS={"items.jsonl": {"format": "jsonlines", "item_classes": ["builtins.dict"]}})

    assert ran.out == "{'smartpipe/bytes': 1, 'smartpipe/pages': 1} finished\n"
    assert (tmp_path / "items.jsonl").read_text() == '{"mine": "a"}\n'
    assert list(blocks(tmp_path / "pages")) == [f"{site.url}/a"]


def test_a_page_larger_than_a_block(site: Site, run: Run, tmp_path: Path) -> None:
    site.html("/large", "x" * 5000)
    site.html("/small", "small")

    run("/large", "/small", parse=PARSE.replace("response.text", "response.text[:10]"), SMARTPIPE_MAX_BLOCK_SIZE=2000)

    read = blocks(tmp_path / "pages")
    assert list(read[f"{site.url}/large"]) == ["response", "result", "error", "log"]
    assert b"2000" in read[f"{site.url}/large"]["error"]
    assert result(read[f"{site.url}/large"]) == {"text": "x" * 10}
    assert read[f"{site.url}/small"]["raw"] == b"small"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"SMARTPIPE_PATH": None}, "PagePipeline needs the setting SMARTPIPE_PATH"),
        ({"SMARTPIPE_REPEATED": "sometimes"}, "SMARTPIPE_REPEATED is 'sometimes': expected 'number' or 'skip'"),
        ({"SMARTPIPE_PATH": "missing/pages"}, "missing"),
    ],
)
def test_settings_that_make_no_sense_end_the_crawl(
    settings: dict[str, object], message: str, site: Site, run: Run, tmp_path: Path
) -> None:
    ran = run("/a", **settings)

    assert message in ran.err
    assert site.requests == []
    assert list(tmp_path.iterdir()) == [tmp_path / "project.py"]


def test_a_pipe_that_can_not_be_written_closes_the_spider(site: Site, run: Run, tmp_path: Path) -> None:
    for number in range(50):
        site.html(f"/{number}", f"{number} " * 5000)
    limit = """
import resource, signal
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, resource.RLIM_INFINITY))
"""

    ran = run(*(f"/{number}" for number in range(50)), parse=PARSE + limit, SMARTPIPE_COMPRESS=False)

    assert ran.out.endswith(" smartpipe\n")
    assert str(tmp_path / "pages.dat") in ran.err
    assert len(site.asked()) < 50
    read = blocks(tmp_path / "pages")
    assert len(read) >= 2
    for key, block in read.items():
        assert block["raw"] == site.body(key.removeprefix(site.url))


def test_two_spiders_write_to_one_pipe(site: Site, start: Callable[..., Process], tmp_path: Path) -> None:
    for number in range(20):
        site.html(f"/{number}", f"page {number}")
    script = f"""
import scrapy
from scrapy.crawler import CrawlerProcess
from smartpipe.integrations.scrapy import Page

class Half(scrapy.Spider):
    name = "half"
    async def start(self):
        for number in range(self.first, 20, 2):
            yield scrapy.Request(f"{site.url}/{{number}}")
    def parse(self, response):
        yield Page.of(response)

process = CrawlerProcess({{
    "LOG_LEVEL": "ERROR", "TELNETCONSOLE_ENABLED": False, "SMARTPIPE_PATH": "pages",
    "ITEM_PIPELINES": {{"smartpipe.integrations.scrapy.PagePipeline": 300}},
}})
process.crawl(Half, first=0)
process.crawl(Half, first=1)
process.start()
"""

    ran = start("-c", script).wait()

    assert (ran.code, ran.err) == (0, "")
    assert {key: block["raw"] for key, block in blocks(tmp_path / "pages").items()} == {
        f"{site.url}/{number}": f"page {number}".encode() for number in range(20)
    }
