"""A web site on loopback, served by a thread of the test."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import NamedTuple

Answer = tuple[int, list[tuple[str, str]], bytes]
"""Status, headers without the length, body."""


class Asked(NamedTuple):
    path: str
    headers: dict[str, str]
    time: float


@dataclass
class Site:
    """Pages by path, served on a free port until it is stopped; it can be started again on the same port."""

    pages: dict[str, Answer | Callable[[], Answer]] = field(default_factory=dict)
    """What each path answers; what is not here is a 404."""
    requests: list[Asked] = field(default_factory=list)
    """What was asked for, in the order in which it came."""
    gate: threading.Event = field(default_factory=threading.Event)
    """Answers wait until it is set."""
    free: int = 1_000_000
    """So many answers do not wait."""
    port: int = 0

    def __post_init__(self) -> None:
        self.gate.set()
        self.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def asked(self) -> list[str]:
        """The paths of the requests, without robots.txt."""
        return [request.path for request in self.requests if request.path != "/robots.txt"]

    def html(self, path: str, body: str, status: int = 200) -> bytes:
        """Makes a page of UTF-8 and gives its bytes."""
        data = body.encode()
        self.pages[path] = (status, [("Content-Type", "text/html; charset=utf-8")], data)
        return data

    def body(self, path: str) -> bytes:
        """The bytes of a page that is always the same."""
        answer = self.pages[path]
        assert isinstance(answer, tuple)
        return answer[2]

    def start(self) -> None:
        site = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            wbufsize = -1  # one packet an answer: two wait for each other for 40 ms

            def do_GET(self) -> None:
                site.requests.append(Asked(self.path, dict(self.headers), time.monotonic()))
                if len(site.asked()) > site.free:
                    site.gate.wait(600)
                answer = site.pages.get(self.path, (404, [("Content-Type", "text/html")], b"<p>nothing</p>"))
                status, headers, body = answer() if callable(answer) else answer
                self.send_response_only(status)
                for name, value in headers:
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *arguments: object) -> None:
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *arguments: object) -> None:
                pass  # the crawl was killed while it was answered

        self._server = Server(("127.0.0.1", self.port), Handler)
        self.port = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self.gate.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
