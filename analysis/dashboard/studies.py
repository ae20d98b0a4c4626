"""The studies of a results folder as the dashboard knows them: read in the background, one at a time, when they change.

Requests are answered from what is known and never wait for a disk, but for the page of a study that somebody asks for
before it has been prepared. Whatever a folder holds, it is shown: its state, or why it cannot be read.
"""

import hashlib
import os
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

from analysis.dashboard.strips import Offer
from analysis.dashboard.totals import Totals, by_cell
from analysis.dashboard.watching import NOT_SEEN, Stamp, look, sequence
from orchestrator.ledger import Ledger, LedgerError
from orchestrator.ledger.study import CACHE_FOLDER, end_of_log, may_hold_study

LOOK_SECONDS = 0.25
LEDGERS_KEPT = 8
"""Ledgers whose records stay in memory, so that only new ones are read: those of the studies that change."""
REST = 1.0
"""A study is not read again before so many times the seconds that reading it took."""
WATCHED_SECONDS = 20.0
"""A study that somebody has asked for this recently comes before the others."""
GIVE_WAY_SECONDS = 2.0
"""So long the reading of other studies waits for a page that somebody waits for."""
LOG_LINES = 200
"""Lines at the end of a trial's log that are shown."""
OTHERS_NAMED = 20
"""Folders beside the studies that are named."""

Standing = Mapping[str, Any]


class Source(Protocol):
    """What the dashboard is told of a study besides what its ledger says."""

    glyphs: Mapping[str, str]
    """State of a trial -> the sign for it, as in the terminal."""

    def standing(self, folder: Path, ledger: Ledger) -> Standing:
        """The content of `asyrp-sweep status --json`, without waiting. Raises LedgerError or OSError."""

    def offer(self, family: str) -> Offer | None:
        """What a family can show of a trained model; None where it has nothing to show."""


@dataclass(frozen=True)
class Entry:
    """A folder of the results folder, as it was when it was last read."""

    key: str
    """Its name in addresses."""
    folder: Path
    stamp: Stamp = NOT_SEEN
    """What a look saw just before it was read; empty before that."""
    standing: Standing | None = None
    problem: str | None = None
    """Why it cannot be read."""
    read_at: float = 0.0
    """When it was read, in seconds since 1970."""
    due_at: float = 0.0
    """When it may be read again, by the clock that only goes on."""

    @property
    def is_read(self) -> bool:
        """Whether it has been read at all."""
        return self.standing is not None or self.problem is not None

    @cached_property
    def cells(self) -> Mapping[str, Totals]:
        """Cell -> its trials, counted once."""
        return by_cell((self.standing or {}).get("trials", ()))

    @cached_property
    def totals(self) -> Totals:
        """All trials, counted once."""
        found = Totals()
        for own in self.cells.values():
            found.join(own)
        return found

    @property
    def sequence(self) -> str:
        """Changes whenever the entry does; the same from any server that reads the same files."""
        return sequence(self.stamp)


