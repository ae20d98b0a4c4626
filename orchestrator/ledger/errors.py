"""The one exception of the ledger, and what to tell of a disk that refuses."""

import errno
from pathlib import Path

_ADVICE = {
    errno.ENOSPC: "free some space on its disk, or enlarge it",
    errno.EDQUOT: "free some of your quota, or ask for more",
    errno.EROFS: "choose another folder with --results, or mount its disk for writing",
    errno.EACCES: "choose a folder that you may write with --results",
    errno.EPERM: "choose a folder that you may write with --results; asyrp-sweep doctor looks for the cause",
    errno.ESTALE: "the network drive was changed under this machine: mount it again",
    errno.EIO: "its disk or network drive fails: look into the system's log",
    errno.EEXIST: "this file system lets no file be replaced (sshfs: mount it with -o workaround=rename)",
    errno.ENAMETOOLONG: "choose a shorter --results, or a shorter name of the space",
}


class LedgerError(Exception):
    """The study's folder cannot be used as asked; the message says which folder and what to do."""


def cannot_be_written(folder: Path, error: Exception) -> LedgerError:
    """What to raise of a folder for what the disk, the memory or Arrow raised: the cause, and what to do."""
    cause = (isinstance(error, OSError) and error.strerror) or str(error) or type(error).__name__
    advice = advice_on(error)
    return LedgerError(f"{folder} cannot be written: {cause}{f'; {advice}' if advice else ''}")


def advice_on(error: Exception) -> str | None:
    """What to do about a disk that refuses; None for anything that is not its doing."""
    return _ADVICE.get(error.errno or 0) if isinstance(error, OSError) else None
