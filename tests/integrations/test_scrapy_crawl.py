"""`smartpipe crawl` on a real site: what is fetched, and what the blocks hold."""

from __future__ import annotations

import gzip
import socket
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest

import smartpipe

from .blocks import blocks, facts, result
from .process import Process, Ran
from .site import Answer, Site

Crawl = Callable[..., Ran]


def test_each_page_of_the_site_is_a_block(site: Site, other_site: Site, crawl: Crawl, tmp_path: Path) -> None:
    home = site.html(
        "/",
        f"""<title> The
        home </title> <a href="#top">up</a> <a href="/a.html#part">a</a> <a href="a.html">a again</a>
        <a href="sub/b.html?x=1&amp;y=2">b</a> <a href="{other_site.url}/away">away</a> <img src="picture.png">
        <a href="mailto:me@example.com">mail</a> <a href="javascript:go()">go</a> <a href="http://[bad">bad</a>
        <iframe src="frame.html"></iframe> <map><area href="/area.html"></map> <a>nothing</a>""",
    )
    a = site.html("/a.html", "<p>no title, no links")
    b = site.html("/sub/b.html?x=1&y=2", "<title></title><base href='/deep/'><a href='c.html'>c</a>")
    c = site.html("/deep/c.html", "")
    frame = site.html("/frame.html", "<a href=/>home</a>")
    area = site.html("/area.html", "area")
    other_site.html("/away", "never asked for")

    ran = crawl(site.url, "-o", "pages")

    assert (ran.code, ran.err) == (0, "")
    assert ran.out.startswith(f"6 pages, 0 failures; {len(home + a + b + c + frame + area):,} bytes in ")
    read = blocks(tmp_path / "pages")
    assert {key: block["raw"] for key, block in read.items()} == {
        f"{site.url}/": home,
        f"{site.url}/a.html": a,
        f"{site.url}/sub/b.html?x=1&y=2": b,
        f"{site.url}/frame.html": frame,
        f"{site.url}/area.html": area,
        f"{site.url}/deep/c.html": c,
    }
    assert next(iter(read)) == f"{site.url}/"
    assert all(list(block) == ["raw", "response", "result", "log"] for block in read.values())
    assert result(read[f"{site.url}/"]) == {
        "title": "The home",
        "links": [
            f"{site.url}/a.html",
            f"{site.url}/sub/b.html?x=1&y=2",
            f"{other_site.url}/away",
            f"{site.url}/frame.html",
            f"{site.url}/area.html",
        ],
    }
    assert result(read[f"{site.url}/a.html"]) == {"title": None, "links": []}
    assert result(read[f"{site.url}/sub/b.html?x=1&y=2"]) == {"title": "", "links": [f"{site.url}/deep/c.html"]}
    assert other_site.requests == []
    assert sorted(site.asked()) == sorted(site.pages)


def test_the_log_tells_of_the_fetch(site: Site, crawl: Crawl, tmp_path: Path) -> None:
    site.html("/", "<a href=a>a</a>")
    answers = iter([503, 503, 200])
    site.pages["/a"] = lambda: (next(answers), [], b"at last")

    assert crawl(site.url, "-o", "pages").code == 0

    read = blocks(tmp_path / "pages")
    log = facts(read[f"{site.url}/a"])
    assert float(log.pop("latency").removesuffix(" s")) >= 0
    assert log.pop("fetched").endswith("+00:00")
    assert log == {
        "request": f"GET {site.url}/a",
        "status": "200",
        "bytes": "7",
        "address": "127.0.0.1",
        "depth": "1",
        "referer": f"{site.url}/",
        "retries": "2",
    }
    assert "referer" not in facts(read[f"{site.url}/"])
    assert facts(read[f"{site.url}/"])["depth"] == "0"


