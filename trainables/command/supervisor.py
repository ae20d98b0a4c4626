"""Runs one command and lets nothing of it outlive it: `python supervisor.py SPEC`, with the standard library alone.

The worker holds the other end of its standard input. When that end closes, because the worker asked for it or died, or
at the time limit, everything that the command started is stopped: SIGTERM, the grace period, SIGKILL. It is no child of
the worker, for Ray kills a worker's children, and in a session of its own, where no Ctrl-C reaches it. On Linux it
adopts orphans of the command (PR_SET_CHILD_SUBREAPER), so that a child that left its session is found too, and the
command dies with it (PR_SET_PDEATHSIG). Elsewhere the command's process group is stopped, and a child that left it
goes on.

It writes JSON lines to its standard output: `{"supervisor": ...}` and `{"command": ...}`, the ids of both processes,
then a `Report`. The command's own output goes to files (see `BoundedLog`).
"""

import contextlib
import ctypes
import json
import os
import selectors
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36
"""From <linux/prctl.h>."""
IS_LINUX = sys.platform == "linux"
HAS_PROC = IS_LINUX and Path("/proc/self/stat").is_file()
"""Whether processes can be listed."""
HEAD_BYTES, TAIL_BYTES = 1 << 20, 1 << 20
"""How much of the output is kept: the first part, and at least this much of the last."""
BLOCK = 1 << 16
LEFT_SECONDS = 1.0
"""How long processes that the command left running may take to end by themselves."""
KILL_SECONDS = 5.0
"""How long SIGKILL is repeated; a process that waits for a disk may take longer to go."""

Report = dict[str, Any]
"""How the command ended: `exit_code` (negative: the signal), or `start_error`; `cause` (null, `time limit` or
`stopped`), `seconds`, and `num_left`, the processes that it left running."""


class BoundedLog:
    """Output of any length in three files of bounded size: the beginning, and two pieces of the end that take turns.

    `finish` joins them to one.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._pieces = pieces_of(path)
        for piece in (path, *self._pieces):
            piece.unlink(missing_ok=True)
        self._file: BinaryIO = self._pieces[0].open("wb", buffering=0)
        self._room = HEAD_BYTES
        self._num_bytes = 0

    def write(self, content: bytes) -> None:
        """Append; what a full disk refuses is lost."""
        self._num_bytes += len(content)
        while content:
            part, content = content[: self._room], content[self._room :]
            with contextlib.suppress(OSError):
                self._file.write(part)
            self._room -= len(part)
            if not self._room:
                self._turn()

    def finish(self) -> None:
        """Leave one file: all of the output, or its first and last part and a line that counts what is between."""
        self._file.close()
        head, *tail = self._pieces
        kept = sum(piece.stat().st_size for piece in self._pieces if piece.is_file())
        with contextlib.suppress(OSError):
            with head.open("ab") as file:
                if left_out := self._num_bytes - kept:
                    file.write(f"\n[... {left_out} bytes left out ...]\n".encode())
                for piece in tail:
                    if piece.is_file():
                        file.write(piece.read_bytes())
            head.replace(self._path)
            for piece in tail:
                piece.unlink(missing_ok=True)

    def _turn(self) -> None:
        """Go on in the next file: the older piece of the end gives way to the younger one."""
        self._file.close()
        _, older, younger = self._pieces
        with contextlib.suppress(FileNotFoundError):
            younger.replace(older)
        self._file = younger.open("wb", buffering=0)
        self._room = TAIL_BYTES


def pieces_of(path: Path) -> tuple[Path, Path, Path]:
    """Where the beginning, the older and the younger part of the end are while the command runs."""
    return (
        path.with_name(f"{path.name}.0"),
        path.with_name(f"{path.name}.1"),
        path.with_name(f"{path.name}.2"),
    )


class Supervisor:
    """One command from its start to the end of its last process."""

    def __init__(self, spec: dict[str, Any]) -> None:
        self._spec = spec
        self._log = BoundedLog(Path(spec["log"]))
        self._pid = 0
        self._status: int | None = None
        """Exit status of the command's first process, once it has ended."""
        self._began = time.monotonic()

    def run(self) -> Report:
        """Start the command, wait for its end, stop what is left of it."""
        output, inner = os.pipe()
        try:
            self._start(inner)
        except (OSError, ValueError) as error:  # ValueError: a NUL character.
            found = {"errno": getattr(error, "errno", None), "of": getattr(error, "filename", None)}
            return {"start_error": str(error), **found, **self._account(None, 0)}
        os.close(inner)
        os.set_blocking(output, False)
        say({"command": self._pid})
        cause = self._watch(output)
        left = self._stop_all(0.0) if cause else self._stop_all(LEFT_SECONDS)
        self._drain(output)
        self._log.finish()
        code = None if self._status is None else os.waitstatus_to_exitcode(self._status)
        return {"exit_code": code, **self._account(cause, 0 if cause else left)}

    def _account(self, cause: str | None, num_left: int) -> Report:
        return {"cause": cause, "seconds": time.monotonic() - self._began, "num_left": num_left}

    def _start(self, output: int) -> None:
        if IS_LINUX:
            prctl(PR_SET_CHILD_SUBREAPER, 1)
        command: list[str] = self._spec["command"]
        process = subprocess.Popen(
            command[0] if self._spec["shell"] else command,
            shell=self._spec["shell"],
            cwd=self._spec["working_folder"],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
            preexec_fn=die_with(os.getpid()) if IS_LINUX else None,
        )
        self._pid = process.pid
        process.returncode = 0  # It is waited for here, not by its object.

    def _watch(self, output: int) -> str | None:
        """Keep the log until the command ends, the worker is gone or the time is over; why it has to be stopped."""
        limit = self._spec["time_limit_seconds"]
        ends = float("inf") if limit is None else self._began + limit
        with selectors.DefaultSelector() as selector, woken_by_children() as woken:
            for source in (0, output, woken):
                selector.register(source, selectors.EVENT_READ)
            while True:
                self._reap()
                if self._status is not None:
                    return None
                left = ends - time.monotonic()
                if left <= 0:
                    return "time limit"
                ready = {key.fd for key, _ in selector.select(min(left, 3600.0))}
                if 0 in ready and not os.read(0, BLOCK):
                    return "stopped"
                if woken in ready:
                    os.read(woken, BLOCK)
                if output in ready and not self._copy(output):
                    selector.unregister(output)  # The command closed its output and may go on without.

    def _copy(self, output: int) -> bool:
        """Move a block of output to the log; whether more may come."""
        content = os.read(output, BLOCK)
        self._log.write(content)
        return bool(content)

    def _drain(self, output: int) -> None:
        """Move what is there; never wait, for a process that got away may hold the other end."""
        with contextlib.suppress(BlockingIOError):
            while self._copy(output):
                pass

    def _stop_all(self, patience: float) -> int:
        """End every process of the command, after some patience; how many had to be asked."""
        self._await_none(patience)
        asked = len(self._alive())
        for number, seconds in (
            (signal.SIGTERM, self._spec["grace_seconds"]),
            (signal.SIGKILL, KILL_SECONDS),
        ):
            ends = time.monotonic() + seconds
            self._signal(number)
            while self._alive() and time.monotonic() < ends:
                time.sleep(0.01)
                if number == signal.SIGKILL:
                    self._signal(number)  # One may have forked since.
        return asked

    def _await_none(self, seconds: float) -> None:
        ends = time.monotonic() + seconds
        while self._alive() and time.monotonic() < ends:
            time.sleep(0.01)

    def _signal(self, number: int) -> None:
        for pid in self._alive():
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, number) if pid > 0 else os.killpg(-pid, number)

    def _alive(self) -> list[int]:
        """Processes of the command; where they cannot be listed, its process group as a negative number."""
        self._reap()
        if HAS_PROC:
            return descendants(os.getpid())
        try:
            os.killpg(self._pid, 0)
        except (ProcessLookupError, PermissionError):
            return []
        return [-self._pid]

    def _reap(self) -> None:
        """Take the exit status of every child that has ended, adopted ones included."""
        with contextlib.suppress(ChildProcessError):
            while (ended := os.waitpid(-1, os.WNOHANG))[0]:
                if ended[0] == self._pid:
                    self._status = ended[1]


