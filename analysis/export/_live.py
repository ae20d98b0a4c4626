"""The trials of a launch, written to another program as they go on, by the same sink as an export of the study.

Once all have ended, the folder holds what an export would have written.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from analysis.export._base import Sink, Target, check_place, mark_of, write_mark
from analysis.export._trials import ExportedTrial, StudyTrials

Row = Mapping[str, Any]


class LiveLog:
    """A sink that is told what happens. It takes in first what the study has done already."""

    def __init__(self, target: Target, study_folder: Path, out: Path) -> None:
        """Raises UserError where the folder holds something else, OSError where it cannot be written."""
        assert target.sink is not None
        self._folder = study_folder
        self._study = StudyTrials(study_folder)
        mark = mark_of(target, self._study.study)
        check_place(out, mark)
        self._sink: Sink = target.sink(study_folder, out)
        self._sink.__enter__()
        write_mark(out, mark)
        self._running: dict[str, ExportedTrial] = {}
        self._unplanned: set[str] = set()
        """Trials that a search has asked for since: which of their settings act, its plan says at its end."""
        for record in self._study.records():
            self._write_missing(record)

    def started(self, trial: Row) -> None:
        """A trial began, or goes on."""
        self._running[trial["signature"]] = self._study.trial(trial["signature"], trial)

    def epoch(self, signature: str, metrics: Mapping[str, float]) -> None:
        """Write its means."""
        means = {name: value for name, value in metrics.items() if name != "epoch"}
        self._sink.epoch(self._running[signature], int(metrics["epoch"]), means)

    def ended(self, record: Row) -> None:
        """Write all of it, from the ledger."""
        self._running.pop(record["signature"], None)
        if not self._study.plans(record["signature"]):
            self._unplanned.add(record["signature"])
        self._sink.write(self._study.read(record))

    def close(self) -> None:
        """Write what is about all trials, as the ledger has them now."""
        study = StudyTrials(self._folder)
        for record in study.records():
            if record["signature"] in self._unplanned:
                self._sink.write(study.read(record))
        self._sink.finish(study)
        self._sink.__exit__(None, None, None)

    def _write_missing(self, record: Row) -> None:
        trial = self._study.trial(record["signature"], record)
        if not self._sink.has(trial):
            self._sink.write(self._study.read(record))


def live_log(target: Target) -> Callable[[Path], LiveLog]:
    """For a launch: from a study's folder to the log in it, in a folder named as the target."""
    return lambda folder: LiveLog(target, folder, folder / target.name)