def test_the_head_is_kept_as_it_came(site: Site, crawl: Crawl, tmp_path: Path) -> None:
    body = b"<title>packed</title>"
    packed = gzip.compress(body)
    headers = [
        ("Content-Type", "text/html"),
        ("Content-Encoding", "gzip"),
        ("Set-Cookie", "a=1; Path=/"),
        ("X-Latin", "caf\xe9"),
        ("Set-Cookie", "b=2"),
    ]
    site.pages["/"] = (200, headers, packed)

    assert crawl(site.url, "-o", "pages").code == 0

    block = blocks(tmp_path / "pages")[f"{site.url}/"]
    status_line, *lines, end = block["response"].split(b"\r\n")
    assert (status_line, end) == (b"HTTP/1.1 200 OK", b"")
    assert sorted(lines) == sorted(
        [
            b"Content-Length: %d" % len(packed),
            b"Content-Type: text/html",
            b"Content-Encoding: gzip",
            b"Set-Cookie: a=1; Path=/",
            b"Set-Cookie: b=2",
            b"X-Latin: caf\xe9",
        ]
    )
    assert lines.index(b"Set-Cookie: a=1; Path=/") < lines.index(b"Set-Cookie: b=2")
    assert block["raw"] == body


def test_pages_that_are_no_utf8(site: Site, crawl: Crawl, tmp_path: Path) -> None:
    latin = "<title>caf\xe9</title><a href='/\xe9?q=\xe9'>\xe9</a><a href='/bytes'>bytes</a>".encode("latin-1")
    site.pages["/"] = (200, [("Content-Type", "text/html; charset=iso-8859-1")], latin)
    # Browsers send a path in UTF-8 and a query in the encoding of the page.
    found = site.html("/%C3%A9?q=%E9", "found")
    every_byte = bytes(range(256)) * 100
    site.pages["/bytes"] = (200, [("Content-Type", "application/octet-stream")], every_byte)

    assert crawl(site.url, "-o", "pages").code == 0

    read = blocks(tmp_path / "pages")
    assert {key: block["raw"] for key, block in read.items()} == {
        f"{site.url}/": latin,
        f"{site.url}/%C3%A9?q=%E9": found,
        f"{site.url}/bytes": every_byte,
    }
    assert '"title": "café"'.encode() in read[f"{site.url}/"]["result"]
    assert result(read[f"{site.url}/bytes"]) == {"title": None, "links": []}


@pytest.mark.parametrize(
    ("page", "charset"),
    [
        (b"", "utf-16"),
        (b"\x00\xff\xfe<a href=", "utf-16"),
        (b"<a href='x\x00y'><\xf0\x28\x8c", "bogus"),
        (b"<a href='/'>a</a>", "rot13"),
        (b"<" * 100_000, "utf-8"),
    ],
)
def test_a_page_of_garbage_is_a_page(page: bytes, charset: str, site: Site, crawl: Crawl, tmp_path: Path) -> None:
    site.html("/", "<a href=garbage>garbage</a><a href=good>good</a>")
    site.pages["/garbage"] = (200, [("Content-Type", f"text/html; charset={charset}")], page)
    site.html("/good", "good")

    ran = crawl(site.url, "-o", "pages")

    assert (ran.code, ran.err) == (0, "")
    read = blocks(tmp_path / "pages")
    assert read[f"{site.url}/garbage"]["raw"] == page
    assert ("links" in facts(read[f"{site.url}/garbage"])) is (charset == "rot13")
    assert read[f"{site.url}/good"]["raw"] == b"good"


def test_redirects_are_blocks_and_lead_on(site: Site, other_site: Site, crawl: Crawl, tmp_path: Path) -> None:
    def to(location: str) -> Answer:
        return 302, [("Location", location)], b"moved"

    site.html("/", "<a href=near>1</a><a href=far>2</a><a href=round>3</a><a href=nowhere>4</a><a href=odd>5</a>")
    site.pages["/near"] = to("target?a=b#c")
    site.html("/target?a=b", "arrived")
    site.pages["/far"] = to(f"{other_site.url}/")
    site.pages["/round"] = to("/round")
    site.pages["/nowhere"] = (302, [], b"moved")
    site.pages["/odd"] = to("http://[odd")

    ran = crawl(site.url, "-o", "pages")

    assert (ran.code, ran.err) == (0, "")
    assert ran.out.startswith("4 pages, 3 redirects, 0 failures; ")
    read = blocks(tmp_path / "pages")
    assert read[f"{site.url}/near"]["raw"] == b"moved"
    assert b"\r\nLocation: target?a=b#c\r\n" in read[f"{site.url}/near"]["response"]
    assert result(read[f"{site.url}/near"]) == {"title": None, "links": [f"{site.url}/target?a=b"]}
    assert read[f"{site.url}/target?a=b"]["raw"] == b"arrived"
    assert facts(read[f"{site.url}/target?a=b"])["referer"] == f"{site.url}/near"
    assert result(read[f"{site.url}/far"]) == {"title": None, "links": [f"{other_site.url}/"]}
    assert other_site.requests == []
    assert site.asked().count("/round") == 1


