"""The file that an Optuna study is kept in: a plain Optuna journal, which `optuna-dashboard` opens."""

import json
import os
import time
from pathlib import Path
from typing import Any

from optuna.exceptions import OptunaError
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend, JournalFileSymlinkLock

JOURNAL = "optuna.journal"
_GARBAGE = (
    *(ValueError, KeyError, TypeError, AttributeError, IndexError, AssertionError, NotImplementedError),
    *(RecursionError, OptunaError),
)
"""What Optuna raises for entries that it cannot replay. A file that may not be read is none of these, and stays."""


def open_journal(path: Path) -> tuple[JournalStorage, list[str]]:
    """The journal, begun where there is none, and what a user should know of its state.

    One that holds anything but Optuna's entries is set aside; a last line cut short is taken off. Only for the holder
    of the ledger's lock. Raises OSError when the file cannot be read or written.
    """
    # Optuna locks by a file, which outlives a killed process and would cost the next one half a minute. Under the
    # ledger's lock no other launch can be in the middle of writing.
    path.with_name(f"{path.name}.lock").unlink(missing_ok=True)
    with path.open("ab"):  # Now, and not when the first trial is to be told.
        pass
    try:
        _keep_entries(path)
        return JournalStorage(_Journal(path)), []
    except _GARBAGE as error:
        aside = path.with_name(f"{path.name}.damaged-{time.time_ns()}")
        path.rename(aside)
        note = (
            f"{path.name} could not be read ({type(error).__name__}: {error}); it is now {aside.name}, and the journal "
            "is written anew from the ledger"
        )
        return JournalStorage(_Journal(path)), [note]


class _Journal(JournalFileBackend):
    """Optuna's journal file without its wait for the disk at every entry, of which a trial makes a dozen.

    What a power cut takes of it, the ledger, which does wait, gives back. The format and the lock are Optuna's.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._entering = JournalFileSymlinkLock(str(path))
        super().__init__(str(path), lock_obj=self._entering)

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        """Append entries, a line each."""
        text = "".join(json.dumps(log, separators=(",", ":")) + "\n" for log in logs)
        self._entering.acquire()
        try:
            with self._path.open("ab") as file:
                file.write(text.encode())
        finally:
            self._entering.release()


def _keep_entries(path: Path) -> None:
    """Take off what a power cut leaves after the last entry: a line without its end, blank lines, zeros.

    Optuna forgives such a last line until another one follows it. Raises ValueError for another line that is no entry.
    """
    size, num_lines, is_torn = 0, 0, False
    with path.open("rb") as file:
        for num_lines, line in enumerate(file, start=1):
            if not line.endswith(b"\n") or not line.strip(b"\0 \t\r\n"):
                is_torn = True
                continue
            if is_torn or "op_code" not in dict(json.loads(line)):
                raise ValueError(f"line {num_lines - is_torn} is no entry of Optuna's")
            size += len(line)
    if is_torn and size == 0 and path.read_bytes().strip(b"\0 \t\r\n"):
        raise ValueError("it holds no entry of Optuna's")
    os.truncate(path, size)
