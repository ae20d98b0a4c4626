"""Rows of a curve from what a script logs while it runs, also across an interruption."""

import math
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from trainables.command.reading import (
    Content,
    Tail,
    cut_half_line,
    number_in,
    tail_of,
)
from trainables.errors import Unreadable
from trainables.run_logs.tail import EventTail
from trainables.trials import Row
from trainables.wording import shown

EPOCH, STEPS = "epoch", ("step", "global_step", "iteration", "iter", "batch")
"""Columns that say where in its training a script is; the first of `STEPS` that a row has counts."""
MAX_ROWS = 50_000
"""Most rows of a file; when there are more, every second one is left out."""
MAX_COLUMNS = 200
_TAKEN = {"signature", "attempt"}
"""Columns that the ledger has for itself."""


class Entry(NamedTuple):
    """What a script logged at one moment."""

    numbers: dict[str, float]
    position: tuple[float, ...]
    """Where in the training: epoch, then step, as far as the script says; else the number of the line."""


@dataclass
class Curves:
    """The curve of one trial.

    What an earlier run of the same trial logged counts up to where the first new entry begins: a script that goes on
    from its checkpoint repeats what it did after it, and one that found none begins anew.
    """

    notes: list[str] = field(default_factory=list)
    """What a reader should know of what was left out."""
    _earlier: list[Entry] = field(default_factory=list)
    """Entries of the runs, and the files, before this one."""
    _own: list[Entry] = field(default_factory=list)
    _tail: Tail | EventTail | None = None
    _num_read: int = 0
    _stride: int = 1
    _restarts: int = 0
    _columns: set[str] = field(default_factory=set)
    _texts: set[str] = field(default_factory=set)

    @property
    def rows(self) -> list[Row]:
        """The whole curve as far as it is known; `epoch` counts from 1."""
        return [row for row, _ in self._numbered()]

    @property
    def epoch(self) -> int:
        """The highest epoch so far, 0 before the first one."""
        return max((row[EPOCH] for row in self.rows[-1:]), default=0)

    def checkpoint_rows(self, after: int) -> Iterator[Row]:
        """The entries of epochs after one, as JSON can hold them."""
        return (entry._asdict() for row, entry in self._numbered() if row[EPOCH] > after)

    def take_up(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Start from what `checkpoint_rows` gave."""
        self._earlier = [Entry(row["numbers"], tuple(row["position"])) for row in rows]

    def take_up_file(self, file: Path) -> None:
        """Before the command starts again: what an interrupted run left in its file."""
        if file.is_file():
            cut_half_line(file)  # The script would go on behind it.
        self.follow(file)
        self.read(is_final=True)
        self._earlier, self._own = self._entries(), []

    def follow(self, file: Path, pattern: str | None = None) -> None:
        """Read this file from its first line: what matches the pattern, where there is one. Raises Unreadable."""
        if self._tail is not None and self._tail.path == file:
            return
        self.read(is_final=True)
        self._earlier, self._own, self._num_read, self._stride, self._restarts = self._entries(), [], 0, 1, 0
        self._tail = tail_of(file, None if pattern is None else re.compile(pattern))

    def go_on_in(self, file: Path) -> None:
        """Go on where the reading is, in a file that begins with what was read."""
        if self._tail is not None:
            self._tail.path = file

    def read(self, *, is_final: bool = False) -> int:
        """Take in what is new in the file; how many entries that is. Raises Unreadable."""
        if self._tail is None:
            return 0
        before = self._num_read
        for content in self._tail.new_rows(is_final=is_final):
            if self._tail.times_restarted > self._restarts:
                self._restarts = self._tail.times_restarted
                self._own, self._num_read, self._stride, before = [], 0, 1, 0
            if self._num_read % self._stride == 0:
                numbers = self._numbers(content)
                self._own.append(Entry(numbers, position(numbers) or (self._num_read + 1.0,)))
            self._num_read += 1
            if len(self._own) > MAX_ROWS:
                self._thin_out()
        return self._num_read - before

    def _entries(self) -> list[Entry]:
        """Earlier entries up to where the new ones begin, then those."""
        if not self._own:
            return self._earlier
        begin = self._own[0].position
        return [*(entry for entry in self._earlier if entry.position < begin), *self._own]

    def _numbered(self) -> Iterator[tuple[Row, Entry]]:
        """Rows with their epochs, and the entries that they come from.

        Some scripts count epochs from 0, and some say 0.33 within the first one. Where they say nothing, each entry
        is an epoch.
        """
        entries = self._entries()
        said = [
            entry.numbers[EPOCH] for entry in entries if math.isfinite(entry.numbers.get(EPOCH, math.nan))
        ]
        from_zero = 0.0 in said and all(epoch.is_integer() for epoch in said)
        for number, entry in enumerate(entries, 1):
            epoch = entry.numbers.get(EPOCH, math.nan)
            epoch = max(1, math.ceil(epoch) + from_zero) if math.isfinite(epoch) else number
            yield {**entry.numbers, EPOCH: epoch}, entry

    def _numbers(self, content: Content) -> dict[str, float]:
        assert self._tail is not None
        numbers = {}
        for key, value in content.items():
            try:
                number = number_in(value, is_text=self._tail.is_text)
            except ValueError as error:
                raise Unreadable(f"{self._tail.place()}: {key}: {error}") from error
            name = column_name(key)
            if number is not None and (name in self._columns or len(self._columns) < MAX_COLUMNS):
                self._columns.add(name)
                numbers[name] = number
            elif number is not None:
                self._note(f"the curves have more than {MAX_COLUMNS} columns; the others are left out")
            elif value is not None and key not in self._texts:
                self._texts.add(key)
                what = f"{key} holds no number ({shown(value)}) and is no part of the curves"
                self.notes.append(f"{self._tail.path.name}: {what}")
        return numbers

    def _thin_out(self) -> None:
        del self._own[1::2]
        self._stride *= 2
        self._note(f"the curves have more than {MAX_ROWS} rows: only every second one, or fewer, are kept")

    def _note(self, text: str) -> None:
        if text not in self.notes:
            self.notes.append(text)


def position(numbers: Mapping[str, float]) -> tuple[float, ...]:
    """Where in a training a row stands, as far as it says."""
    steps = (numbers[name] for name in STEPS if name in numbers)
    return tuple(value for value in (numbers.get(EPOCH), next(steps, None)) if value is not None)


def column_name(key: str) -> str:
    """A key as the name of a column: `val/loss` is `val_loss`."""
    name = re.sub(r"\W+", "_", key).strip("_") or "value"
    return f"script_{name}" if name in _TAKEN or name[0].isdigit() else name
