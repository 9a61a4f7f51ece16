import re

import pytest

import smartpipe


@pytest.fixture
def logs(planted):
    return planted(
        "logs",
        [
            (b"a", [(b"log", b"get\nerror 500\nget\nerror 404 error 405"), (b"raw", b"error 1")]),
            (b"b", [(b"log", b"")]),
            (b"\x00", [(b"log", b"\xff\xfe error 7\r\n")]),
        ],
        compress=True,
    )


def found(*arguments, **options):
    return [
        (match.block, match.pair, match.start, match.text, match.line)
        for match in smartpipe.grep(*arguments, **options)
    ]


def test_one_match_a_line_over_all_values(logs):
    assert found(r"error \d+", logs) == [
        (b"a", b"log", 4, b"error 500", b"error 500"),
        (b"a", b"log", 18, b"error 404", b"error 404 error 405"),
        (b"a", b"raw", 0, b"error 1", b"error 1"),
        (b"\x00", b"log", 3, b"error 7", b"\xff\xfe error 7\r"),
    ]


def test_only_one_pair_key(logs):
    assert [match[:2] for match in found(b"error", logs, key=b"raw")] == [(b"a", b"raw")]
    assert found(b"error", logs, key=b"nothing") == []


def test_the_ends_of_a_line(logs):
    assert [match[2] for match in found("^get$", logs)] == [0, 14]
    assert [(match[0], match[4]) for match in found("^$", logs)] == [(b"b", b"")]


def test_a_match_over_lines_shows_them_once(logs):
    assert found(r"get\nerror", logs) == [
        (b"a", b"log", 0, b"get\nerror", b"get\nerror 500"),
        (b"a", b"log", 14, b"get\nerror", b"get\nerror 404 error 405"),
    ]


def test_where_the_line_begins(logs):
    assert [match.line_start for match in smartpipe.grep("40[45]", logs)] == [18]


@pytest.mark.parametrize("value", [b"", b"\n", b"a", b"a\n", b"\na", b"a\n\nb", b"a\nb\n\n", b"\n\n\n"])
def test_a_pattern_that_matches_everywhere_finds_each_line_once(value, planted):
    pipe = planted("lines", [(b"k", [(b"v", value)])])
    lines = value.removesuffix(b"\n").split(b"\n")
    for pattern in ("", "$", "(?s).??", "x*"):
        assert [match[4] for match in found(pattern, pipe)] == lines


def test_text_is_searched_as_utf_8(planted):
    pipe = planted("words", [(b"k", [(b"v", "caf\u00e9".encode())])])
    assert found("f\u00e9", pipe) == [(b"k", b"v", 2, b"f\xc3\xa9", b"caf\xc3\xa9")]


def test_bad_patterns(logs):
    with pytest.raises(ValueError, match=r"not a regular expression: '\(' *: *missing"):
        smartpipe.grep("(", logs)
    with pytest.raises(TypeError, match="bytes"):
        smartpipe.grep(re.compile("a"), logs)
    assert len(found(re.compile(b"ERROR", re.IGNORECASE), logs, key=b"raw")) == 1


def test_no_such_pipe(tmp_path):
    with pytest.raises(smartpipe.PipeNotFoundError, match="nowhere"):
        list(smartpipe.grep("a", tmp_path / "nowhere"))
