"""Files that are there whole or not at all, whatever is killed when, and that a power cut does not take back."""

import contextlib
import errno
import os
import uuid
from collections.abc import Callable
from pathlib import Path

_NO_FSYNC = (errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EBADF)


def write_atomically(path: Path, write: Callable[[Path], object]) -> None:
    """Let `write` fill a temporary file beside `path`, then put it in its place in one step. Raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp")
    try:
        write(temporary)
        fsync(temporary)
        temporary.replace(path)
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
    fsync(path.parent)


def write_text_atomically(path: Path, text: str) -> None:
    """The same for a text. Raises OSError."""
    write_atomically(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))


def fsync(path: Path) -> None:
    """Ask the operating system to put a file, or a folder's list of names, on the disk now.

    File systems that cannot (SMB and some FUSE have no such thing for folders) say so at once; then it is theirs when
    to write. A full or failing disk raises.
    """
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in _NO_FSYNC:
            raise
    finally:
        os.close(descriptor)