def test_a_start_that_redirects_to_another_site(site: Site, other_site: Site, crawl: Crawl, tmp_path: Path) -> None:
    site.pages["/"] = (301, [("Location", f"{other_site.url}/home")], b"")

    ran = crawl(site.url, "-o", "pages")

    assert ran.code == 1
    assert ran.err == f"smartpipe: {site.url}: it redirects to another site, {other_site.url}/home\n"
    assert list(blocks(tmp_path / "pages")) == [f"{site.url}/"]


def test_failures_are_blocks_with_an_error(site: Site, crawl: Crawl, tmp_path: Path) -> None:
    def hangs_up() -> Answer:
        raise ConnectionError

    def hangs() -> Answer:
        time.sleep(3)
        return 200, [], b"too late"

    site.html("/", "<a href=404>1</a><a href=500>2</a><a href=up>3</a><a href=slow>4</a>")
    site.html("/404", "<a href=/not-followed>sorry</a>", status=404)
    site.pages["/500"] = (500, [], b"broken")
    site.pages["/up"] = hangs_up
    site.pages["/slow"] = hangs

    ran = crawl(site.url, "-o", "pages", "-s", "DOWNLOAD_TIMEOUT=1", "-s", "RETRY_TIMES=0")

    assert (ran.code, ran.err) == (0, "")
    assert ran.out.startswith("1 page, 4 failures; ")
    assert "\nin the pipe and failed: 4 pages, --retry fetches them again\n" in ran.out
    read = blocks(tmp_path / "pages")
    assert read[f"{site.url}/404"]["error"] == b"HTTP 404 Not Found"
    assert read[f"{site.url}/404"]["raw"] == b"<a href=/not-followed>sorry</a>"
    assert read[f"{site.url}/404"]["response"].startswith(b"HTTP/1.1 404 Not Found\r\n")
    assert read[f"{site.url}/500"]["error"] == b"HTTP 500 Internal Server Error"
    assert read[f"{site.url}/500"]["raw"] == b"broken"
    assert list(read[f"{site.url}/up"]) == list(read[f"{site.url}/slow"]) == ["error", "log"]
    assert b"took longer than 1.0 seconds" in read[f"{site.url}/slow"]["error"]
    assert facts(read[f"{site.url}/slow"])["request"] == f"GET {site.url}/slow"
    assert "/not-followed" not in site.asked()


def test_robots_txt_is_obeyed(site: Site, crawl: Crawl, tmp_path: Path) -> None:
    site.pages["/robots.txt"] = (200, [("Content-Type", "text/plain")], b"User-agent: *\nDisallow: /private\n")
    site.html("/", "<a href=private/a>a</a><a href=public>b</a>")
    site.html("/private/a", "secret")
    site.html("/public", "public")

    # What is forbidden is no page of the two.
    ran = crawl(site.url, "-o", "pages", "--max-pages", 2)

    assert (ran.code, ran.err) == (0, "")
    assert ran.out.startswith("2 pages, 0 failures, 1 forbidden by robots.txt; ")
    assert list(blocks(tmp_path / "pages")) == [f"{site.url}/", f"{site.url}/public"]
    assert site.asked() == ["/", "/public"]

    assert crawl(site.url, "-o", "pages", "--ignore-robots").code == 0
    assert blocks(tmp_path / "pages")[f"{site.url}/private/a"]["raw"] == b"secret"


def test_a_robots_txt_that_moved_is_obeyed(site: Site, crawl: Crawl) -> None:
    site.pages["/robots.txt"] = (301, [("Location", "/rules.txt")], b"")
    site.pages["/rules.txt"] = (200, [("Content-Type", "text/plain")], b"User-agent: *\nDisallow: /private\n")
    site.html("/", "<a href=private>a</a>")
    site.html("/private", "secret")

    assert crawl(site.url, "-o", "pages").code == 0

    assert "/private" not in site.asked()


