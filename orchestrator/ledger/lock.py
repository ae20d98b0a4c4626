"""One launch at a time on a study."""

import errno
import fcntl
import os
import socket
from contextlib import suppress
from pathlib import Path

from orchestrator.ledger.errors import LedgerError, cannot_be_written

_FILE_NAME = ".lock"
_CLAIM_NAME = ".lock-claimed"
NO_LOCKS = (errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS)
"""What `flock` says on file systems without locks, such as Lustre mounted without `-o flock`."""


def open_locked(path: Path, operation: int, flags: int = os.O_RDWR | os.O_CREAT) -> int:
    """A descriptor of a file with a lock on it. Raises OSError, BlockingIOError where another process has it."""
    descriptor = os.open(path, flags, 0o666)
    try:
        fcntl.flock(descriptor, operation)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


class LedgerLock:
    """Held by the driver of a launch; readers need none. The system releases it when the process dies.

    On a file system without locks a file that only one launch can create takes its place, which a killed launch
    leaves behind: then the message names the file to delete.
    Entering raises LedgerError when another launch holds it or the folder cannot be written.
    """

    def __init__(self, root: Path) -> None:
        self._root = Path(root)
        self._claim: Path | None = None
        self._descriptor = -1

    def __enter__(self) -> "LedgerLock":
        try:
            self._root.mkdir(parents=True, exist_ok=True)
            self._descriptor = os.open(self._root / _FILE_NAME, os.O_RDWR | os.O_CREAT, 0o666)
            try:
                self._take()
                self._write_holder()
            except BaseException:
                os.close(self._descriptor)
                raise
        except OSError as error:
            raise cannot_be_written(self._root, error) from error
        return self

    def __exit__(self, *exc_info: object) -> None:
        with suppress(OSError):  # a network drive that has gone
            os.ftruncate(self._descriptor, 0)
        with suppress(OSError):
            os.close(self._descriptor)
        if self._claim is not None:
            self._claim.unlink(missing_ok=True)

    def _take(self) -> None:
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise LedgerError(self._refusal()) from error
        except OSError as error:
            if error.errno not in NO_LOCKS:
                raise
            self._take_without_locks()

    def _take_without_locks(self) -> None:
        claim = self._root / _CLAIM_NAME
        try:
            os.close(os.open(claim, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666))
        except FileExistsError as error:
            raise LedgerError(
                f"{self._refusal()}\nThis file system has no locks, so a launch that was killed stays in the "
                f"way: if that one is over, delete {claim}"
            ) from error
        self._claim = claim

    def _refusal(self) -> str:
        holder = os.pread(self._descriptor, 1000, 0).decode("utf-8", "replace")
        _, _, machine = holder.rpartition(" on ")
        elsewhere = ""
        if machine and machine != socket.gethostname():
            elsewhere = (
                f"\nIf {machine} is down, its lock ends with its lease on the file server, often 90 s later"
            )
        return (
            f"another launch is running this study ({holder or 'it is just starting'}); wait until it ends, or "
            f"stop it and start again: nothing that is done will be lost{elsewhere}"
        )

    def _write_holder(self) -> None:
        """For the messages of others only: a full disk is no reason to stop here."""
        with suppress(OSError):
            os.ftruncate(self._descriptor, 0)
            os.pwrite(self._descriptor, f"process {os.getpid()} on {socket.gethostname()}".encode(), 0)
