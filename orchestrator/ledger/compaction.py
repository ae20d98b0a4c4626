"""Merges small parts while a launch goes on, in a thread that gives way to everything else."""

import contextlib
import os
import sys
import threading
import time
from pathlib import Path

import pyarrow.fs as pafs

from orchestrator.ledger.errors import LedgerError
from orchestrator.ledger.files import writing
from orchestrator.ledger.index import PartKey
from orchestrator.ledger.merging import Told, merge
from orchestrator.ledger.parts import Parts
from orchestrator.ledger.schemas import TABLES

GROUP = 256
"""Committed attempts whose parts are merged together; also the most that damage to one merged file costs. A study of
fewer trials keeps a part for each."""
_NICENESS = 10
_MAX_PAUSE_SECONDS = 0.2


def compact(root: Path, told: Told = lambda step: None, group_size: int = GROUP) -> list[str]:
    """Merge parts of committed attempts, a group at a time, while there are so many; the new files, `table/name`.

    Only for the holder of the study's lock; trials may run. `told` hears of every step, and what it raises ends the
    work there, as a kill would: nothing is lost, the next pass or launch goes on. Raises LedgerError when the folder
    cannot be written.
    """
    # No threads of Arrow's own: they would not be as nice as the thread that calls.
    parts = Parts(str(root.absolute()), pafs.LocalFileSystem(), use_threads=False)
    tried: set[PartKey] = set()
    written = []
    while len(waiting := [key for key in _single(parts) if key not in tried]) >= group_size:
        group = waiting[:group_size]
        tried.update(group)
        # The records last: they say which rows there are to merge, should this end in between.
        for table in reversed(TABLES):
            written += [f"{table}/{name}" for name in merge(parts, table, group, told)]
    return written


def _single(parts: Parts) -> list[PartKey]:
    """Committed attempts whose record has a part of its own."""
    index = parts.refresh("trials")
    return [key for key in index.single if index.held[key] == key.file_name]


class _Over(Exception):
    """The launch is over: the thread ends where it is."""


class BackgroundCompaction:
    """Compacts a ledger while its launch commits trials; leaving the context ends it, before the lock is released.

    Its thread wakes when another group of trials is committed, works at a lower priority, and rests after each part as
    long as that took. What is left when trials are over is done on leaving, unless `stop` was called.
    """

    def __init__(self, root: Path, *, is_on: bool = True, group_size: int = GROUP) -> None:
        self._root = root
        self._group_size = group_size
        self._is_on = is_on
        self._is_stopped = False
        self._num_committed = 0
        self._due = threading.Event()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="compaction", daemon=True)
        self._worked_since = 0.0
        self._error: Exception | None = None
        self.problem: str | None = None
        """Why the ledger was left as it is, if it could not be compacted; known once the context is left."""

    def __enter__(self) -> "BackgroundCompaction":
        if self._is_on:
            self._due.set()  # For what earlier launches left.
            self._thread.start()
        return self

    def __exit__(self, kind: object, *exc_info: object) -> None:
        if not self._is_on:
            return
        self._over.set()
        self._due.set()
        self._thread.join()
        if kind is not None or self._is_stopped:
            return
        try:
            with writing(self._root):
                if self._error is not None:
                    raise self._error
                compact(self._root, group_size=self._group_size)
        except LedgerError as found:
            self.problem = str(found)

    def committed(self) -> None:
        """The launch has committed another trial."""
        self._num_committed += 1
        if self._num_committed % self._group_size == 0:
            self._due.set()

    def stop(self) -> None:
        """Leave it at what is done: the launch was interrupted."""
        self._is_stopped = True
        self._over.set()

    def _run(self) -> None:
        _be_nice()
        try:
            while not self._over.is_set():
                self._due.wait()
                self._due.clear()
                self._worked_since = time.monotonic()
                compact(self._root, self._told, self._group_size)
        except _Over:
            return
        except Exception as error:
            self._error = error

    def _told(self, step: str) -> None:
        # Only while it reads: when parts are being removed, other tools see fewer rows, so that goes without a rest.
        rest = min(time.monotonic() - self._worked_since, _MAX_PAUSE_SECONDS)
        if step == "read" and self._over.wait(rest):
            raise _Over
        self._worked_since = time.monotonic()


def _be_nice() -> None:
    """Lower the priority of this thread; only Linux has priorities of threads."""
    if sys.platform == "linux":
        with contextlib.suppress(OSError):
            thread = threading.get_native_id()
            os.setpriority(os.PRIO_PROCESS, thread, os.getpriority(os.PRIO_PROCESS, thread) + _NICENESS)
