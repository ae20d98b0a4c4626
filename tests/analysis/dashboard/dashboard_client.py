"""Asks a dashboard on this machine whatever a test wants to ask."""

import http.client
import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

SMALL: dict[str, Any] = {"epochs": 1, "batches": 2, "num_images": 1, "strengths": (1.0,)}
"""Settings of a synthetic study that is written in a moment."""


@dataclass(frozen=True)
class Answer:
    """What a server sent."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True)
class Client:
    """Asks a dashboard, with any header and any path."""

    port: int

    def get(
        self,
        path: str,
        headers: Mapping[str, str] | None = None,
        method: str = "GET",
        host: str | None = None,
    ) -> Answer:
        """The answer to one request, read to its end."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.putrequest(method, path, skip_host=True)
            if host != "":
                connection.putheader("Host", host or f"127.0.0.1:{self.port}")
            for name, value in (headers or {}).items():
                connection.putheader(name, value)
            connection.endheaders()
            found = connection.getresponse()
            return Answer(
                found.status, {name.lower(): value for name, value in found.getheaders()}, found.read()
            )
        finally:
            connection.close()

    def until(self, path: str, holds: Callable[[Any], bool], seconds: float = 60.0) -> Any:
        """The JSON at a path, once something holds of it."""
        end = time.monotonic() + seconds
        while not holds(found := self.get(path).json):
            assert time.monotonic() < end, found
            time.sleep(0.05)
        return found

    def all_read(self) -> dict[str, Any]:
        """Key -> study, once all have been read."""
        found = self.until(
            "/studies.json", lambda page: all(s["state"] != "reading" for s in page["studies"])
        )
        return {study["key"]: study for study in found["studies"]}

    @contextmanager
    def events(
        self, path: str, headers: Mapping[str, str] | None = None
    ) -> Iterator[Iterator[dict[str, str]]]:
        """The events of a stream, each as it comes."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        connection.request("GET", path, headers=dict(headers or {}))
        try:
            yield _events(connection.getresponse())
        finally:
            connection.close()


def _events(stream: http.client.HTTPResponse) -> Iterator[dict[str, str]]:
    event: dict[str, str] = {}
    while line := stream.readline():
        name, _, value = line.decode().rstrip("\n").partition(": ")
        if name:
            event[name.rstrip(":")] = value
        elif "event" in event:
            yield event
            event = {}


Serve = Callable[..., Client]
