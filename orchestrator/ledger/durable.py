"""Files that are there whole or not at all, whatever is killed when, and that a power cut does not take back."""

import contextlib
import errno
import os
import uuid
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor, wait
from functools import lru_cache
from pathlib import Path

from orchestrator.ledger.threads import AT_ONCE

_NO_FSYNC = (errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EBADF)

Fill = Callable[[Path], object]
"""Writes a file."""
NO_FILES: Mapping[Path, Fill] = {}


def write_atomically(path: Path, write: Fill) -> None:
    """Let `write` fill a temporary file beside `path`, then put it in its place in one step. Raises OSError."""
    write_together({path: write})


def write_together(files: Mapping[Path, Fill]) -> None:
    """The same for several files, which take their places in this order, once all are on the disk.

    A disk takes about as long for all of them as for one.
    """
    temporaries = {path: path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp") for path in files}
    folders = {path.parent for path in files}
    for folder in folders:
        folder.mkdir(parents=True, exist_ok=True)
    try:
        for path, write in files.items():
            write(temporaries[path])
        sync(temporaries.values())
        for path, temporary in temporaries.items():
            temporary.replace(path)
    finally:
        for temporary in temporaries.values():
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)
    sync(folders)


def write_text_atomically(path: Path, text: str) -> None:
    """The same for a text. Raises OSError."""
    write_bytes_atomically(path, text.encode())


def write_bytes_atomically(path: Path, content: bytes) -> None:
    """The same for a file's content. Raises OSError."""
    write_atomically(path, lambda temporary: temporary.write_bytes(content))


def sync(paths: Iterable[Path]) -> None:
    """`fsync` files and folders, all at once. Raises what it raises for any of them, once none is under way."""
    paths = list(paths)
    if len(paths) == 1:
        fsync(paths[0])
        return
    asked = [_threads(os.getpid()).submit(fsync, path) for path in paths]
    wait(asked)
    for one in asked:
        one.result()


@lru_cache(maxsize=1)
def _threads(process: int) -> ThreadPoolExecutor:
    """Kept, since starting a thread can take longer than the disk does; a forked process has none of its parent's."""
    return ThreadPoolExecutor(AT_ONCE, "sync")


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
