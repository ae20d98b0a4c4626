"""SHA-256 of model files, kept on disk so that gigabytes of weights are read once and not at every start."""

import contextlib
import hashlib
import os
import time
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path

SMALL = 1_000_000
"""Bytes; a smaller file is read again rather than kept."""
BLOCK = 1 << 20
SETTLED_SECONDS = 2.0
"""A file changed later than this before it was read may change again within the clock's precision: it is not kept."""


def user_cache() -> Path:
    """This user's cache folder: $ASYRP_SWEEP_CACHE, or `asyrp-sweep` in $XDG_CACHE_HOME or ~/.cache."""
    if own := os.environ.get("ASYRP_SWEEP_CACHE"):
        return Path(own)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "asyrp-sweep"


def file_digest(*paths: Path) -> str:
    """sha256, in hexadecimal, of files one after another. Raises OSError where one cannot be read."""
    return remembered("sha256", paths, lambda: _sha256(paths))


def remembered(what: str, paths: Sequence[Path], compute: Callable[[], str], *, is_slow: bool = False) -> str:
    """What `compute` makes of these files, a sha256, computed again only where one was changed or replaced.

    They are known by path, size, times of change and inode. `is_slow` keeps also what comes of little files.
    Raises OSError where one is not there.
    """
    stats = [path.stat() for path in paths]
    state = [
        (str(path.absolute()), stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino, stat.st_dev)
        for path, stat in zip(paths, stats, strict=True)
    ]
    name = hashlib.sha256(f"{what} {state}".encode()).hexdigest()[:32]
    if name in _in_this_process:
        return _in_this_process[name]
    is_kept = is_slow or sum(stat.st_size for stat in stats) >= SMALL
    kept = user_cache() / "digests" / name
    digest = _read(kept) if is_kept else None
    if digest is None:
        began = time.time()
        digest = compute()
        changed = max(max(stat.st_mtime, stat.st_ctime) for stat in stats)
        if is_kept and began - changed > SETTLED_SECONDS:
            _keep(kept, digest)
    _in_this_process[name] = digest
    return digest


_in_this_process: dict[str, str] = {}


def _sha256(paths: Sequence[Path]) -> str:
    whole = hashlib.sha256()
    for path in paths:
        with path.open("rb") as file:
            while block := file.read(BLOCK):
                whole.update(block)
    return whole.hexdigest()


def _read(kept: Path) -> str | None:
    try:
        text = kept.read_text(encoding="ascii")
    except (OSError, UnicodeDecodeError):
        return None
    return text if len(text) == 64 and set(text) <= set("0123456789abcdef") else None


def _keep(kept: Path, digest: str) -> None:
    """Write it for the next start; where that is not possible, that one reads the file again."""
    with contextlib.suppress(OSError):
        kept.parent.mkdir(parents=True, exist_ok=True)
        temporary = kept.with_name(f".{kept.name}.{uuid.uuid4().hex}")
        temporary.write_text(digest, encoding="ascii")
        temporary.replace(kept)
