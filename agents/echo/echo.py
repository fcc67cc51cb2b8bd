"""Echoes requests that carry the right token, and counts its answers in its data directory."""

import argparse
import hmac
import os
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

MOST = 1 << 20


class Echo(BaseHTTPRequestHandler):
    """`GET /health`, `GET /count`, and `POST /` with the header `X-Token`."""

    def answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self) -> None:
        if self.path == "/health":
            self.answer(200, b"well\n")
        elif self.path == "/count":
            self.answer(200, f"{count()}\n".encode())
        else:
            self.answer(404, b"not found\n")

    def do_POST(self) -> None:
        token = os.environ.get("ECHO_TOKEN", "").encode()
        given = self.headers.get("X-Token", "").encode()
        length = int(self.headers.get("Content-Length", 0))
        if not token or not hmac.compare_digest(token, given):
            self.answer(401, b"invalid token\n")
        elif not 0 <= length <= MOST:
            self.answer(413, b"too much\n")
        else:
            body = self.rfile.read(length)
            new = COUNT.with_suffix(".new")
            new.write_text(f"{count() + 1}\n")
            new.replace(COUNT)
            self.answer(200, body)


def count() -> int:
    return int(COUNT.read_text()) if COUNT.exists() else 0


parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--port", type=int, required=True)
parser.add_argument("--data", type=Path, required=True)
arguments = parser.parse_args()
COUNT = arguments.data / "count"
ThreadingHTTPServer(("0.0.0.0", arguments.port), Echo).serve_forever()
