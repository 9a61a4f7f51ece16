import doctest
import os
import subprocess

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from smartpipe.cli import keys
from smartpipe.cli.keys import parse, show, show_text

text_like = st.text(max_size=8).map(lambda text: text.encode("utf-8", "replace"))


@given(
    st.binary(max_size=12)
    | text_like
    | st.lists(st.sampled_from([b"\\", b"x", b"hex:", b"00", b"\n", b"\xc3", b"\xa9"])).map(b"".join)
)
@example(b"")
@example(b"hex:00")
@example(b"\\x00")
@example(b"\\\\x00")
@example(bytes(range(256)))
@example("\u2028\u202e\x85\ufeff\ud7ff\U0001f600".encode())
def test_what_is_shown_can_be_typed(key):
    shown = show(key)
    assert parse(shown) == key
    assert shown.isprintable()
    assert shown


@given(st.binary(max_size=12), st.binary(max_size=12))
def test_different_keys_are_shown_differently(one, other):
    assert (show(one) == show(other)) == (one == other)


@given(st.binary(max_size=12))
def test_hex_digits_are_any_key(key):
    assert parse("hex:" + key.hex()) == key
    assert parse("hex:" + key.hex().upper()) == key


@pytest.mark.parametrize(
    "key, text",
    [
        (b"https://example.org/?q=1&r=%20", "https://example.org/?q=1&r=%20"),
        ("na\u00efve \u4e2d".encode(), "na\u00efve \u4e2d"),
        (b"\x00\x7f\x80\xff", r"\x00\x7f\x80\xff"),
        (b"a\nb\tc\r", r"a\x0ab\x09c\x0d"),
        (b"\x1b[31m", r"\x1b[31m"),
        ("\u202e".encode(), r"\xe2\x80\xae"),
        (b"half \xc3", r"half \xc3"),
        (b"C:\\dir", r"C:\\dir"),
        (b"hex:00", r"\x68ex:00"),
        (b"", "hex:"),
    ],
)
def test_how_keys_are_shown(key, text):
    assert show(key) == text


@pytest.mark.parametrize(
    "text, key",
    [("", b""), (r"\x41\X41"[:4], b"A"), (r"\xAb", b"\xab"), (r"\\x41", b"\\x41"), ("hex: 00 ff", b"\x00\xff")],
)
def test_what_can_be_typed(text, key):
    assert parse(text) == key


@pytest.mark.parametrize(
    "text", ["\\", r"\x", r"\x4", r"\xg0", r"\n", r"\X41", r"a\\\b", "hex:0", "hex:zz", "hex:caf\u00e9"]
)
def test_what_can_not(text):
    with pytest.raises(ValueError, match="hexadecimal digits"):
        parse(text)


def test_an_argument_that_is_no_utf_8_is_taken_byte_for_byte():
    assert parse(os.fsdecode(b"\xff\xc3")) == b"\xff\xc3"


def test_messages_stay_on_one_line():
    assert show_text("a\nb\x1b[2J \\ \udcff \ud800") == r"a\x0ab\x1b[2J \ \xff \ud800"


def test_the_shell_s_printf_makes_the_same_of_it():
    key = b"\x01\xfe'\\"
    assert subprocess.check_output(["bash", "-c", 'printf %b "$1"', "bash", show(key)]) == key


def test_the_examples():
    assert doctest.testmod(keys).failed == 0
