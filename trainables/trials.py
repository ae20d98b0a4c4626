"""What a worker drives, and what a finished trial leaves."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from trainables.errors import UserError

Row = dict[str, Any]
"""One row of a ledger table: column name to value."""


class TrialRun(Protocol):
    """One trial as a worker drives it: `step()` until `is_done`, then `finish()`."""

    @property
    def epoch(self) -> int:
        """Epochs trained so far."""

    @property
    def is_done(self) -> bool:
        """Whether every epoch has been trained."""

    def step(self) -> dict[str, float]:
        """Train one epoch. Returns its means, `epoch` among them."""

    def finish(self) -> "TrialResult":
        """Measure what was trained."""

    def save_checkpoint(self, folder: Path) -> None:
        """Write what is needed, beside the rows, to go on as if never interrupted."""

    def checkpoint_rows(self, after: int) -> Iterable[Row]:
        """What a checkpoint keeps of the epochs after one, a JSON-able row each."""

    def load_checkpoint(self, folder: Path, rows: Iterable[Row]) -> None:
        """Go on from a checkpoint of the same configuration and seed."""


@dataclass
class TrialResult:
    """What a finished trial leaves for the ledger."""

    curves: list[Row] = field(default_factory=list)
    evaluations: list[Row] = field(default_factory=list)
    """A row per item that was measured; `image_id` is the item's id, numbers are its metrics."""
    samples: list[Row] = field(default_factory=list)
    """Rows made by `sample`, with their epoch."""
    summary: dict[str, float] = field(default_factory=dict)
    num_parameters: int | None = None
    notes: list[str] = field(default_factory=list)


RASTER = ("image/png", "image/jpeg", "image/webp", "image/gif")
"""Media types that the ledger keeps as pictures, which other libraries show."""


def sample(
    item: str,
    content: bytes | str,
    media_type: str = "text/plain",
    kind: str = "sample",
    **coordinates: float,
) -> Row:
    """Something that a trial leaves to be looked at: a picture, a text, a table, a molecule.

    `media_type` is such as image/png, text/csv or chemical/x-xyz; `coordinates` are numbers that say where it is from.
    """
    held = content.encode() if isinstance(content, str) else content
    row: Row = {"image_id": item, "kind": kind, "media_type": media_type, **coordinates}
    if media_type in RASTER:
        return {**row, "image": {"bytes": held, "path": item}}
    return {**row, "content": held}


class TrialFailed(UserError):
    """A trial that ended in a way its record should name: the reason is the message."""


class Untold(TrialFailed):
    """A trial whose code told other metrics than were declared, as every trial of that code will."""


def close(trial: Any) -> None:
    """End what a trial that is not gone on with has started: a process, a thread."""
    if callable(end := getattr(trial, "close", None)):
        end()
