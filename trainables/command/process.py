"""A command as the worker sees it: started under its supervisor, waited for, stopped, and its end put into words."""

import errno
import json
import os
import re
import select
import signal
import subprocess
import sys
import time
import weakref
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from trainables.command import supervisor
from trainables.names import visible

QUOTED_LINES, LOGGED_LINES, QUOTED_BYTES = 6, 40, 8000
"""How much of the end of the output a message repeats, and the trial's log."""
_COLOUR = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
"""Codes for a terminal."""


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    exit_code: int | None
    """Negative: the signal that ended it; None where that is not known."""
    cause: str | None = None
    """`time limit` or `stopped` where it did not end by itself."""
    seconds: float = 0.0
    num_left: int = 0
    """Processes that it left running, which were stopped."""
    start_error: str | None = None
    """Why it could not be started."""


@dataclass(frozen=True)
class Launch:
    """What to start, and how."""

    command: Sequence[str]
    """Program and arguments; with `shell`, one text."""
    working_folder: Path
    environment: Mapping[str, str]
    """Added to the worker's own."""
    log: Path
    """Where the output goes, bounded in size."""
    shell: bool = False
    time_limit_seconds: float | None = None
    seconds_before: float = 0.0
    """Seconds of the time limit that are used up already."""
    grace_seconds: float = 10.0
    """Between SIGTERM and SIGKILL."""
    lock: int | None = None
    """A descriptor that stays open as long as anything of the command may run."""


class Running:
    """A command that has been started. It is stopped, with everything it has started, when this object goes."""

    def __init__(self, launch: Launch) -> None:
        self._launch = launch
        limit = launch.time_limit_seconds
        spec = {
            "command": list(launch.command),
            "shell": launch.shell,
            "working_folder": str(launch.working_folder),
            "log": str(launch.log),
            "time_limit_seconds": None if limit is None else max(limit - launch.seconds_before, 0.0),
            "grace_seconds": launch.grace_seconds,
        }
        self._began = time.monotonic()
        # Isolated (-I) and without site packages (-S): it needs none, and starts in half the time.
        process = subprocess.Popen(
            [sys.executable, "-I", "-S", supervisor.__file__, json.dumps(spec)],
            env={**surroundings(), **launch.environment},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            pass_fds=() if launch.lock is None else (launch.lock,),
        )
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        self._link = _Link(process.stdin, process.stdout, process.stderr, launch.grace_seconds)
        self.stop = weakref.finalize(self, self._link.stop)
        """Stop everything of the command; without effect once it has ended."""
        process.wait()  # The supervisor has forked and goes on by itself.

    def wait(self, seconds: float) -> Ended | None:
        """How the command ended, or None where it is still running after this time."""
        if not self._link.listen(seconds):
            return None
        said = self._link.said
        if "seconds" not in said:
            # The supervisor was killed: on Linux the command has died with it; elsewhere its group is left.
            self._link.kill()
            why = self._link.last_words or "it was killed"
            return Ended(
                None,
                seconds=time.monotonic() - self._began,
                start_error=f"the process that watches over it ended early: {why}",
            )
        error = self._start_error(said) if "start_error" in said else None
        return Ended(said.get("exit_code"), said["cause"], said["seconds"], said["num_left"], error)

    def _start_error(self, report: Mapping[str, Any]) -> str:
        """Why the program did not start, and what to do."""
        program, folder = self._launch.command[0], self._launch.working_folder
        number, of = report["errno"], report["of"]
        if of == str(folder) and not folder.is_dir():
            return f"the working folder {folder} does not exist"
        path = folder / program
        if number == errno.ENOENT and path.is_file():
            return f"{program}: the interpreter that its first line names does not exist"
        if number == errno.ENOENT:
            hint = "; {python} is the Python that runs asyrp-sweep" if program.startswith("python") else ""
            where = f"in {folder}" if os.sep in program else "on the PATH"
            return f"{program} cannot be found {where}{hint}"
        if number == errno.EACCES:
            return f"{program} is not executable; run chmod +x on it, or name its interpreter before it"
        if number == errno.ENOEXEC:
            return f"{program} is no program; name its interpreter before it, or begin it with a line like #!/bin/sh"
        return str(report["start_error"])


