"""A dashboard that serves on a port of this machine."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from dashboard_client import Client, Serve

from analysis.dashboard.serving import Options, Serving
from orchestrator.cli.dashboard import Source


@pytest.fixture(scope="module")
def serve() -> Iterator[Serve]:
    """Start a dashboard of a results folder; it ends with the tests of the file."""
    running: list[tuple[Serving, threading.Thread]] = []

    def start(results: Path, source: Source | None = None, **options: Any) -> Client:
        serving = Serving(Options(results, **options), source or Source())
        thread = threading.Thread(target=serving.run)
        thread.start()
        running.append((serving, thread))
        client = Client(serving.port)
        while True:
            try:
                client.get("/static/page.css")
                return client
            except ConnectionError:
                time.sleep(0.02)

    yield start
    for serving, _ in running:
        serving.stop()
    for _, thread in running:
        thread.join()
