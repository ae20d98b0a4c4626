"""A real S3 server on loopback, and a road to it that a test can break at a chosen moment."""

import http.client
import importlib.util
import os
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

BUCKET = "bucket"
MISSING = [name for name in ("obstore", "moto", "flask") if importlib.util.find_spec(name) is None]
needs_server = pytest.mark.skipif(bool(MISSING), reason=f"not installed: {', '.join(MISSING)}")
_PROGRAM = """
import logging, sys, threading
from moto.server import ThreadedMotoServer
logging.getLogger("werkzeug").setLevel("ERROR")
server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
server.start()
print(*server.get_host_and_port(), flush=True)
sys.stdin.read()
"""

Answer = Callable[[str, str, dict[str, str]], int | None]
"""From verb, path and headers, which it may change, to the status to refuse with; None lets the request pass."""


class Server:
    """The server, by the road that leads to it."""

    def __init__(self, host: str, port: int) -> None:
        self.host, self.port = host, port
        self.answer: Answer = lambda verb, path, headers: None
        self.requests: list[tuple[str, str]] = []
        """Verb and path of each request since `clear`."""
        self._one_write = threading.Lock()
        """The server looks at a condition and writes in two steps; a real one does both at once."""
        self._road = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._road.daemon_threads = True
        threading.Thread(target=self._road.serve_forever, daemon=True).start()

    @property
    def environment(self) -> dict[str, str]:
        """What a client needs to know."""
        return {
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{self._road.server_port}",
            "AWS_ACCESS_KEY_ID": "who",
            "AWS_SECRET_ACCESS_KEY": "do-not-print-me",
            "AWS_REGION": "us-east-1",
        }

    def clear(self) -> None:
        """An empty bucket, and a road without obstacles."""
        self.answer = lambda verb, path, headers: None
        for verb, path in (("POST", "/moto-api/reset"), ("PUT", f"/{BUCKET}")):
            url = f"http://{self.host}:{self.port}{path}"
            urllib.request.urlopen(urllib.request.Request(url, method=verb), timeout=30).close()
        self.requests.clear()

    def close(self) -> None:
        """Leave no thread."""
        self._road.shutdown()
        self._road.server_close()

    def _handler(server) -> type[BaseHTTPRequestHandler]:
        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def relay(self) -> None:
                content = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                headers = dict(self.headers.items())
                server.requests.append((self.command, self.path))
                status = server.answer(self.command, self.path, headers)
                if status is not None:
                    body = b"<Error><Code>AccessDenied</Code></Error>"
                    self.reply(status, {"Content-Length": str(len(body))}, body)
                    return
                road = http.client.HTTPConnection(server.host, server.port, timeout=60)
                with server._one_write if self.command == "PUT" else nullcontext():
                    road.request(self.command, self.path, content, headers)
                    found = road.getresponse()
                    body = found.read()
                kept = {name: value for name, value in found.getheaders() if name.lower() not in _HOPS}
                if self.command != "HEAD":
                    kept["Content-Length"] = str(len(body))
                self.reply(found.status, kept, body)
                road.close()

            def reply(self, status: int, headers: dict[str, str], body: bytes) -> None:
                self.send_response_only(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(b"" if self.command == "HEAD" else body)

            do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = relay

            def log_message(self, format: str, *args: object) -> None:
                pass

        return Handler


_HOPS = ("connection", "transfer-encoding", "date", "server")


@contextmanager
def served() -> Iterator[Server]:
    """A server in a process of its own, for as long as it is needed."""
    with subprocess.Popen(
        [sys.executable, "-c", _PROGRAM],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONWARNINGS": "ignore"},
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        host, port = process.stdout.readline().split()
        server = Server(host, int(port))
        try:
            yield server
        finally:
            server.close()
            process.stdin.close()
            process.terminate()
            process.wait()


def refuse_writes(verb: str, path: str, headers: dict[str, str]) -> int | None:
    """As the policy of a bucket that may only be read."""
    return 403 if verb in ("PUT", "DELETE", "POST") else None


def drop_conditions(verb: str, path: str, headers: dict[str, str]) -> None:
    """As servers that take the conditions of a write and ignore them."""
    for name in [name for name in headers if name.lower() in ("if-none-match", "if-match")]:
        del headers[name]