def test_a_start_that_robots_txt_forbids(site: Site, crawl: Crawl, tmp_path: Path) -> None:
    site.pages["/robots.txt"] = (200, [], b"User-agent: smartpipe\nDisallow: /\n")
    site.html("/", "home")

    ran = crawl(site.url, "-o", "pages")

    assert ran.code == 1
    assert ran.err == f"smartpipe: {site.url}: forbidden by robots.txt\n"
    assert site.asked() == []
    assert blocks(tmp_path / "pages") == {}


@pytest.mark.parametrize("polite", ["--delay", "robots.txt"])
def test_requests_keep_their_distance(polite: str, site: Site, crawl: Crawl) -> None:
    site.html("/", "<a href=a>a</a><a href=b>b</a><a href=c>c</a>")
    if polite == "robots.txt":
        site.pages["/robots.txt"] = (200, [], b"User-agent: *\nCrawl-delay: 0.4\n")
        options = ["--delay", "0"]
    else:
        options = ["--delay", "0.4", "-s", "DOWNLOAD_DELAY_JITTER=0"]

    assert crawl(site.url, "-o", "pages", "--concurrency", 4, *options).code == 0

    times = [request.time for request in site.requests if request.path != "/robots.txt"]
    # A request may be slow to arrive, and then seems nearer to the next.
    assert all(after - before > 0.2 for before, after in pairwise(times)), times
    assert len(times) == 4


def test_concurrency_is_a_limit(site: Site, crawl: Crawl) -> None:
    site.html("/", "".join(f"<a href={number}>{number}</a>" for number in range(12)))
    working: list[int] = []
    most = 0

    def answer() -> Answer:
        nonlocal most
        working.append(1)
        most = max(most, len(working))
        time.sleep(0.1)
        working.pop()
        return 200, [], b"page"

    for number in range(12):
        site.pages[f"/{number}"] = answer

    assert crawl(site.url, "-o", "pages", "--concurrency", 3).code == 0

    assert most == 3


def test_max_pages_is_what_the_pipe_has_in_the_end(site: Site, crawl: Crawl, tmp_path: Path) -> None:
    site.html("/", "".join(f"<a href={number}>{number}</a>" for number in range(20)))
    for number in range(19):
        site.html(f"/{number}", f"page {number}")

    first = crawl(site.url, "-o", "pages", "--max-pages", 5, "--concurrency", 1)

    assert first.out.endswith("\nfound and not fetched: 16 pages\n")
    assert list(blocks(tmp_path / "pages")) == [f"{site.url}/", *(f"{site.url}/{number}" for number in range(4))]

    assert crawl(site.url, "-o", "pages", "--max-pages", 5).code == 0
    assert len(site.asked()) == 5

    assert crawl(site.url, "-o", "pages", "--max-pages", 12).code == 0
    assert len(blocks(tmp_path / "pages")) == 12

    # Page 19 is a 404: it counts as well.
    assert crawl(site.url, "-o", "pages", "--max-pages", 100).code == 0
    assert len(blocks(tmp_path / "pages")) == 21
    assert sorted(site.asked()) == sorted(["/", *(f"/{number}" for number in range(20))])


def test_one_form_of_each_url(site: Site, crawl: Crawl, tmp_path: Path) -> None:
    site.html("/", f"<a href='{site.url}'>1</a><a href='{site.url}/#x'>2</a><a href='/a b'>3</a><a href='/a%20b'>4</a>")
    site.html("/a%20b", "a b")

    assert crawl(f"{site.url}#start", "-o", "pages").code == 0

    assert list(blocks(tmp_path / "pages")) == [f"{site.url}/", f"{site.url}/a%20b"]
    assert site.asked() == ["/", "/a%20b"]