class Ledgers:
    """Ledgers that stay in memory, so that each reads only what it has not read yet. For one thread at a time."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._known: OrderedDict[tuple[Path, int], Ledger] = OrderedDict()
        """By folder and its number in the file system: a folder that was deleted and made anew is another one."""

    def of(self, folder: Path) -> Ledger:
        """The ledger of a study."""
        root = folder / "ledger"
        name = (folder, root.stat().st_ino if root.is_dir() else 0)
        ledger = self._known.pop(name, None)
        if ledger is None or ledger.damaged:  # A launch may have put right what was damaged.
            ledger = Ledger(root)
        self._known[name] = ledger
        while len(self._known) > self._most:
            self._known.popitem(last=False)
        return ledger


class Waiting:
    """How many readers wait for a page: what is read before anybody asks gives way to them."""

    def __init__(self) -> None:
        self._number = 0
        self._changed = threading.Condition()

    @contextmanager
    def one_more(self) -> Iterator[None]:
        """While a reader waits."""
        self._count(1)
        try:
            yield
        finally:
            self._count(-1)

    def give_way(self) -> None:
        """Go on once nobody waits, or after a while: what a reader waits for may take long."""
        with self._changed:
            self._changed.wait_for(lambda: self._number == 0, GIVE_WAY_SECONDS)

    def _count(self, change: int) -> None:
        with self._changed:
            self._number += change
            self._changed.notify_all()


class Studies:
    """All studies of a results folder. One thread calls `step`; any may look."""

    def __init__(self, results: Path, source: Source) -> None:
        self.results = results.absolute()
        self.source = source
        self.entries: Mapping[str, Entry] = {}
        """Key -> study, by name; replaced as a whole."""
        self.others: tuple[str, ...] = ()
        """Names of folders that hold no study."""
        self.problem: str | None = None
        """Why the results folder cannot be read."""
        self.waiting = Waiting()
        self._ledgers = Ledgers(LEDGERS_KEPT)
        self._asked_at: dict[str, float] = {}

    @property
    def sequence(self) -> str:
        """Changes whenever anything that the list of studies shows does."""
        stamps = (entry.stamp for entry in self.entries.values())
        return sequence((self.problem, self.others, *self.entries), *stamps)

    def ask(self, key: str) -> Entry | None:
        """A study that somebody looks at."""
        entry = self.entries.get(key)
        if entry is not None:
            self._asked_at[key] = time.monotonic()
        return entry

    def is_watched(self, key: str) -> bool:
        """Whether somebody has looked at a study lately."""
        return time.monotonic() - self._asked_at.get(key, float("-inf")) < WATCHED_SECONDS

    def step(self) -> bool:
        """Look at all folders and read the one that needs it most. False where none does."""
        self.waiting.give_way()
        self._list()
        now = time.monotonic()
        looks = {key: look(entry.folder) for key, entry in self.entries.items()}
        due = [
            entry for key, entry in self.entries.items() if looks[key] != entry.stamp and entry.due_at <= now
        ]
        if not due:
            return False
        entry = max(due, key=self._urgency)
        self._put(self._read(entry, looks[entry.key]))
        return True

    def log_end(self, entry: Entry, signature: str) -> str:
        """The last lines of a trial's log, or why they cannot be shown."""
        text, problem = reading_of(lambda: end_of_log(entry.folder, signature, LOG_LINES), entry.folder)
        return str(text or problem or "")

    def outside(self, path: Path) -> str | None:
        """Why a path is not looked at: it leads out of the results folder; None where it does not."""
        found, home = path.resolve(), self.results.resolve()
        if found.is_relative_to(home):
            return None
        return (
            f"{path} is a link to {found}, outside the results folder, and is not read; "
            f"asyrp-sweep dashboard --results {found.parent} shows what is there"
        )

    def _list(self) -> None:
        """See which folders there are."""
        try:
            with os.scandir(self.results) as found:
                folders = sorted(
                    Path(item.path) for item in found if not item.name.startswith(".") and item.is_dir()
                )
        except OSError as error:
            self.entries, self.others = {}, ()
            self.problem = f"{self.results} cannot be read: {error.strerror or error}"
            return
        own = {folder for folder in folders if may_hold_study(folder)}
        strangers = [folder.name for folder in folders if folder not in own and folder.name != CACHE_FOLDER]
        known = self.entries
        keys = {key_of(folder.name): folder for folder in folders if folder in own}
        self.entries = {key: known.get(key) or Entry(key, folder) for key, folder in keys.items()}
        self.others = tuple(strangers[:OTHERS_NAMED])
        self.problem = None
        self._asked_at = {key: asked for key, asked in self._asked_at.items() if key in self.entries}

    def _urgency(self, entry: Entry) -> tuple[bool, bool, float]:
        """Watched studies first, then those that have not been read, then the one that has waited longest."""
        return self.is_watched(entry.key), not entry.is_read, -entry.read_at

    def _read(self, entry: Entry, stamp: Stamp) -> Entry:
        began = time.monotonic()
        standing, problem = None, self.outside(entry.folder) or self.outside(entry.folder / "ledger")
        if problem is None:
            standing, problem = reading_of(lambda: self._standing(entry.folder), entry.folder)
        took = time.monotonic() - began
        return replace(
            entry,
            stamp=stamp,
            standing=standing,
            problem=problem,
            read_at=time.time(),
            due_at=time.monotonic() + REST * took,
        )

    def _standing(self, folder: Path) -> Standing:
        return self.source.standing(folder, self._ledgers.of(folder))

    def _put(self, entry: Entry) -> None:
        """Let readers see what is known of a study now."""
        if entry.key in self.entries:
            self.entries = {**self.entries, entry.key: entry}


def reading_of(read: Callable[[], Any], folder: Path) -> tuple[Any, str | None]:
    """What reading a study gives, and why it cannot be read: one of the two.

    A folder may hold anything, and one that cannot be read must not hide the others: what it raises becomes its line.
    """
    try:
        return read(), None
    except LedgerError as error:
        return None, str(error)
    except OSError as error:
        return None, f"{error.filename or folder} cannot be read: {error.strerror or error}"
    except Exception as error:
        return None, f"{folder} cannot be read: {type(error).__name__}: {error}"


def key_of(name: str) -> str:
    """A folder's name as it stands in addresses; of a name that is no valid text, its digest."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return f"folder-{hashlib.sha256(os.fsencode(name)).hexdigest()[:16]}"
    return name
