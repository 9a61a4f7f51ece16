"""The head of a response: its status line and headers, as one value of bytes."""

from __future__ import annotations

from http.client import responses

from scrapy.http import Headers, Response

# Scrapy names HTTP/2 as it is negotiated; everything else as it stands in a status line.
_NAMES = {"h2": "HTTP/2"}
_PROTOCOLS = {name: protocol for protocol, name in _NAMES.items()}


def response_head(response: Response) -> bytes:
    r"""Return `HTTP/1.1 200 OK\r\nName: value\r\n...`, with a line for each value of a header.

    Scrapy keeps neither the reason that the server sent nor the case of the names: here they are the usual ones of
    the code, and `Like-This`. The values are those of the response, byte for byte.
    """
    protocol = response.protocol or "HTTP/1.1"
    lines = [f"{_NAMES.get(protocol, protocol)} {response.status} {responses.get(response.status, '')}".encode("ascii")]
    for name in response.headers:
        lines += [b"%s: %s" % (name, value) for value in response.headers.getlist(name)]
    return b"".join(line + b"\r\n" for line in lines)


def parse_head(head: bytes) -> tuple[str, int, Headers]:
    """Return protocol, status and headers of what `response_head` made."""
    status_line, *lines = head.split(b"\r\n")[:-1]
    name, status, _reason = status_line.decode("ascii").split(" ", 2)
    headers = Headers()
    for line in lines:
        field, _, value = line.partition(b": ")
        headers.appendlist(field, value)
    return _PROTOCOLS.get(name, name), int(status), headers