def test_the_options_of_the_pipe(site: Site, crawl: Crawl, tmp_path: Path) -> None:
    site.html("/", "<p>the same again</p>" * 1000)

    for name, options in {"default": [], "plain": ["--compress", "none"], "a.dat": [], "b.datz": []}.items():
        assert crawl(site.url, "-o", name, *options).code == 0
    # Either is gone on with, by a command that says nothing about compression, and under each of its names.
    for name in ("default", "plain", "a", "a.dat", "a.idx", "b", "b.datz", "b.idx"):
        ran = crawl(site.url, "-o", name)
        assert (ran.code, ran.err) == (0, "")
        assert "\nin the pipe before: 1 page\n" in ran.out
    assert {path.name for path in tmp_path.iterdir()} == {
        *("default.datz", "default.idx", "plain.dat", "plain.idx", "a.dat", "a.idx", "b.datz", "b.idx")
    }

    ran = crawl(site.url, "-o", "plain", "--compress", "zlib")
    assert (ran.code, ran.out) == (1, "")
    assert ran.err.startswith("smartpipe: ") and ran.err.count("\n") == 1

    with smartpipe.open(tmp_path / "default") as pipe:
        assert pipe.codec == "zlib"
        assert pipe.data_path.endswith("default.datz")
    with smartpipe.open(tmp_path / "plain") as pipe:
        assert pipe.codec == "none"
        assert b"<p>the same again</p>" * 1000 in (tmp_path / "plain.dat").read_bytes()


def test_a_large_page_is_an_error_of_its_own(site: Site, crawl: Crawl, tmp_path: Path) -> None:
    site.html("/", "<a href=large>large</a><a href=small>small</a>")
    site.html("/large", "x" * 20_000)
    site.html("/small", "small")

    ran = crawl(site.url, "-o", "pages", "-s", "SMARTPIPE_MAX_BLOCK_SIZE=10000")

    assert (ran.code, ran.err) == (0, "")
    assert ran.out.startswith("2 pages, 1 failure; ")
    read = blocks(tmp_path / "pages")
    assert list(read[f"{site.url}/large"]) == ["response", "result", "error", "log"]
    assert b"10000" in read[f"{site.url}/large"]["error"]
    assert read[f"{site.url}/small"]["raw"] == b"small"


def test_a_url_that_refuses(crawl: Crawl, tmp_path: Path) -> None:
    with socket.socket() as taken:  # bound and not listening: nobody else answers there
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/"
        ran = crawl(url, "-o", "pages", "-s", "RETRY_TIMES=0")

    assert ran.code == 1
    assert ran.out.startswith("0 pages, 1 failure; 0 bytes in ")
    assert ran.err.startswith(f"smartpipe: {url}: ") and ran.err.count("\n") == 1
    assert "refused" in ran.err
    block = blocks(tmp_path / "pages")[url]
    assert list(block) == ["error", "log"]
    assert block["error"].decode() in ran.err


@pytest.mark.parametrize("url", ["example.com", "", "ftp://example.com/", "file:///etc/passwd", "http://", "http://[x"])
def test_what_is_no_url(url: str, crawl: Crawl, tmp_path: Path) -> None:
    ran = crawl(url, "-o", "pages")

    assert (ran.code, ran.out) == (1, "")
    assert ran.err == (
        f"smartpipe: {url!r} is no URL that can be crawled: expected http://HOST/... or https://HOST/...\n"
    )
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "option",
    [["--max-pages", "0"], ["--delay", "-1"], ["--concurrency", "0"], ["--level", "10"], ["-s", "LOG_ENABLED"]],
)
def test_options_that_make_no_sense(option: list[str], crawl: Crawl, tmp_path: Path) -> None:
    ran = crawl("http://127.0.0.1:9/", "-o", "pages", *option)

    assert (ran.code, ran.out) == (2, "")
    assert "Traceback" not in ran.err
    assert list(tmp_path.iterdir()) == []


def test_outputs_that_can_not_be_written(site: Site, crawl: Crawl, tmp_path: Path) -> None:
    site.html("/", "home")
    (tmp_path / "foreign.datz").write_bytes(b"not a pipe at all, but somebody's file")
    (tmp_path / "folder.datz").mkdir()

    for name, named in {"missing/pages": "missing", "foreign": "foreign.datz", "folder": "folder.datz"}.items():
        ran = crawl(site.url, "-o", name)
        assert (ran.code, ran.out) == (1, ""), name
        assert ran.err.startswith("smartpipe: ") and ran.err.count("\n") == 1
        assert str(tmp_path / named) in ran.err

    assert site.requests == []
    assert (tmp_path / "foreign.datz").read_bytes() == b"not a pipe at all, but somebody's file"


