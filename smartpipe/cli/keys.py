r"""Keys and other bytes on a line of text: shown so that they can be typed again.

Printable UTF-8 is shown as it is, but a backslash as `\\`; every other byte as `\xNN`. So a line end, a terminal's
control sequence or half a character never reaches the screen as such. What is typed with `hex:` in front are the
digits of all bytes; a key that itself begins so is shown as `\x68ex:...`, and the empty key as `hex:`.
"""

from __future__ import annotations

import os
import re

_ESCAPE = re.compile(rb"\\(x[0-9a-fA-F]{2}|\\)?")


def show(key: bytes) -> str:
    r"""The text of a key.

    >>> print(show(b"https://a"), show("caf\u00e9".encode()), show(b"\x00\xff"), show(b"a\\b"), show(b"hex:"))
    https://a café \x00\xff a\\b \x68ex:
    """
    if not key:
        return "hex:"
    # Bytes that are no UTF-8 become surrogates, which are not printable either.
    text = show_text(key.decode("utf-8", "surrogateescape").replace("\\", "\\\\"))
    return "\\x68" + text[1:] if text.startswith("hex:") else text


def show_text(text: str) -> str:
    """A text on one line: what is not printable becomes the escapes of its bytes."""
    if text.isprintable():
        return text
    try:
        # Where the locale is not UTF-8, a path with other characters is all surrogates.
        text = text.encode("utf-8", "surrogateescape").decode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        pass
    return "".join(character if character.isprintable() else _escaped(character) for character in text)


def _escaped(character: str) -> str:
    try:
        return "".join(f"\\x{byte:02x}" for byte in character.encode("utf-8", "surrogateescape"))
    except UnicodeEncodeError:
        return f"\\u{ord(character):04x}"


def parse(text: str) -> bytes:
    r"""The key of a text, as `show` makes it or somebody typed it. ValueError says what is wrong with it.

    >>> parse("https://a"), parse(r"\x00\xff"), parse(r"a\\b"), parse("hex:00ff")
    (b'https://a', b'\x00\xff', b'a\\b', b'\x00\xff')
    """
    if text.startswith("hex:"):
        try:
            return bytes.fromhex(text[4:])
        except ValueError:
            raise ValueError(f"behind hex: come pairs of hexadecimal digits, not {text[4:]!r}") from None
    # The system's own decoding of arguments is undone, so that a name that is no UTF-8 is taken byte for byte.
    return _ESCAPE.sub(_typed, os.fsencode(text))


def _typed(match: re.Match[bytes]) -> bytes:
    code = match[1]
    if code is None:
        raise ValueError(r"a backslash is typed \\, any byte \xNN with two hexadecimal digits")
    return b"\\" if code == b"\\" else bytes.fromhex(code[1:].decode())
