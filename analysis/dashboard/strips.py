"""Strips: what a trial's model makes of held-out items, made when somebody asks for it.

The family says by which command (`trainables.command_line.Strip`). It runs in a process of its own, one at a time, on
one thread and after everything else that wants the processor, so that neither trials nor pages wait for it. What it
writes goes to a folder that is removed, and its pictures are kept in memory: a results folder is only read.
"""

import os
import signal
import subprocess
import tempfile
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

MAX_SECONDS = 600.0
"""A command that takes longer is ended."""
MAX_WAITING = 8
KEPT = 32
MAX_PICTURES = 8
MAX_BYTES = 4_000_000
"""Strips that may wait and that are kept, pictures of one, and bytes of a picture."""
POLL_SECONDS = 0.2
LINES_OF_PROBLEM = 12
LOWEST_PRIORITY = 19


@dataclass(frozen=True)
class Offer:
    """What a family can show of a trained model."""

    label: str
    """On the button, such as `edit two held-out images`."""
    command: Callable[[Path, Path], Sequence[str]]
    """From a model's file and an empty folder to a program and its arguments, which leaves PNGs in that folder."""


class Asked(NamedTuple):
    """A model as it was when somebody asked for its strip; one that is trained again is another."""

    path: Path
    changed: int
    """In nanoseconds."""


@dataclass
class Strip:
    """How far a strip is."""

    offer: Offer
    state: Literal["waiting", "running", "done", "failed"] = "waiting"
    problem: str = ""
    pictures: tuple[tuple[str, bytes], ...] = ()
    """Name and PNG of each."""


class Strips:
    """The strips that were asked for. Any thread may ask; one calls `step`."""

    def __init__(self) -> None:
        self._strips: OrderedDict[Asked, Strip] = OrderedDict()
        self._lock = threading.Lock()
        self._is_closed = False

    def ask(self, model: Path, offer: Offer) -> dict[str, Any]:
        """How far the strip of a model is, for a page's script; asked for the first time, it begins to wait."""
        with self._lock:
            asked = _asked(model)
            waiting = [one for one, strip in self._strips.items() if strip.state == "waiting"]
            if asked not in self._strips:
                if len(waiting) >= MAX_WAITING:
                    problem = f"{MAX_WAITING} others wait already; ask again later"
                    return {"state": "failed", "problem": problem, "num_before": 0, "pictures": []}
                self._strips[asked] = Strip(offer)
                waiting.append(asked)
            strip = self._strips[asked]
            return {
                "state": strip.state,
                "problem": strip.problem,
                "num_before": waiting.index(asked) if asked in waiting else 0,
                "pictures": [name for name, _ in strip.pictures],
            }

    def forget(self, model: Path) -> None:
        """Let a strip that failed be asked for again."""
        with self._lock:
            asked = _asked(model)
            if asked in self._strips and self._strips[asked].state == "failed":
                del self._strips[asked]

    def picture(self, model: Path, number: int) -> bytes | None:
        """One picture of a strip that is done."""
        strip = self._strips.get(_asked(model))
        return strip.pictures[number][1] if strip is not None and number < len(strip.pictures) else None

    def step(self) -> bool:
        """Make the strip that has waited longest. False where none waits."""
        with self._lock:
            waiting = [one for one, strip in self._strips.items() if strip.state == "waiting"]
            if not waiting or self._is_closed:
                return False
            asked, strip = waiting[0], self._strips[waiting[0]]
            strip.state = "running"
        pictures, problem = self._made(asked.path, strip.offer)
        with self._lock:
            strip.pictures, strip.problem = pictures, problem
            strip.state = "failed" if problem else "done"
            ended = [one for one, other in self._strips.items() if other.state in ("done", "failed")]
            for one in ended[: max(0, len(ended) - KEPT)]:
                del self._strips[one]
        return True

    def close(self) -> None:
        """End the command at work, and begin no other."""
        self._is_closed = True

    def _made(self, model: Path, offer: Offer) -> tuple[tuple[tuple[str, bytes], ...], str]:
        """The pictures of a strip, and why there are none."""
        with tempfile.TemporaryDirectory(prefix="asyrp-sweep-strip-", ignore_cleanup_errors=True) as folder:
            out, log = Path(folder, "out"), Path(folder, "log")
            out.mkdir()
            try:
                problem = self._run(list(offer.command(model, out)), Path(folder), log)
            except OSError as error:
                return (), f"the command could not be started: {error}"
            found = sorted(out.glob("*.png"))[:MAX_PICTURES]
            pictures = [(path.stem, path.read_bytes()) for path in found if path.stat().st_size <= MAX_BYTES]
            if not problem and not pictures:
                problem = "the command left no picture"
            return tuple(pictures), f"{problem}\n{_end(log)}".strip() if problem else ""

    def _run(self, command: list[str], folder: Path, log: Path) -> str:
        """Run a command to its end; why it did not end well, or nothing."""
        single = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
        with (
            log.open("wb") as written,
            subprocess.Popen(
                command,
                cwd=folder,
                env={**os.environ, **single},
                stdin=subprocess.DEVNULL,
                stdout=written,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            ) as process,
        ):
            os.setpriority(os.PRIO_PROCESS, process.pid, LOWEST_PRIORITY)
            end = time.monotonic() + MAX_SECONDS
            while process.poll() is None and time.monotonic() < end and not self._is_closed:
                time.sleep(POLL_SECONDS)
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                return f"it took more than {MAX_SECONDS:.0f} s and was ended"
            return f"the command ended with exit code {process.returncode}" if process.returncode else ""


def _asked(model: Path) -> Asked:
    return Asked(model, model.stat().st_mtime_ns)


def _end(log: Path) -> str:
    return "\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-LINES_OF_PROBLEM:])
