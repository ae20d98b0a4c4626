"""The rows of what a run logs."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from trainables.errors import Unreadable
from trainables.run_logs.events import Event, event_files, is_of_wandb
from trainables.run_logs.tensorboard import tensorboard_events
from trainables.run_logs.wandb import wandb_events

Row = dict[str, Any]


@dataclass
class EventTail:
    """The rows of a run's event files as they appear, one for each step: `step`, and the tags of all files.

    Tags of a folder in the run's begin with its path, but for the one with a time as its name that PyTorch's
    `add_hparams` makes for results: they belong to the last step, as W&B's summary does. Hugging Face's `train/epoch`
    is `epoch`. Files are only added to, so none is ever read anew.
    """

    path: Path
    """The run's folder."""
    is_text: ClassVar[bool] = False
    times_restarted: ClassVar[int] = 0
    settings: Row = field(default_factory=dict)
    """What the files say of the run's settings."""
    _offsets: dict[Path, int] = field(default_factory=dict)
    """How far each file is read, in bytes."""
    _row: Row = field(default_factory=dict)
    """Of the last step, for which more may come."""

    def new_rows(self, *, is_final: bool = False) -> Iterator[Row]:
        """Rows since the last call; the row of the last step only when the files are `final`.

        Raises Unreadable for a file that holds something else.
        """
        for event, run in sorted(self._new_events(), key=lambda found: found[0].wall_time):
            is_of_end = event.step is None or _is_a_time(run)
            prefix = "" if run == "." or is_of_end else f"{run}/"
            self.settings |= event.settings
            if not event.numbers:
                continue
            new: Row = {"step": self._row.get("step", 0) if is_of_end else event.step}
            for tag, number in event.numbers.items():
                new["epoch" if tag.endswith("/epoch") else f"{prefix}{tag}"] = number
            if any(key in self._row and self._row[key] != value for key, value in new.items()):
                yield self._row
                self._row = {}
            self._row |= new
        if is_final and self._row:
            yield self._row
            self._row = {}

    def place(self) -> str:
        """Where the row stands that was read last."""
        return f"{self.path.name}, step {self._row.get('step')}"

    def _new_events(self) -> Iterator[tuple[Event, str]]:
        """Events since the last call, and the folder of each in the run's."""
        for path in event_files(self.path):
            with path.open("rb") as file:
                file.seek(self._offsets.get(path, 0))
                try:
                    for event in wandb_events(file) if is_of_wandb(path) else tensorboard_events(file):
                        yield event, path.parent.relative_to(self.path).as_posix()
                except ValueError as error:
                    raise Unreadable(f"{path.name}, byte {file.tell()}: {error}") from error
                self._offsets[path] = file.tell()


def _is_a_time(folder: str) -> bool:
    return folder.replace(".", "", 1).isdigit()
