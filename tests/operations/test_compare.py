import pytest

import smartpipe
from smartpipe.operations.compare import Difference


@pytest.mark.parametrize("options", [{}, {"compress": True}, {"format": 1}, {"format": 1, "compress": True}])
def test_equal_content_in_any_form_does_not_differ(options, planted, pages):
    assert list(smartpipe.diff(planted("a", pages), planted("b", pages, **options))) == []


def test_blocks_that_only_one_has(planted):
    first = planted("a", [(b"x", [(b"k", b"123")]), (b"both", [])])
    second = planted("b", [(b"both", []), (b"y", [])])
    assert list(smartpipe.diff(first, second)) == [
        Difference("removed", b"x", None, 8 + 1 + 3, None),
        Difference("added", b"y", None, None, 0),
    ]


def test_pairs_that_differ(planted):
    first = planted("a", [(b"x", [(b"same", b"1"), (b"gone", b"22"), (b"other", b"333")])])
    second = planted("b", [(b"x", [(b"same", b"1"), (b"other", b"4444"), (b"new", b"")])])
    assert list(smartpipe.diff(first, second)) == [
        Difference("removed", b"x", b"gone", 2, None),
        Difference("changed", b"x", b"other", 3, 4),
        Difference("added", b"x", b"new", None, 0),
    ]


def test_values_of_equal_length_are_compared(planted):
    first = planted("a", [(b"x", [(b"k", b"a" * 9000)])], compress=True)
    second = planted("b", [(b"x", [(b"k", b"a" * 8999 + b"b")])], compress=True)
    assert list(smartpipe.diff(first, second)) == [Difference("changed", b"x", b"k", 9000, 9000)]


def test_pairs_with_one_key_are_matched_by_their_turn(planted):
    first = planted("a", [(b"x", [(b"k", b"1"), (b"k", b"2"), (b"k", b"3")])])
    second = planted("b", [(b"x", [(b"k", b"1"), (b"k", b"02")])])
    assert list(smartpipe.diff(first, second)) == [
        Difference("changed", b"x", b"k", 1, 2),
        Difference("removed", b"x", b"k", 1, None),
    ]


def test_order_of_pairs_and_of_blocks(planted):
    first = planted("a", [(b"1", []), (b"x", [(b"k", b""), (b"l", b"")]), (b"3", [])])
    second = planted("b", [(b"only here", []), (b"1", []), (b"3", []), (b"x", [(b"l", b""), (b"k", b"")])])
    assert list(smartpipe.diff(first, second)) == [
        Difference("moved", b"x", b"k", None, None),
        Difference("added", b"only here", None, None, 0),
        Difference("moved", b"x", None, None, None),
    ]


def test_an_absent_block_is_no_order(planted):
    first = planted("a", [(b"1", []), (b"2", []), (b"3", [])])
    second = planted("b", [(b"1", []), (b"3", [])])
    assert [difference.kind for difference in smartpipe.diff(first, second)] == ["removed"]


def test_no_such_pipe(planted, pages, tmp_path):
    with pytest.raises(smartpipe.PipeNotFoundError, match="nowhere"):
        list(smartpipe.diff(planted("a", pages), tmp_path / "nowhere"))


def test_progress_counts_the_blocks_of_both(planted):
    first, second = planted("a", [(b"1", []), (b"2", [])]), planted("b", [(b"2", [])])
    calls = []
    list(smartpipe.diff(first, second, progress=lambda done, total: calls.append((done, total))))
    assert calls == [(1, 3), (2, 3), (3, 3)]
