"""A web server on this machine for tests of downloads: ranges, broken lines, errors, versions."""

from __future__ import annotations

import re
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Web:
    """What the server serves and how it misbehaves."""

    files: dict[str, bytes] = field(default_factory=dict)
    """By path."""
    address: str = ""
    ranges: bool = True
    """Whether a part of a file can be asked for."""
    break_after: int | None = None
    """Bytes after which the line breaks, in each answer until it is set to None."""
    errors: list[int] = field(default_factory=list)
    """Status codes to answer with before any file."""
    content_type: str = "video/mp4"
    etag: str = '"v1"'
    requests: list[str] = field(default_factory=list)
    """`Range` header of each request; empty where there was none."""
    sent: int = 0
    """Bytes of files sent in all."""


def _handler(web: Web) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            wanted = self.headers.get("Range", "")
            web.requests.append(wanted)
            if web.errors:
                return self.send_error(web.errors.pop(0))
            if self.path.partition("?")[0] not in web.files:
                return self.send_error(404)
            whole = web.files[self.path.partition("?")[0]]
            start = 0
            match = re.fullmatch(r"bytes=(\d+)-(\d*)", wanted)
            if match and web.ranges and self.headers.get("If-Range", web.etag) == web.etag:
                start = int(match[1])
                if start >= len(whole):
                    self.send_response(416)
                    self.send_header("Content-Range", f"bytes */{len(whole)}")
                    self.send_header("Content-Length", "0")
                    self.end_headers()
                    return None
                self.send_response(206)
                self.send_header("Content-Range", f"bytes {start}-{len(whole) - 1}/{len(whole)}")
            else:
                self.send_response(200)
            body = whole[start:]
            self.send_header("Content-Type", web.content_type)
            self.send_header("Content-Length", str(len(body)))
            self.send_header("ETag", web.etag)
            self.end_headers()
            if web.break_after is not None:
                body = body[: web.break_after]
            web.sent += len(body)
            with suppress(OSError):  # the other side may have gone
                self.wfile.write(body)
            return None

        do_HEAD = do_GET

        def log_message(self, *_: object) -> None:
            pass

    return Handler


@contextmanager
def serve() -> Iterator[Web]:
    """Run a server for a while."""
    web = Web()
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(web))
    web.address = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield web
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def closed_port() -> int:
    """A port of this machine at which nothing listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
