"""One launch at a time on a study."""

import contextlib
import fcntl
import os
import socket
from pathlib import Path
from types import TracebackType
from typing import IO

from orchestrator.ledger.errors import LedgerError

_FILE_NAME = ".lock"


class LedgerLock:
    """Held by the driver of a launch; readers need none. The system releases it when the process dies.

    Entering raises LedgerError when another launch holds it or the folder cannot be written.
    """

    def __init__(self, root: Path) -> None:
        self._root = Path(root)
        self._file: IO[str] | None = None

    def __enter__(self) -> "LedgerLock":
        try:
            self._root.mkdir(parents=True, exist_ok=True)
            self._file = (self._root / _FILE_NAME).open("a+", encoding="utf-8")
        except OSError as error:
            raise LedgerError(f"{self._root} cannot be written: {error.strerror or error}") from error
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            holder = self._read_holder()
            self._file.close()
            raise LedgerError(
                f"another launch is running this study ({holder}); wait until it ends, or stop it and "
                "start again: nothing that is done will be lost"
            ) from error
        try:
            self._write_holder()
        except OSError as error:
            self._file.close()
            raise LedgerError(f"{self._root} cannot be written: {error.strerror or error}") from error
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._file is not None
        with contextlib.suppress(OSError):  # What is left names a launch that holds nothing any more.
            self._file.truncate(0)
        self._file.close()

    def _write_holder(self) -> None:
        assert self._file is not None
        self._file.truncate(0)
        # Past Python's buffer: closing the file would otherwise try, and fail, once more.
        os.write(self._file.fileno(), f"process {os.getpid()} on {socket.gethostname()}".encode())

    def _read_holder(self) -> str:
        assert self._file is not None
        self._file.seek(0)
        return self._file.read() or "it is just starting"
