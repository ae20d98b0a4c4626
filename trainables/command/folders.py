"""The folder of a trial: found again after an interruption, and used by one worker at a time."""

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
import time
import uuid
from dataclasses import dataclass
from pathlib import Path

ROOM = "command"
"""Folder in the study's cache."""
MAX_TRIES = 3
LOOK_SECONDS = 0.05
_STATE = "state.json"


@dataclass
class RunFolder:
    """`<cache>/command/<key>/` with the script's `folder/`, its `config.json`, `output.log` and our `state.json`."""

    root: Path
    is_fallback: bool = False
    """Whether another process is using the trial's usual folder."""
    lock: int | None = None
    """Descriptor of the file that is locked."""

    @classmethod
    def take(cls, cache_dir: Path, key: str, patience: float) -> "RunFolder":
        """The trial's folder, locked against other workers until `release`; another one where it stays in use.

        `patience`: the supervisor of a worker that died holds the lock as well, until the command is stopped.
        Raises OSError where the folder cannot be made.
        """
        room = cache_dir / ROOM
        room.mkdir(parents=True, exist_ok=True)
        ends = time.monotonic() + patience
        for name in (key, *(f"{key}-{uuid.uuid4().hex[:8]}" for _ in range(MAX_TRIES))):
            try:
                while (lock := _lock(room / f"{name}.lock")) is None and time.monotonic() < ends:
                    time.sleep(LOOK_SECONDS)
            except _NoLocks:
                return cls(room / f"{key}-{uuid.uuid4().hex[:8]}", is_fallback=True)
            if lock is not None:
                return cls(room / name, is_fallback=name != key, lock=lock)
        raise OSError(f"{room / key} cannot be locked")

    @property
    def folder(self) -> Path:
        """`{folder}` of the script."""
        return self.root / "folder"

    @property
    def config_file(self) -> Path:
        """`{config}` of the script."""
        return self.root / "config.json"

    @property
    def log(self) -> Path:
        """The command's output."""
        return self.root / "output.log"

    def prepare(self, *, keep: bool) -> float | None:
        """Make the folder ready for a start.

        With `keep`, one whose command did not fail stays as it is: returns how many seconds it had run. Else the folder
        is empty, and None is returned.
        """
        seconds = self._kept_after() if keep else None
        if seconds is None and self.root.exists():
            shutil.rmtree(self.root)
        self.folder.mkdir(parents=True, exist_ok=True)
        return seconds

    def mark(self, state: str, seconds: float) -> None:
        """Note `running`, `failed` or `ended`, and how long the command has run in all."""
        temporary = self.root / f".{_STATE}"
        temporary.write_text(json.dumps({"state": state, "seconds": seconds}), encoding="utf-8")
        temporary.replace(self.root / _STATE)

    def remove(self) -> None:
        """Delete everything; what cannot be deleted stays."""
        shutil.rmtree(self.root, ignore_errors=True)
        self.root.with_name(f"{self.root.name}.lock").unlink(missing_ok=True)

    def release(self) -> None:
        """Let other workers use the folder."""
        if self.lock is not None:
            with contextlib.suppress(OSError):
                os.close(self.lock)
            self.lock = None

    def _kept_after(self) -> float | None:
        try:
            content = json.loads((self.root / _STATE).read_text(encoding="utf-8"))
            return float(content["seconds"]) if content["state"] in ("running", "ended") else None
        except (OSError, ValueError, KeyError, TypeError):
            return None


def folder_key(*what: object) -> str:
    """The name of a trial's folder: the same for the same content, which must be JSON-able."""
    return hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()[:20]


class _NoLocks(Exception):
    """The disk has none."""


def _lock(path: Path) -> int | None:
    """A locked descriptor of a file, or None where somebody else has locked it. Raises _NoLocks."""
    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.fstat(handle).st_ino == path.stat().st_ino:
            return handle
    except (BlockingIOError, FileNotFoundError):  # In use, or removed by whoever used it just before.
        pass
    except OSError as error:
        os.close(handle)
        raise _NoLocks from error
    os.close(handle)
    return None
