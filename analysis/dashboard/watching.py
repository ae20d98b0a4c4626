"""What has changed in a results folder: a look at the times of a few files and folders, reading none of them.

A look costs some microseconds a file, so it may come twice a second. What it sees is a stamp; equal stamps mean that
nothing has changed. The ledger's own files are never changed but replaced or added, which moves their folder's time.
"""

import hashlib
import time
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from orchestrator.ledger import TABLES
from orchestrator.ledger.index import MERGING_FOLDER
from orchestrator.ledger.parts import DAMAGED_FOLDER
from orchestrator.ledger.study import STUDY_FILE

SETTLED_SECONDS = 2.0
"""Some file systems tell times no finer than this: what changed since may have changed again unseen."""
LAUNCH_SECONDS = 10.0
"""A launch that falls silent changes nothing; so where there is one, a study counts as changed this often."""
_PLACES = ("", f"{MERGING_FOLDER}/", f"{DAMAGED_FOLDER}/")
_LEDGER = (
    *(STUDY_FILE, "tuning.json", "ledger"),
    *(f"ledger/{place}{table}" for place in _PLACES for table in TABLES),
)
_LAUNCHES = "running*.json"
"""A file for each launch at work: shards of a study are several."""


class Stamp(NamedTuple):
    """What a look at a study's folder has seen."""

    ledger: tuple[int | None, ...] = ()
    """Of its plan and results."""
    launch: tuple[int | None, ...] = ()
    """Of what is running; moves with every heartbeat."""

    @property
    def changed_at(self) -> float | None:
        """When anything was changed last, in seconds since 1970; None where nothing has been seen."""
        newest = max((time or 0 for time in (*self.ledger, *self.launch)), default=0)
        return newest / 1e9 if newest > 0 else None


NOT_SEEN = Stamp()


def look(folder: Path, now: float | None = None) -> Stamp:
    """The stamp of a study's folder as it is now."""
    now = time.time() if now is None else now
    launches = sorted(path.name for path in folder.glob(_LAUNCHES))
    launch = _seen(folder, ("", *launches), now)
    return Stamp(_seen(folder, _LEDGER, now), (*launch, int(now // LAUNCH_SECONDS) if launches else None))


def sequence(*seen: object) -> str:
    """A short name of what looks have seen: the same for the same, whichever server looked."""
    return hashlib.sha256(repr(seen).encode()).hexdigest()[:16]


def _seen(folder: Path, names: Iterable[str], now: float) -> tuple[int, ...]:
    times = [_time(folder / name) for name in names]
    return (*times, now - max(times) / 1e9 > SETTLED_SECONDS)


def _time(path: Path) -> int:
    """When a file or a folder was changed last, in nanoseconds; below zero where that cannot be told."""
    try:
        found = path.stat()
    except OSError as error:
        return -(error.errno or 1)
    return max(found.st_mtime_ns, found.st_ctime_ns)