def descendants(pid: int) -> list[int]:
    """Every process below one that has not ended, from /proc."""
    children: dict[int, list[int]] = {}
    for process in Path("/proc").iterdir():
        if process.name.isdigit():
            with contextlib.suppress(OSError):
                # The name, in brackets, may hold anything; state and parent follow it.
                behind = (process / "stat").read_text(errors="replace").rpartition(")")[2]
                state, parent = behind.split()[:2]
                if state not in "ZX":
                    children.setdefault(int(parent), []).append(int(process.name))
    found = children.get(pid, []).copy()
    for one in found:  # It grows on the way.
        found.extend(children.get(one, []))
    return found


def prctl(option: int, value: int) -> None:
    """Linux's call of that name for this process; a system that refuses it goes on without."""
    ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0)


def die_with(supervisor: int) -> Any:
    """What the command's process does before its program starts: die when this one does, even when it died just now."""
    call = ctypes.CDLL(
        None, use_errno=True
    ).prctl  # Loaded here: between fork and exec as little as possible.

    def arrange() -> None:
        call(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != supervisor:
            os.kill(os.getpid(), signal.SIGKILL)

    return arrange


@contextlib.contextmanager
def woken_by_children() -> Iterator[int]:
    """A descriptor that can be read when a child has ended."""
    inner, outer = socket.socketpair()
    inner.setblocking(False)
    outer.setblocking(False)
    signal.signal(signal.SIGCHLD, lambda number, frame: None)
    signal.set_wakeup_fd(outer.fileno(), warn_on_full_buffer=False)
    try:
        yield inner.fileno()
    finally:
        signal.set_wakeup_fd(-1)
        inner.close()
        outer.close()


def say(content: dict[str, Any]) -> None:
    """One line for the worker, which may be gone."""
    with contextlib.suppress(OSError):
        os.write(1, json.dumps(content).encode() + b"\n")


if __name__ == "__main__":
    if os.fork():
        os._exit(0)
    os.setsid()
    for unheeded in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(unheeded, lambda number, frame: None)  # SIG_IGN would be passed on to the command.
    say({"supervisor": os.getpid()})
    say(Supervisor(json.loads(sys.argv[1])).run())
