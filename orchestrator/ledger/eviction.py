"""What the copies of results in object stores take of this machine's disk, all together.

Whoever opens a copy holds it, by a shared lock that ends with the process. Where copies take more than their share,
those that nobody holds lose what the store can give again, the one that was opened longest ago first.
"""

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from orchestrator.ledger.errors import LedgerError
from orchestrator.ledger.files import writing
from orchestrator.ledger.lock import open_locked
from orchestrator.ledger.study import CACHE_FOLDER, LOGS, SUBMISSIONS
from trainables.paths import home

SCRATCH = "ASYRP_SWEEP_SCRATCH"
"""Names the folder of this machine's copies, where the user's cache folder is no place for them."""
LIMIT = "ASYRP_SWEEP_SCRATCH_GB"
"""Names how many GB the copies may take together."""
MARK = ".store.json"
"""The file that makes a folder a copy."""
_HOLD = ".in-use"
_KEPT = {LOGS, SUBMISSIONS}
"""Folders of a study that only the machine that wrote them may have."""


def scratch_folder() -> Path:
    """The folder of this machine's copies."""
    return Path(os.environ.get(SCRATCH) or home() / ".cache" / "asyrp-sweep").absolute()


def hold(root: Path) -> None:
    """Keep a copy from being emptied while this process lives, and note that it is used now."""
    with suppress(
        OSError
    ):  # Without locks nothing is emptied either; what else is wrong is told by who writes there.
        descriptor = os.open(root / _HOLD, os.O_RDWR | os.O_CREAT, 0o666)
        os.utime(descriptor)
        fcntl.flock(descriptor, fcntl.LOCK_SH)


def make_room(num_bytes: int = 0) -> int:
    """Empty copies that nobody holds until all of them, with `num_bytes` more, take no more than their share.

    Returns the bytes that are left of the share. Raises LedgerError where `LIMIT` is no number.
    """
    sizes = {root: _num_bytes(root) for root in _copies(scratch_folder())}
    left = _share(sum(sizes.values())) - sum(sizes.values())
    for root in sorted(sizes, key=_last_use):
        if left >= num_bytes:
            break
        with _alone(root) as is_alone:
            if is_alone:
                _empty(root)
                left += sizes[root] - _num_bytes(root)
    return left


def _share(taken: int) -> int:
    """Bytes that all copies may take: what `LIMIT` says, or half of what they take and what is free."""
    if text := os.environ.get(LIMIT):
        try:
            return int(float(text) * 1e9)
        except (ValueError, OverflowError) as error:
            raise LedgerError(f"{LIMIT} is {text!r}: expected a number of GB, such as 200") from error
    scratch = scratch_folder()
    with writing(scratch):
        scratch.mkdir(parents=True, exist_ok=True)
        return (taken + shutil.disk_usage(scratch).free) // 2


def _copies(scratch: Path) -> Iterator[Path]:
    for folder, below, files in os.walk(scratch):
        if MARK in files:
            below.clear()
            yield Path(folder)


def _num_bytes(root: Path) -> int:
    total = 0
    for folder, _, files in os.walk(root):
        for name in files:
            with suppress(OSError):
                total += Path(folder, name).lstat().st_size
    return total


def _last_use(root: Path) -> float:
    try:
        return root.joinpath(_HOLD).stat().st_mtime
    except OSError:
        return 0.0


@contextmanager
def _alone(root: Path) -> Iterator[bool]:
    """Whether nobody holds the copy; if so, nobody can until the end."""
    try:
        descriptor = open_locked(root / _HOLD, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        yield False
        return
    try:
        yield True
    finally:
        os.close(descriptor)


def _empty(root: Path) -> None:
    shutil.rmtree(root / CACHE_FOLDER, ignore_errors=True)
    for folder in root.glob("*/*/"):
        if not folder.name.startswith(".") and folder.name not in _KEPT:
            shutil.rmtree(folder, ignore_errors=True)
