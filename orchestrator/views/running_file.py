"""What a launch is working on, for `status` in another terminal or on another machine, and whether it is alive; once it
is gone, why it ended.

A launch touches its file every `BEAT_SECONDS`, and writes it anew soon after something has changed, from a thread, so
that no epoch is too long, and a full disk is no obstacle. The time of a file is the file server's, so clocks of
launches need not agree. A reader whose own clock disagrees waits for the next heartbeat.
"""

import json
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from threading import Event, Lock
from typing import Any

from orchestrator.execution.provenance import host
from orchestrator.ledger.lease import process_space
from orchestrator.ledger.threads import beside
from orchestrator.views.progress import AVOIDED, Progress

FILE_NAME = "running.json"
END_FILE = "last_launch.json"
COMPLETE = "everything that it was asked for has run"
BEAT_SECONDS = 10.0
CHANGE_SECONDS = 0.5
"""How often the file is written anew at most; the dashboard looks as often."""
PATIENCE_SECONDS = 60.0
"""A file touched this recently is a living launch's; network drives show a change late."""
TOLD = ("epoch", "num_epochs", "loss", "host", "heard_at")
"""What the file says of a trial at work, from its row of the progress."""
MACHINES = ("lost_machines", "avoided_machines")
"""What it says of machines, from the progress."""
_MOST_CLOCKS_DIFFER = 86_400.0


@dataclass(frozen=True)
class Launch:
    """What the file of a launch says."""

    host: str
    process: int
    beat_at: float
    """When the file was touched last, in seconds since 1970 by the file server's clock."""
    is_alive: bool
    seconds_left: float | None
    running: Mapping[str, Mapping[str, Any]]
    """Signature -> the `TOLD` of each trial at work; none of a launch that is dead."""
    lost_machines: tuple[str, ...] = ()
    """Machines that have left its cluster, each with the time."""
    avoided_machines: tuple[str, ...] = ()
    """Machines that it does not ask for now, each with the time before which it does not."""
    parts: tuple["Launch", ...] = ()
    """The launches of a study's shards, where this is all of them seen as one."""

    @property
    def each(self) -> tuple["Launch", ...]:
        """The launches themselves."""
        return self.parts or (self,)

    @property
    def on_machines(self) -> list[str]:
        """What to say of machines that it has lost or avoids."""
        told = {"machines that left the cluster": self.lost_machines, AVOIDED: self.avoided_machines}
        return [f"{what}: {', '.join(names)}" for what, names in told.items() if names]

    @property
    def silence(self) -> str | None:
        """What to say of a launch that is dead and could not say so itself, and of each that is seen as one with it."""
        if self.parts:
            return "\n".join(launch.silence for launch in self.parts if launch.silence) or None
        if self.is_alive:
            return None
        since = datetime.fromtimestamp(self.beat_at, UTC)
        return (
            f"no heartbeat since {since:%Y-%m-%d %H:%M:%S}Z from the launch of process {self.process} on "
            f"{self.host}: it was killed, or its machine is down; the next launch goes on from what it has kept"
        )


class RunningFile:
    """The file of a study's launch, or of the launch of its shard of this name; gone when it ends."""

    def __init__(self, study_folder: Path, shard: str = "") -> None:
        self._path = study_folder / running_name(shard)
        self._study_folder = study_folder
        self._lock = Lock()
        self._has_changed = False

    @contextmanager
    def beating(self, progress: Progress) -> Iterator[None]:
        """Keep the file, touched regularly, while a launch is at work."""
        self.write(progress)
        try:
            with beside(lambda ended: self._keep_until(ended, progress), "heartbeat"):
                yield
        finally:
            self.remove()

    def remove(self) -> None:
        """The launch is over."""
        with suppress(OSError):
            self._path.unlink(missing_ok=True)

    def changed(self) -> None:
        """The file is out of date: it is written anew soon."""
        self._has_changed = True

    def write(self, progress: Progress) -> None:
        """Replace the file at once."""
        self._has_changed = False
        content = {
            "host": host(),
            "process": os.getpid(),
            "process_space": process_space(),
            "seconds_left": progress.seconds_left(),
            **{name: getattr(progress, name) for name in MACHINES},
            "running": [
                {"signature": signature, **{name: getattr(row, name) for name in TOLD}}
                for signature, row in progress.running().items()
            ],
        }
        with self._lock:
            _replace(self._path, content)

    def read(
        self, now: Callable[[], float] = time.time, wait: Callable[[float], None] = time.sleep
    ) -> Launch | None:
        """What the launch at work, or one that died at work, wrote; None where there is none.

        Launches of a study's shards are seen as one.
        """
        files = running_files(self._study_folder)
        looks = [(path, look) for path in files if (look := _look(path)) is not None]
        found: list[Launch] = []
        for path, (content, beat_at) in looks:
            has_waited = any(not launch.is_alive for launch in found)  # The others have had their time, too.
            launch = _launch(path, content, beat_at, now(), (lambda _: None) if has_waited else wait)
            found += [] if launch is None else [launch]
        return _as_one(found)

    def left_behind(self) -> set[str]:
        """Signatures of the trials that were at work when the launch before ended without a word.

        Only for a launch that holds the study, before it writes its own file.
        """
        look = _look(self._path)
        try:
            return set() if look is None else {str(trial["signature"]) for trial in look[0]["running"]}
        except (KeyError, TypeError):
            return set()

    def _keep_until(self, ended: Event, progress: Progress) -> None:
        due = time.monotonic() + BEAT_SECONDS
        while not ended.wait(min(CHANGE_SECONDS, BEAT_SECONDS)):
            if self._has_changed:
                self.write(progress)
            if time.monotonic() >= due:
                due = time.monotonic() + BEAT_SECONDS
                with suppress(OSError):
                    os.utime(self._path)


