"""Columns of results, and where each of their rows stands."""

from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from trainables.errors import Problem, UserError
from trainables.wording import did_you_mean, shown, shown_name


@dataclass(frozen=True)
class Rows:
    """The asked columns of one source, or of several after one another."""

    source: str
    """What a message calls it where no row is meant."""
    columns: dict[str, pd.Series]
    """Those of the asked ones that there are, of the same length."""
    names: tuple[str, ...]
    """All columns that there are."""
    place: Callable[[int], tuple[str, int, str]]
    """Row -> file, line (0 where rows have none), and what to say of the row."""

    def __len__(self) -> int:
        return len(next(iter(self.columns.values()))) if self.columns else 0

    def column(self, name: str) -> pd.Series:
        """An asked column. Raises UserError naming the nearest of those that there are."""
        if name in self.columns:
            return self.columns[name]
        known = f"; its columns: {listed(self.names)}" if self.names else ""
        raise UserError(f"{self.source}  no column {shown(name)}{did_you_mean(name, self.names)}{known}")

    def wrong(self, row: int, column: str, message: str) -> UserError:
        """A mistake in a row: file, line and column lead the message."""
        file, line, said = self.place(row)
        return UserError(str(Problem(file, line, f"{said}column {column}", message)))

    def at(self, row: int) -> str:
        """Where a row stands, in the middle of a sentence: `line 12`, `line 12 of b.csv`."""
        file, line, said = self.place(row)
        place = f"line {line}" if line else said.rstrip(", ")
        return place if file == self.source else f"{place} of {file}"

    def kept(self, chosen: "np.ndarray[tuple[int], np.dtype[np.bool_]]") -> "Rows":
        """Only some of the rows, which stay at their places."""
        indices = np.flatnonzero(chosen)
        columns = {name: values[chosen].reset_index(drop=True) for name, values in self.columns.items()}
        return Rows(self.source, columns, self.names, lambda row: self.place(int(indices[row])))


def joined(parts: Sequence[Rows], source: str) -> Rows:
    """Rows of several files after one another; a column that one of them lacks is missing there."""
    if len(parts) == 1:
        return parts[0]
    starts = np.cumsum([0, *(len(part) for part in parts)]).tolist()
    found = dict.fromkeys(name for part in parts for name in part.columns)
    columns = {
        name: pd.concat(
            [part.columns.get(name, pd.Series([None] * len(part), dtype=object)) for part in parts],
            ignore_index=True,
        )
        for name in found
    }

    def place(row: int) -> tuple[str, int, str]:
        index = bisect_right(starts, row) - 1
        return parts[index].place(row - starts[index])

    return Rows(source, columns, tuple(dict.fromkeys(name for part in parts for name in part.names)), place)


def of_frame(frame: pd.DataFrame, asked: Sequence[str]) -> Rows:
    """Rows of a data frame."""
    names = tuple(map(str, frame.columns))
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise UserError(f"the frame  two columns are called {shown(twice)}; rename one")
    columns = {
        name: frame.iloc[:, index].reset_index(drop=True) for index, name in enumerate(names) if name in asked
    }
    return Rows("the frame", columns, names, lambda row: ("the frame", 0, f"row {row + 1}, "))


def listed(names: Sequence[str], most: int = 20) -> str:
    """The first of many names, long ones cut short."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(map(shown_name, names[:most])) + more
