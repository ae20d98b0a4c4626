"""Rows of a curve from what a script logs while it runs, also across an interruption."""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from trainables.command.reading import Content, Tail, Unreadable, cut_half_line, is_csv, number_in
from trainables.wording import shown

Row = dict[str, Any]

EPOCH, STEPS = "epoch", ("step", "global_step", "iteration", "iter", "batch")
"""Columns that say where in its training a script is; the first of `STEPS` that a row has counts."""
MAX_ROWS = 50_000
"""Of a trial; when there are more, every second one is left out."""
POSITION = "_position"
"""Of a row: where in the training it stands, more finely than its epoch; not for the ledger."""
_TAKEN = {"signature", "attempt"}
"""Columns that the ledger has for itself."""


@dataclass
class Curves:
    """The curve of one trial.

    Rows of an earlier run of the same trial count up to where the first new row begins: a script that goes on from its
    checkpoint repeats what it did after it, and one that found none begins anew.
    """

    earlier: list[Row] = field(default_factory=list)
    """Of the runs before this one."""
    notes: list[str] = field(default_factory=list)
    """What a reader should know of what was left out."""
    _tail: Tail | None = None
    _own: list[Row] = field(default_factory=list)
    _num_read: int = 0
    _stride: int = 1
    _restarts: int = 0
    _texts: set[str] = field(default_factory=set)

    @property
    def rows(self) -> list[Row]:
        """The whole curve as far as it is known."""
        return joined(self.earlier, self._own)

    @property
    def epoch(self) -> int:
        """The highest epoch so far."""
        return max((row[EPOCH] for row in (*self._own[-1:], *self.earlier[-1:])), default=0)

    @property
    def has_file(self) -> bool:
        """Whether it is known which file the script writes."""
        return self._tail is not None

    def take_up(self, rows: Sequence[Row], file: Path | None) -> None:
        """Before the command starts: rows that a checkpoint kept, and what an interrupted run left in its file."""
        self.earlier = list(rows)
        if file is not None:
            cut_half_line(file)  # The script would go on behind it.
            self.follow(file)
            self.read()
            self.earlier, self._own = self.rows, []

    def follow(self, file: Path) -> None:
        """Read this file, from its beginning on."""
        self._tail = Tail(file)

    def read(self, *, is_final: bool = False) -> int:
        """Take in what is new in the file; how many rows that is. Raises Unreadable."""
        if self._tail is None:
            return 0
        before = self._num_read
        for content in self._tail.new_rows(is_final=is_final):
            if self._tail.times_restarted > self._restarts:
                self._restarts = self._tail.times_restarted
                self._own, self._num_read, self._stride, before = [], 0, 1, 0
            if self._num_read % self._stride == 0:
                self._own.append(self._row(content))
            self._num_read += 1
            if len(self._own) > MAX_ROWS:
                self._thin_out()
        return self._num_read - before

    def _row(self, content: Content) -> Row:
        numbers = self._numbers(content)
        where = numbers.get(EPOCH, math.nan)
        # Within an epoch (0.33), as some scripts count, it is the first one that is under way.
        epoch = max(1, math.ceil(where)) if math.isfinite(where) else self._num_read + 1
        return {**numbers, EPOCH: epoch, POSITION: position(numbers) or (self._num_read + 1,)}

    def _numbers(self, content: Content) -> dict[str, float]:
        assert self._tail is not None
        file = self._tail.path
        numbers = {}
        for key, value in content.items():
            try:
                number = number_in(value, is_text=is_csv(file))
            except ValueError as error:
                raise Unreadable(f"{self._tail.place()}: {key}: {error}") from error
            if number is not None:
                numbers[column_name(key)] = number
            elif value is not None and key not in self._texts:
                self._texts.add(key)
                what = f"{key} holds no number ({shown(value)}) and is no part of the curves"
                self.notes.append(f"{file.name}: {what}")
        return numbers

    def _thin_out(self) -> None:
        del self._own[1::2]
        self._stride *= 2
        note = f"the curves have more than {MAX_ROWS} rows; of some stretches every second one, or fewer, are kept"
        if note not in self.notes:
            self.notes.append(note)


def position(numbers: Mapping[str, float]) -> tuple[float, ...]:
    """Where in a training a row stands, as far as it says: epoch, then step."""
    steps = (numbers[name] for name in STEPS if name in numbers)
    return tuple(value for value in (numbers.get(EPOCH), next(steps, None)) if value is not None)


def joined(earlier: list[Row], new: list[Row]) -> list[Row]:
    """Earlier rows up to where the new ones begin, then those."""
    if not new or not earlier:
        return [*earlier, *new]
    begin = tuple(new[0][POSITION])
    return [*(row for row in earlier if tuple(row[POSITION]) < begin), *new]


def column_name(key: str) -> str:
    """A key as the name of a column: `val/loss` is `val_loss`."""
    name = re.sub(r"\W+", "_", key).strip("_") or "value"
    return f"script_{name}" if name in _TAKEN or name[0].isdigit() else name


def without_positions(rows: Sequence[Row]) -> list[Row]:
    """Rows as the ledger takes them."""
    return [{name: value for name, value in row.items() if name != POSITION} for row in rows]
