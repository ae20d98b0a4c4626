"""How a launch is getting on: the numbers behind the live table, the plain lines and `status`. No output."""

import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from orchestrator.execution.tasks import Record
from trainables.wording import duration

TrialState = Literal["done", "pruned", "failed", "skipped", "running", "waiting"]
AVOIDED = "machines that are not asked, since workers kept dying there"
"""What is said before the names of machines that are avoided."""
_LOSSES = ("loss_direction", "loss_total", "loss")
"""What an epoch may call its loss; the first one that it has is shown."""
_UNFINISHED: tuple[TrialState, ...] = ("running", "waiting")


@dataclass
class Row:
    """One trial of the plan as a display shows it."""

    cell: str
    seed: int
    state: TrialState = "waiting"
    epoch: int = 0
    num_epochs: int | None = 1
    """None where no setting says it, or it has gone on beyond that: only its end will tell."""
    loss: float | None = None
    host: str | None = None
    """The machine that trained its last epoch."""
    heard_at: float | None = None
    """When it began or finished its last epoch, in seconds since 1970 by the launch's clock."""


@dataclass
class Progress:
    """The state of a launch, told by events.

    Counts and epochs are kept as events come, so that none of them costs more in a launch of many trials. A live table
    is drawn in another thread: it looks at copies, numbers and lists that only grow, never at a dict that a search adds
    to.
    """

    rows: dict[str, Row]
    """Signature -> trial, in plan order; changed by `add` and the events, and not for another thread to go through."""
    clock: Callable[[], float] = time.monotonic
    num_prepared: int = 0
    num_preparations: int = 0
    """Preparation tasks of the stages known so far: a stage is known once the one before it is done."""
    is_prepared: bool = False
    """Whether no stage is left."""
    num_expected: int = 0
    """Trials in all, where a search asks for them one by one; `rows` has those it asked for."""
    lost_machines: list[str] = field(default_factory=list)
    """Machines that have left the cluster since the launch began, each with the time."""
    avoided_machines: list[str] = field(default_factory=list)
    """Machines where workers kept dying, each with the time before which no other is started there."""
    _began: float | None = None
    _num_in_stages: int = field(default=0, init=False)
    """Preparations of the stages that are done."""
    _epochs_done: int = 0
    _running: dict[str, Row] = field(default_factory=dict, init=False)
    _counts: Counter[TrialState] = field(default_factory=Counter, init=False)
    _epochs_left: int = field(default=0, init=False)
    """Epochs left of the trials that are running or waiting."""
    _longest: int = field(default=0, init=False)
    """Most epochs of a trial that has ended and whose settings did not say how many they would be."""
    _cells: dict[str, list[Row]] = field(default_factory=dict, init=False)
    seeds: tuple[int, ...] = field(default=(), init=False)
    """Seeds of all trials, in ascending order."""

    def __post_init__(self) -> None:
        rows, self.rows = self.rows, {}
        for signature, row in rows.items():
            self.add(signature, row)

    @classmethod
    def of(cls, trials: Iterable[tuple[str, str, int, int | None]], done: Iterable[str]) -> "Progress":
        """From (signature, cell, seed, epochs) of every planned trial and the signatures that are done."""
        rows = {signature: Row(cell, seed, num_epochs=epochs) for signature, cell, seed, epochs in trials}
        for signature in done:
            rows[signature].state = "done"
        return cls(rows)

    def add(self, signature: str, row: Row) -> None:
        """One more trial, as a search asks for it."""
        self.rows[signature] = row
        self._cells.setdefault(row.cell, []).append(row)
        if row.seed not in self.seeds:
            self.seeds = tuple(sorted((*self.seeds, row.seed)))
        self._count(signature, row, 1)

    def prepared(self, num_done: int, num_tasks: int) -> None:
        """So many tasks of a stage of the preparation are done."""
        self.num_prepared = self._num_in_stages + num_done
        self.num_preparations = self._num_in_stages + num_tasks
        if num_done == num_tasks:
            self._num_in_stages = self.num_preparations

    def started(self, signature: str) -> None:
        """A trial began; time is counted from the first one on."""
        self._began = self.clock() if self._began is None else self._began
        self.rows[signature].heard_at = time.time()
        self._set(signature, "running")

    def epoch(self, signature: str, metrics: Mapping[str, float], host: str | None = None) -> None:
        """A trial finished an epoch on this machine."""
        row = self.rows[signature]
        row.host, row.heard_at = host, time.time()
        before = self._left(row)
        row.epoch = int(metrics.get("epoch", row.epoch + 1))
        if row.num_epochs is not None and row.epoch > row.num_epochs:
            row.num_epochs = None
        if row.state in _UNFINISHED:
            self._epochs_left += self._left(row) - before
        row.loss = next((metrics[name] for name in _LOSSES if name in metrics), row.loss)
        self._epochs_done += 1

    def ended(self, signature: str, state: TrialState) -> None:
        """A trial is over. The first ones tell how long trials are whose settings do not say it."""
        self._set(signature, state)
        row = self.rows[signature]
        if row.num_epochs is None and state == "done":
            row.num_epochs = max(row.epoch, 1)
            if row.num_epochs > self._longest:
                self._longest = row.num_epochs
                unfinished = [one for one in self.rows.values() if one.state in _UNFINISHED]
                self._epochs_left = sum(map(self._left, unfinished))

    def count(self, state: TrialState) -> int:
        """How many trials of the plan are in a state."""
        return self._counts[state]

    @property
    def num_ended(self) -> int:
        """How many trials of the plan are over, in whatever way."""
        return len(self.rows) - self._counts["waiting"] - self._counts["running"]

    def running(self) -> dict[str, Row]:
        """Signature -> trial being worked on, in the order they began."""
        return self._running.copy()

    def unfinished(self) -> set[str]:
        """Signatures of the trials that are not over."""
        return {signature for signature, row in self.rows.items() if row.state in _UNFINISHED}

    def seconds_left(self) -> float | None:
        """Seconds left at the pace of this launch so far; None before its first epoch, or while no trial has ended
        whose settings do not say how many it takes.
        """
        if self._began is None or self._epochs_done == 0:
            return None
        if not self._longest and any(row.num_epochs is None for row in self.running().values()):
            return None
        left: float = self._epochs_left
        unasked = max(self.num_expected - len(self.rows), 0)
        if unasked:
            left += unasked * (self._epochs_done + self._epochs_left) / len(self.rows)
        return left * (self.clock() - self._began) / self._epochs_done

    def cells(self) -> dict[str, list[Row]]:
        """Cell -> its trials, both in plan order."""
        return self._cells.copy()

    def _left(self, row: Row) -> int:
        """Epochs that a trial still takes, as far as that is known."""
        return max(max(row.num_epochs or 0, self._longest) - row.epoch, 0)

    def _set(self, signature: str, state: TrialState) -> None:
        row = self.rows[signature]
        self._count(signature, row, -1)
        row.state = state
        self._count(signature, row, 1)

    def _count(self, signature: str, row: Row, sign: Literal[1, -1]) -> None:
        """Count a trial in, or out before it changes."""
        self._counts[row.state] += sign
        if row.state in _UNFINISHED:
            self._epochs_left += sign * self._left(row)
        if sign == 1 and row.state == "running":
            self._running[signature] = row
        else:
            self._running.pop(signature, None)


def ended_line(record: Record, progress: Progress, metric: str | None, log: Path) -> str:
    """One line for a trial that ended: `[3/30] encoder=conv seed 2 done in 41 s, s_dir 0.21`."""
    of_all = max(len(progress.rows), progress.num_expected)
    head = f"[{progress.num_ended}/{of_all}] {record['cell']} seed {record['seed']}"
    if record["status"] == "pruned":
        return f"{head} pruned: {record['reason']}"
    if record["status"] != "done":
        return f"{head} {record['status'].upper()}: {record['reason']} (log: {log})"
    value = record.get(f"metric_{metric}")
    shown = "" if value is None else f", {metric} {value:.4g}"
    return f"{head} done in {duration(record['wall_seconds'])}{shown}"
