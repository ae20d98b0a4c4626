"""The file that an Optuna study is kept in: a plain Optuna journal, which `optuna-dashboard` opens."""

import json
import time
from pathlib import Path
from typing import Any

from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend, JournalFileSymlinkLock

JOURNAL = "optuna.journal"


def open_journal(path: Path) -> tuple[JournalStorage, list[str]]:
    """The journal, begun where there is none, and what a user should know of its state.

    One that cannot be read is set aside; a line cut short by a power cut is taken off. Only for the holder of the
    ledger's lock.
    """
    # Optuna locks by a file, which outlives a killed process and would cost the next one half a minute. Under the
    # ledger's lock no other launch can be in the middle of writing.
    path.with_name(f"{path.name}.lock").unlink(missing_ok=True)
    _cut_unfinished_line(path)
    try:
        return JournalStorage(_Journal(path)), []
    except Exception as error:  # Garbage is reported in as many ways as there is garbage.
        aside = path.with_name(f"{path.name}.damaged-{time.time_ns()}")
        path.rename(aside)
        note = f"{path.name} was damaged ({error}); it is now {aside.name}, and written anew"
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


def _cut_unfinished_line(path: Path) -> None:
    """Without its end of line, the next entry would be glued to it and the journal be lost."""
    if not path.is_file():
        return
    content = path.read_bytes()
    if content and not content.endswith(b"\n"):
        with path.open("r+b") as file:
            file.truncate(content.rfind(b"\n") + 1)
