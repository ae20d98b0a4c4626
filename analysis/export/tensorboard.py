"""TensorBoard: a run for every trial, with curves and pictures; HParams has a group for every cell."""

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from analysis.export._base import of_sink
from analysis.export._trials import (
    ExportedTrial,
    StudyTrials,
    file_names,
    metric_meaning,
    metric_title,
    plain_text,
)
from analysis.frames import MISSING
from orchestrator.ledger import read_study

if TYPE_CHECKING:
    from analysis.export._events import EventFile


class EventsSink:
    """Folders of runs, `<cell>/seed=<seed>`, and a file for the study beside them.

    A run has up to three kinds of files, read in this order: what came while it went on, one for each launch; the whole
    trial, named by its id and attempt; and what is said of all seeds of its cell. Each makes TensorBoard forget what it
    replaces of those before it. None is removed that a TensorBoard at work may be reading: it would wait there forever.
    """

    def __init__(self, study_folder: Path, out: Path) -> None:
        from analysis.export import _events, _hparams  # tensorboardX is needed from here on

        self._events, self._hparams = _events, _hparams
        self._out = out
        study = read_study(study_folder)
        self._types = _hparams.axis_types(study.axes)
        self._folders = file_names(cell.cell for cell in study.cells)
        self._live: dict[str, EventFile] = {}

    def __enter__(self) -> "EventsSink":
        self._out.mkdir(parents=True, exist_ok=True)
        return self

    def __exit__(self, *exc_info: object) -> None:
        while self._live:
            self._live.popitem()[1].close()

    def epoch(self, trial: ExportedTrial, epoch: int, means: Mapping[str, float]) -> None:
        """A step of `epoch/<column>`."""
        if trial.signature not in self._live:
            self._forget(trial)
            now = time.time()
            file = self._file(trial, f"0.{now:.3f}.live", now, is_live=True, restarts_at=epoch)
            self._hparams.write_start(file, trial, self._types)
            self._live[trial.signature] = file
        file = self._live[trial.signature]
        for name, value in means.items():
            file.number(f"epoch/{plain_text(name)}", value, step=epoch, wall_time=time.time())
        file.flush()

    def has(self, trial: ExportedTrial) -> bool:
        """Whether the file of this attempt is there."""
        return self._path(trial, _whole(trial)).is_file()

    def write(self, trial: ExportedTrial) -> None:
        """A run; nothing of a trial that never ran."""
        if trial.status == MISSING:
            return
        file = self._file(trial, _whole(trial), trial.time(0.0), restarts_at=0)
        self._hparams.write_start(file, trial, self._types)
        for group, curves in (("epoch", trial.epoch_means()), ("curves", trial.curves())):
            for name, points in curves:
                for step, value, share in points:
                    file.number(f"{group}/{plain_text(name)}", value, step=step, wall_time=trial.time(share))
        end = trial.time(1.0)
        for picture in trial.pictures:
            size = (picture.width, picture.height)
            tag = f"samples/{picture.name}"
            file.picture(tag, picture.content, size, step=picture.epoch, wall_time=end)
        for name, value in trial.metrics.items():
            title, meaning = metric_title(name), metric_meaning(name)
            tag = f"metric/{plain_text(name)}"
            file.number(tag, value, wall_time=end, title=title, description=meaning)
        file.text("config", _code(trial.config))
        file.text("trial", _code({"status": trial.status, "reason": trial.reason, **trial.facts}))
        self._hparams.write_end(file, trial)
        self._forget(trial)
        file.close()
        if trial.signature in self._live:
            self._live.pop(trial.signature).close()

    def finish(self, study: StudyTrials) -> None:
        """The columns of HParams, and in every run what is said of all seeds of its cell."""
        spreads = study.spreads()
        for trial in study.trials(with_rows=False):
            if self.has(trial):
                file = self._file(trial, "2.seeds", trial.time(1.0))
                self._hparams.write_spreads(file, spreads.get(trial.cell, {}))
                file.close()
        file = self._events.EventFile(self._out / f"{self._events.EVENTS}.0.study", 0.0)
        self._hparams.write_columns(file, study)
        file.text("question", study.study.question)
        file.close()

    def _forget(self, trial: ExportedTrial) -> None:
        """Remove what an earlier attempt has left as a whole."""
        for earlier in self._path(trial, "").parent.glob(f"{self._events.EVENTS}.[12]*"):
            earlier.unlink()

    def _file(self, trial: ExportedTrial, ending: str, wall_time: float, **options: Any) -> "EventFile":
        return self._events.EventFile(self._path(trial, ending), wall_time, **options)

    def _path(self, trial: ExportedTrial, ending: str) -> Path:
        if trial.cell not in self._folders:  # of a search that goes on
            self._folders = file_names([*self._folders, trial.cell])
        return (
            self._out / self._folders[trial.cell] / f"seed={trial.seed}" / f"{self._events.EVENTS}.{ending}"
        )


def _whole(trial: ExportedTrial) -> str:
    return f"1.{trial.signature}-{trial.attempt}"


def _code(content: Mapping[str, Any]) -> str:
    """JSON as a code block of Markdown."""
    text = json.dumps(dict(content), indent=2, ensure_ascii=False, default=str)
    return "\n".join(f"    {line}" for line in text.splitlines())


TARGET = of_sink(
    "tensorboard",
    "event files: curves, pictures, and HParams grouped by cell",
    EventsSink,
    "Open it with: tensorboard --logdir {place}",
    packages=("tensorboardX",),
    install="pip install tensorboardX",
)
