"""Temporary files, in a folder that nobody else can read, write or replace.

Temporary folders are shared: whoever else uses the machine may put files and links there, under names that we are
going to use. So everything of ours is inside one folder per user, made with mode 0700, and used only if it is a
folder, no link, and ours.
"""

import fcntl
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from orchestrator.execution.contract import BackendError
from orchestrator.ledger.lock import open_locked
from orchestrator.space.units import size_of

MAX_LENGTH = 40
"""Characters of a launch's folder where Ray makes its sockets in it: it adds up to 66, and Linux allows 107."""
MIN_BYTES = 50_000_000
"""Free space that a launch needs: the code that travels to workers, Ray's logs."""
ADVICE = "set TMPDIR to a folder of yours on a disk with some space"
_RANDOM = 8
"""Characters of the name that tempfile makes up."""


@contextmanager
def launch_folder(max_length: int | None = None) -> Iterator[Path]:
    """A temporary folder for one launch, removed at its end; those of killed launches are removed at its start.

    `max_length` bounds its path, in characters. A launch holds a lock on its folder, which the system lets go of when
    the process dies. Raises BackendError where no such folder can be made.
    """
    own = own_folder(max_length)
    try:
        with _locked(own):  # Else another launch could take a folder without a lock for one left behind.
            _remove_left_behind(own)
            folder = Path(tempfile.mkdtemp(prefix="", dir=own))
            lock = _open_locked(folder, fcntl.LOCK_EX)
    except OSError as error:
        raise BackendError(f"{own} cannot be written: {error.strerror or error}; {ADVICE}") from error
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)


def own_folder(max_length: int | None = None) -> Path:
    """Our folder, made where there is none, in the first temporary folder where that is possible.

    `max_length` bounds the paths of the folders in it. Raises BackendError with what is wrong with each of them.
    """
    problems = []
    for folder, problem in candidates(max_length):
        if problem is None:
            return folder
        problems.append(f"\n  {folder.parent}: {problem}")
    raise BackendError(f"no folder for temporary files can be used; {ADVICE}{''.join(problems)}")


def candidates(max_length: int | None = None) -> Iterator[tuple[Path, str | None]]:
    """Where our folder may be, and what is wrong with it there; it is made when it is its turn."""
    for parent in parents():
        folder = parent / f"asyrp-sweep-{os.geteuid()}"
        yield folder, _too_long(folder, max_length) or _not_ours(folder)


def parents() -> list[Path]:
    """Temporary folders, the one that the user has chosen first."""
    chosen = [os.environ[name] for name in ("RAY_TMPDIR", "TMPDIR", "TEMP", "TMP") if os.environ.get(name)]
    return [Path(name).absolute() for name in dict.fromkeys([*chosen, "/tmp", "/var/tmp"])]


def _too_long(folder: Path, max_length: int | None) -> str | None:
    length = len(os.fsencode(folder)) + 1 + _RANDOM
    if max_length is None or length <= max_length:
        return None
    return f"its path is {length - max_length} characters too long for Ray's sockets"


def _not_ours(folder: Path) -> str | None:
    """Make the folder, or look who made it; what is wrong with it, if anything."""
    try:
        with suppress(FileExistsError):
            folder.mkdir(mode=0o700)
        found = folder.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid():
            return f"{folder.name} in it is a link, a file or another user's folder"
        if stat.S_IMODE(found.st_mode) & 0o077:
            folder.chmod(0o700)
        if (free := shutil.disk_usage(folder).free) < MIN_BYTES:
            return f"its disk is full: {size_of(free)} free, {size_of(MIN_BYTES)} needed"
        with suppress(BlockingIOError):
            os.close(_open_locked(folder, fcntl.LOCK_SH | fcntl.LOCK_NB))
    except OSError as error:
        return error.strerror or str(error)
    return None


def _remove_left_behind(own: Path) -> None:
    for folder in own.iterdir():
        with suppress(OSError):  # in use, or on a file system without locks
            lock = _open_locked(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder, ignore_errors=True)
            os.close(lock)


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    lock = _open_locked(folder, fcntl.LOCK_EX)
    try:
        yield
    finally:
        os.close(lock)


def _open_locked(folder: Path, operation: int) -> int:
    return open_locked(folder, operation, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