def running_name(shard: str = "") -> str:
    """The name of the file of a launch, or of that of a shard."""
    name = Path(FILE_NAME)
    return f"{name.stem}-{shard}{name.suffix}" if shard else FILE_NAME


def running_files(study_folder: Path) -> list[Path]:
    """The files of a study's launches."""
    name = Path(FILE_NAME)
    return [*study_folder.glob(FILE_NAME), *sorted(study_folder.glob(f"{name.stem}-*{name.suffix}"))]


def _as_one(launches: Sequence[Launch]) -> Launch | None:
    """Several launches of a study, as its readers see them."""
    if len(launches) < 2:
        return next(iter(launches), None)
    alive = [launch for launch in launches if launch.is_alive]
    shown = alive or launches
    left = [launch.seconds_left for launch in alive]
    return Launch(
        host=", ".join(dict.fromkeys(launch.host for launch in shown)),
        process=shown[0].process,
        beat_at=max(launch.beat_at for launch in shown),
        is_alive=bool(alive),
        seconds_left=None if None in left else max((one for one in left if one is not None), default=None),
        running={signature: told for launch in alive for signature, told in launch.running.items()},
        lost_machines=tuple(name for launch in launches for name in launch.lost_machines),
        avoided_machines=tuple(name for launch in alive for name in launch.avoided_machines),
        parts=tuple(launches),
    )


def _launch(
    path: Path, content: dict[str, Any], beat_at: float, now: float, wait: Callable[[float], None]
) -> Launch | None:
    """The launch of a file; None where that is not what one writes."""
    try:
        is_alive = _is_alive(path, content, beat_at, now, wait)
        # Older launches say less.
        lost, avoided = (tuple(map(str, content.get(name, ()))) for name in MACHINES)
        running = {
            str(trial["signature"]): {name: trial.get(name) for name in TOLD}
            for trial in (content["running"] if is_alive else ())
        }
        left = content["seconds_left"] if is_alive else None
        return Launch(content["host"], content["process"], beat_at, is_alive, left, running, lost, avoided)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, OverflowError):
        return None


def _look(path: Path) -> tuple[dict[str, Any], float] | None:
    """Content and time of a file; None where it cannot be read. Opening it makes a network drive ask its server."""
    try:
        with path.open(encoding="utf-8") as file:
            content: dict[str, Any] = json.load(file)
            return content, os.fstat(file.fileno()).st_mtime
    except (OSError, ValueError):
        return None


def _is_alive(
    path: Path, content: dict[str, Any], beat_at: float, now: float, wait: Callable[[float], None]
) -> bool:
    if content["host"] == host() and content.get("process_space") == process_space():
        try:
            os.kill(content["process"], 0)
        except ProcessLookupError:
            return False
        except PermissionError:  # another user's
            pass
    age = abs(now - beat_at)
    if age < PATIENCE_SECONDS:
        return True
    return age < _MOST_CLOCKS_DIFFER and _beats_again(path, beat_at, wait)


def _beats_again(path: Path, beat_at: float, wait: Callable[[float], None]) -> bool:
    for _ in range(5):
        wait(BEAT_SECONDS / 2)
        look = _look(path)
        if look is None or look[1] != beat_at:
            return look is not None
    return False


def _replace(path: Path, content: dict[str, Any]) -> None:
    """Write a file anew. Nothing depends on it, so a full disk is no reason to stop."""
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        temporary.write_text(json.dumps(content), encoding="utf-8")
        temporary.replace(path)
    except OSError:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


# How a launch ended


@dataclass(frozen=True)
class LastEnd:
    """Why the latest launch of a study ended, as it said itself."""

    why: str
    host: str
    ended_at: float
    """In seconds since 1970, by the clock of that machine."""

    @property
    def line(self) -> str:
        """What `status` says."""
        at = datetime.fromtimestamp(self.ended_at, UTC)
        return f"the latest launch ended at {at:%Y-%m-%d %H:%M:%S}Z on {self.host}: {self.why}"


def write_end(study_folder: Path, why: str) -> None:
    """Say why a launch has just ended."""
    _replace(study_folder / END_FILE, asdict(LastEnd(why, host(), time.time())))


def read_end(study_folder: Path) -> LastEnd | None:
    """Why the latest launch that could say so ended; None where none has."""
    try:
        content = json.loads((study_folder / END_FILE).read_text(encoding="utf-8"))
        return LastEnd(str(content["why"]), str(content["host"]), float(content["ended_at"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None
