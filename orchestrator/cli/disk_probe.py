"""What the file system of the results can do, tried in a folder that is removed again."""

import fcntl
import os
import platform
import shutil
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Literal

from orchestrator.ledger.errors import LedgerError, advice_on
from orchestrator.ledger.lock import NO_LOCKS
from orchestrator.ledger.objects import objects_at
from orchestrator.space.units import size_of

LOW_BYTES = 2_000_000_000
LOW_FILES = 10_000
CLOCK_SECONDS = 5.0

Level = Literal["ok", "note", "FIX"]
"""`note` is for what a launch can live with."""


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at."""

    name: str
    level: Level
    found: str
    advice: str = ""


def installed(package: str) -> Finding:
    """Whether a package, or Python, is here, and which version."""
    try:
        found = platform.python_version() if package == "python" else metadata.version(package)
    except metadata.PackageNotFoundError:
        return Finding(package, "FIX", "not installed", f"pip install {package}")
    return Finding(package, "ok", found)


def storage(results: Path) -> Iterator[Finding]:
    """Writing, replacing, locking, syncing, clock and space of the disk that holds, or will hold, the results."""
    above = next(folder for folder in (results, *results.parents) if folder.exists())
    try:
        with _probe_in(above) as probe:
            yield Finding("storage", "ok", f"{results} can be written, and its files replaced")
            yield _locks(probe)
            yield _sync(probe)
            yield _clock(probe)
    except OSError as error:
        advice = advice_on(error) or "choose a folder you may write with --results"
        yield Finding("storage", "FIX", f"{results}: {error.strerror or error}", advice)
        return
    yield _space(above)


def object_store(url: str) -> Finding:
    """Writing and reading there, and whether it keeps the conditions that take the place of locks."""
    try:
        objects_at(url).probe()
    except LedgerError as error:
        return Finding("storage", "FIX", str(error))
    return Finding("storage", "ok", f"{url} can be written, and keeps the conditions of a write")


@contextmanager
def _probe_in(above: Path) -> Iterator[Path]:
    """A folder with a file that has been replaced once, as the ledger does."""
    folder = above / f".doctor-{uuid.uuid4().hex}"
    folder.mkdir()
    try:
        for name in ("probe", "new"):
            folder.joinpath(name).write_bytes(b"x" * 4096)
        folder.joinpath("new").replace(folder / "probe")
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _locks(probe: Path) -> Finding:
    """A second holder must be refused."""
    advice = "let one launch at a time work on a study, or mount it with locks (Lustre: -o flock)"
    with (probe / "probe").open("a") as first, (probe / "probe").open("a") as second:
        try:
            fcntl.flock(first, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno not in NO_LOCKS:
                raise
            found = "none here: a file takes their place, which a killed launch leaves behind"
            return Finding("storage locks", "note", found, advice)
        try:
            fcntl.flock(second, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return Finding("storage locks", "ok", "keep a second launch out")
    return Finding("storage locks", "FIX", "given to two at once", advice)


def _sync(probe: Path) -> Finding:
    for path in (probe / "probe", probe):
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        except OSError as error:
            what = "folders" if path == probe else "files"
            advice = "a power cut may take back what was written last; those trials run again"
            return Finding("storage sync", "note", f"not for {what}: {error.strerror}", advice)
        finally:
            os.close(descriptor)
    return Finding("storage sync", "ok", "files and folders reach the disk when asked to")


def _clock(probe: Path, now: Callable[[], float] = time.time) -> Finding:
    (probe / "now").touch()
    ahead = (probe / "now").stat().st_mtime - now()
    if abs(ahead) < CLOCK_SECONDS:
        return Finding("storage clock", "ok", "agrees with this machine's")
    which = "ahead of" if ahead > 0 else "behind"
    advice = "set the clocks (NTP): status takes longer to answer, no more"
    return Finding("storage clock", "note", f"{abs(ahead):.0f} s {which} this machine's", advice)


def _space(above: Path) -> Finding:
    found = os.statvfs(above)
    free = found.f_bavail * found.f_frsize
    free_files = found.f_favail if found.f_files else LOW_FILES
    advice = f"free some space on the disk of {above}, or choose another folder with --results"
    if free_files < LOW_FILES:
        return Finding("storage space", "FIX", f"room for {free_files} more files only", advice)
    return Finding("storage space", "ok" if free > LOW_BYTES else "FIX", f"{size_of(free)} free", advice)