def surroundings() -> dict[str, str]:
    """The environment that a command inherits: the worker's, without what would mislead a script.

    Ray puts our packages, of which one is called `analysis`, before those of the user, and its own debugger, which
    waits for ever, in the place of Python's.
    """
    kept = dict(os.environ)
    own = Path(__file__).parents[2]
    paths = [path for path in kept.pop("PYTHONPATH", "").split(os.pathsep) if path and Path(path) != own]
    if paths:
        kept["PYTHONPATH"] = os.pathsep.join(paths)
    if kept.get("PYTHONBREAKPOINT", "").startswith("ray."):
        del kept["PYTHONBREAKPOINT"]
    return kept


def how_it_ended(ended: Ended, launch: Launch) -> str:
    """The end of a failed command in words: `exit code 3`, `killed by SIGKILL ...`."""
    if ended.start_error is not None:
        return f"the command could not be run: {ended.start_error}"
    if ended.cause == "time limit":
        return f"the command exceeded its time limit of {launch.time_limit_seconds:g} s and was stopped"
    return f"the command ended with {_exit_words(ended.exit_code)}"


def last_lines(log: Path, num_lines: int = QUOTED_LINES) -> list[str]:
    """The end of a command's output, also while it runs or where its supervisor was killed."""
    end = b""
    for piece in (*reversed(supervisor.pieces_of(log)), log):
        if len(end) >= QUOTED_BYTES:
            break
        with suppress(OSError), piece.open("rb") as file:
            file.seek(-min(QUOTED_BYTES, piece.stat().st_size), os.SEEK_END)
            end = file.read(QUOTED_BYTES) + end
    text = end[-QUOTED_BYTES:].decode(errors="replace").replace("\r\n", "\n")
    # A progress bar overwrites its line: what stood there last is what a terminal would show.
    plain = (_COLOUR.sub("", line).rstrip("\r").rpartition("\r")[2] for line in text.split("\n"))
    return [visible(line) for line in plain if line.strip()][-num_lines:]


def _exit_words(code: int | None) -> str:
    if code is None:
        return "an unknown exit code"
    if code >= 0:
        return f"exit code {code}"
    name = signal.Signals(-code).name if -code in set(signal.Signals) else f"signal {-code}"
    hint = " (often: out of memory)" if -code == signal.SIGKILL else ""
    return f"{name}{hint}"


class _Link:
    """The pipes between a worker and a supervisor."""

    def __init__(self, stdin: IO[bytes], stdout: IO[bytes], stderr: IO[bytes], grace_seconds: float) -> None:
        self._stdin, self._stdout, self._stderr = stdin, stdout, stderr
        self._grace_seconds = grace_seconds
        self._poll = select.poll()
        self._poll.register(stdout, select.POLLIN)
        self._received = b""
        self.is_over = False
        """Whether the supervisor has ended, and so the command."""

    @property
    def said(self) -> dict[str, Any]:
        """Everything that the supervisor has told."""
        lines = self._received.split(b"\n")[:-1]
        return {name: value for line in lines for name, value in json.loads(line).items()}

    @property
    def last_words(self) -> str:
        """The last line of a supervisor that ended by an exception; call it only when it is over."""
        lines = b"" if self._stderr.closed else self._stderr.read()
        return (lines.decode(errors="replace").strip().splitlines() or [""])[-1]

    def listen(self, seconds: float) -> bool:
        """Wait for the end of the supervisor, for some time; whether it has come."""
        ends = time.monotonic() + seconds
        while not self.is_over:
            if not self._poll.poll(max(ends - time.monotonic(), 0.0) * 1000):
                return False
            content = os.read(self._stdout.fileno(), 1 << 16)
            self._received += content
            self.is_over = not content
        return True

    def stop(self) -> None:
        """Let the supervisor stop the command; kill both where that takes longer than it should."""
        with suppress(OSError):
            self._stdin.close()
        if not self.listen(self._grace_seconds + supervisor.KILL_SECONDS + 1):
            self.kill()
        for stream in (self._stdout, self._stderr):
            stream.close()

    def kill(self) -> None:
        """Kill the supervisor and the command's process group."""
        self.listen(0.0)
        for name, end in (("supervisor", os.kill), ("command", os.killpg)):
            if name in self.said:
                with suppress(ProcessLookupError, PermissionError):
                    end(self.said[name], signal.SIGKILL)
