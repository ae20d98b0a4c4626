"""The command `dashboard`: every study of a results folder in a browser, live."""

import argparse
import importlib.util
import os
import signal
import sys
import threading
import time
import webbrowser
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

from rich.console import Console

from orchestrator.ledger import Ledger
from orchestrator.ledger.copies import copy_at, following
from orchestrator.views.live import GLYPHS, say
from orchestrator.views.running_file import Launch, RunningFile
from orchestrator.views.status import as_json, view
from trainables.command_line import command_lines
from trainables.errors import UserError

if TYPE_CHECKING:
    from analysis.dashboard.strips import Offer

NICENESS = 5
"""So much the dashboard gives way to trials on the same machine."""
PACKAGES = ("starlette", "uvicorn")


class Source:
    """What the dashboard is told of a study: the same as `status` and `explain` tell, and what its family can show."""

    def __init__(self) -> None:
        self._lines = command_lines()
        self.glyphs: Mapping[str, str] = {state: glyph for state, (glyph, _, _) in GLYPHS.items()}
        self._heartbeats: defaultdict[Path, Heartbeat] = defaultdict(Heartbeat)

    def standing(self, folder: Path, ledger: Ledger) -> dict[str, Any]:
        """What `status --json` tells."""
        return as_json(view(folder, ledger, lambda of: self._heartbeats[of].launch(of)))

    def offer(self, family: str) -> "Offer | None":
        """What a family can show of a trained model; None where it has nothing, or is in a file of its own."""
        from analysis.dashboard.strips import Offer

        line = self._lines.get(family)
        strip = None if line is None else line.strip
        if strip is None:
            return None
        words = strip.words
        return Offer(
            strip.label, lambda model, out: [sys.executable, "-m", "orchestrator.cli", *words(model, out)]
        )


class Heartbeat:
    """Whether a launch is alive, from looks at its file that never wait: one whose file moves between them is."""

    def __init__(self) -> None:
        self._beat_at: float | None = None
        self._seen_at = 0.0
        self._has_moved = False

    def launch(self, folder: Path) -> Launch | None:
        """The launch of a study, as it is now."""
        found = RunningFile(folder).read(now=time.time, wait=lambda seconds: None)
        if found is None:
            self._beat_at = None
            return None
        if found.beat_at != self._beat_at:
            self._has_moved = self._beat_at is not None
            self._beat_at, self._seen_at = found.beat_at, time.monotonic()
        if found.is_alive or not self._has_moved:
            return found
        # Its clock differs from ours: then what counts is how long ago we saw it move.
        now = found.beat_at + time.monotonic() - self._seen_at
        return RunningFile(folder).read(now=lambda: now, wait=lambda seconds: None)


def dashboard_command(options: argparse.Namespace, console: Console, command_line: str) -> int:
    """Serve until Ctrl-C or SIGTERM."""
    if missing := [name for name in PACKAGES if importlib.util.find_spec(name) is None]:
        raise UserError(
            f"asyrp-sweep dashboard needs {' and '.join(missing)}, which the extra `dashboard` brings: "
            "pip install 'asyrp-sweep[dashboard]'"
        )
    from analysis.dashboard.serving import Options, Serving

    asked = Options(options.results, options.host, options.port, tuple(options.allow_host), options.token)
    serving = Serving(asked, Source())
    say(console, f"Dashboard of {options.results.absolute()}: {serving.address}")
    say(console, "It only reads. Ctrl-C ends it.")
    os.nice(NICENESS)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _leave)
    if options.open:
        threading.Thread(target=webbrowser.open, args=(serving.address,), daemon=True).start()
    with following(copy_at(options.results)):
        serving.run()
    return 0


def _leave(number: int, frame: FrameType | None) -> None:
    raise SystemExit(128 + number)