def test_an_output_that_somebody_else_writes(site: Site, crawl: Crawl, tmp_path: Path) -> None:
    site.html("/", "home")
    with smartpipe.open(tmp_path / "pages", "a", compress=True) as pipe:
        pipe.write(b"mine", {b"a": b"b"})
        ran = crawl(site.url, "-o", "pages")
        pipe.write(b"also mine", {b"a": b"b"})

    assert (ran.code, ran.out) == (1, "")
    assert ran.err.startswith(f"smartpipe: {tmp_path / 'pages'}") and ran.err.count("\n") == 1
    assert list(blocks(tmp_path / "pages")) == ["mine", "also mine"]
    assert site.requests == []


def test_a_disk_that_is_full(site: Site, start: Callable[..., Process], tmp_path: Path) -> None:
    site.html("/", "".join(f"<a href={number}>{number}</a>" for number in range(50)))
    for number in range(50):
        site.html(f"/{number}", f"page {number} " * 1000)
    script = f"""
import resource, signal, sys
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, resource.RLIM_INFINITY))
sys.argv = ["smartpipe", "crawl", "{site.url}", "-o", "pages", "--compress", "none"]
import smartpipe.cli
sys.exit(smartpipe.cli.main())
"""

    ran = start("-c", script).wait()

    assert (ran.code, ran.out) == (1, "")
    assert ran.err.startswith(f"smartpipe: {tmp_path / 'pages.dat'}") and ran.err.count("\n") == 1
    assert len(site.asked()) < 50
    read = blocks(tmp_path / "pages")
    assert len(read) > 5
    for key, block in read.items():
        assert block["raw"] == site.body(key.removeprefix(site.url))

    assert start("-m", "smartpipe", "crawl", site.url, "-o", "pages").wait().code == 0
    assert len(blocks(tmp_path / "pages")) == 51


def test_crawl_as_a_function(site: Site, start: Callable[..., Process], tmp_path: Path) -> None:
    home = site.html("/", "<a href=a>a</a><a href=b>b</a>")
    site.html("/a", "a")
    script = f"""
from smartpipe.integrations.scrapy import crawl

for wrong in (dict(max_pages=0), dict(concurrency=0), dict(delay=-1), dict(delay=float("nan"))):
    try:
        crawl("{site.url}", "pages", **wrong)
    except ValueError as error:
        print(error)
seen = []
counts = crawl("{site.url}", "pages", delay=0, progress=lambda counts: seen.append((counts.pages, counts.failures)))
print(counts.pages, counts.failures, counts.bytes, counts.before, counts.left, counts.signal, counts.problem)
print(sorted(seen) == seen, len(seen), seen[-1])
try:
    crawl("{site.url}", "pages")
except RuntimeError as error:
    print("RuntimeError:", error)
"""

    ran = start("-c", script).wait()

    assert (ran.code, ran.err) == (0, "")
    assert ran.out.splitlines() == [
        "max_pages is 0: expected 1 or more",
        "concurrency is 0: expected 1 or more",
        "delay is -1: expected 0 or more seconds",
        "delay is nan: expected 0 or more seconds",
        f"2 1 {len(home) + 1 + len(b'<p>nothing</p>')} 0 0 None None",
        "True 3 (2, 1)",
        "RuntimeError: crawl() ran in this process before: Scrapy's reactor starts once, use another process",
    ]
    assert len(blocks(tmp_path / "pages")) == 3


def test_without_scrapy(start: Callable[..., Process], tmp_path: Path) -> None:
    script = """
import sys
sys.modules["scrapy"] = None
sys.argv = ["smartpipe", "crawl", "http://127.0.0.1:9/", "-o", "pages"]
import smartpipe.cli
sys.exit(smartpipe.cli.main())
"""

    ran = start("-c", script).wait()

    assert (ran.code, ran.out) == (1, "")
    assert ran.err == "smartpipe: smartpipe.integrations.scrapy needs Scrapy: pip install 'smartpipe[scrapy]'\n"
