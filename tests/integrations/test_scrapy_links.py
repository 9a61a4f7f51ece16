"""The one form of a URL, and what is found on a page."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scrapy import Request
from scrapy.http import HtmlResponse

from smartpipe.integrations.scrapy.links import page_url, read_page, site


@pytest.mark.parametrize(
    ("url", "form"),
    [
        ("http://a", "http://a/"),
        ("http://a?b=c", "http://a/?b=c"),
        ("HTTPS://A.Example:443/X#y", "https://a.example/X"),
        ("http://a:443/", "http://a:443/"),
        ("http://a:8000/b c", "http://a:8000/b%20c"),
        ("http://b\u00fccher.example/\u00fc?\u00fc", "http://xn--bcher-kva.example/%C3%BC?%C3%BC"),
        ("http://[::1]:80/", "http://[::1]/"),
        ("http://a/?", "http://a/"),
        ("ftp://a/", None),
        ("mailto:a@b", None),
        ("http:///path", None),
        ("http://a:99999/", None),
        ("http://[x/", None),
        ("//a/b", None),
        ("a", None),
        ("", None),
    ],
)
def test_the_one_form_of_a_url(url: str, form: str | None) -> None:
    assert page_url(url) == form


parts = st.text(st.characters(codec="utf-8"), max_size=10) | st.sampled_from(
    ["%41", "%zz", "a b", "..", "%", "%2F", "é"]
)


@given(host=st.sampled_from(["a", "A.b:80", "[::1]:1", "bücher.de"]) | parts, path=parts, query=parts)
def test_scrapy_asks_for_the_url_in_this_form(host: str, path: str, query: str) -> None:
    url = page_url(f"http://{host}/{path}?{query}#x")
    if url is not None:
        assert page_url(url) == url
        assert Request(url).url == url


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("http://a/x", "http://a:80/y?z", True),
        ("http://a/", "https://a/", True),
        ("http://a/", "http://A/", True),
        ("http://a/", "http://b/", False),
        ("http://a/", "http://www.a/", False),
        ("http://a:8000/", "http://a:8001/", False),
        ("http://a:8000/", "http://a/", False),
    ],
)
def test_what_is_one_site(one: str, other: str, same: bool) -> None:
    assert (site(one) == site(other)) is same


def page(text: str) -> HtmlResponse:
    return HtmlResponse("http://a/b/c", body=text.encode("utf-8"), encoding="utf-8")


def test_where_a_page_leads() -> None:
    response = page(
        """<base href="/d/"><meta http-equiv="refresh" content="0; url=moved.html">
        <a href=" e \n">1</a> <A HREF='e#f'>2</A> <a href="?g=1&amp;h=2">3</a> <area href="//other/i">
        <iframe src="j"></iframe> <a href="">4</a> <a href="#">5</a> <a>6</a> <a href="tel:1">7</a>
        <img src="no.png"> <link href="no.css"> <script src="no.js"></script>"""
    )

    assert read_page(response)[1] == [
        "http://a/d/moved.html",
        "http://a/d/e",
        "http://a/d/?g=1&h=2",
        "http://other/i",
        "http://a/d/j",
    ]


@pytest.mark.parametrize(
    "broken",
    ["<base href='http://['>", "<meta http-equiv='refresh' content='0; url=http://[x'>", "<a href='http://['>1</a>"],
)
def test_one_broken_url_does_not_hide_the_others(broken: str) -> None:
    text = f"{broken}<title>whole</title><a href='d'>2</a>"
    assert read_page(page(text)) == ("whole", ["http://a/b/d"])


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("<title>  one\n two </title><title>three</title>", "one two"),
        ("<title>a &amp; b</title>", "a & b"),
        ("<title></title>", ""),
        ("<p>none</p>", None),
        ("", None),
    ],
)
def test_the_title(text: str, found: str | None) -> None:
    assert read_page(page(text))[0] == found
