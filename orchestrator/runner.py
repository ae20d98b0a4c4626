"""Runs what a study still misses: lock, clean up, prepare, train, commit."""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from orchestrator.backend import (
    DEFAULT_TRIAL_CLASS,
    OWN_TRIAL_CLASSES,
    Backend,
    Interrupted,
    PreparationFailed,
    Record,
    TrialTask,
    WorkerSettings,
)
from orchestrator.checkpoints import CheckpointStore
from orchestrator.editor_files import collect_editor
from orchestrator.launch import (
    Study,
    describe,
    intervals_of,
    missing_tasks,
    preparation_of,
    standing,
    with_copies,
)
from orchestrator.ledger import Ledger, LedgerLock
from orchestrator.live import Display
from orchestrator.progress import Progress, RunningFile, ended_line
from orchestrator.provenance import git_commit
from orchestrator.trial_queue import TrialQueue
from orchestrator.worker import log_path


@dataclass(frozen=True)
class RunOptions:
    """How a launch runs; nothing here changes a result."""

    inline: bool = False
    """Every trial in this process instead of on Ray."""
    address: str | None = None
    num_cpus: int | None = None
    retries_failed: bool = True
    """Whether trials that failed in an earlier launch are tried again."""
    trial_class: str = DEFAULT_TRIAL_CLASS
    extra_modules: tuple[Path, ...] = ()
    """Python files that hold `trial_class`, for Ray's workers to import."""


@dataclass
class Outcome:
    """How a launch ended."""

    num_run: int = 0
    """Trials that this launch finished."""
    failed: list[Record] = field(default_factory=list)
    """Records of this launch's failed and skipped trials."""
    interrupted_by: int | None = None
    """The signal that ended it, if one did."""
    preparation_error: str | None = None

    @property
    def exit_code(self) -> int:
        """0 when all is done, 1 when trials failed, 128 + signal when interrupted."""
        if self.interrupted_by is not None:
            return 128 + self.interrupted_by
        return 1 if self.failed or self.preparation_error else 0


def run_missing(study: Study, options: RunOptions, display: Display) -> Outcome:
    """Train every trial of the plan that is not done, and commit each as it ends.

    Trials that failed in an earlier launch are tried again. A signal ends the launch after what has
    finished is committed; running trials keep the checkpoint of their last epoch.
    Raises LedgerError when another launch is at work or the folder cannot be written, BackendError when
    Ray cannot be started or joined or has no room for a trial.
    """
    with ExitStack() as stack:
        if study.earlier_plan_hash is None:
            # A folder that holds a lock but no study could not be told from a stranger's.
            describe(study)
        stack.enter_context(LedgerLock(study.ledger_folder))
        describe(study)
        ledger = Ledger(study.ledger_folder)
        now = standing(study, ledger)
        for name in now.damaged:
            display.note(f"damaged and set aside: {name}; its trial counts as not run")
        ledger.clean_uncommitted()
        now = with_copies(study, ledger, now, display.note)
        tasks = missing_tasks(study, ledger, now)
        if not options.retries_failed:
            ended = {s for s, record in now.records.items() if record["status"] in ("failed", "skipped")}
            tasks = [task for task in tasks if task.signature not in ended]
        outcome = Outcome()
        if not tasks:
            return outcome
        done = now.done - {task.signature for task in tasks}
        for trial in study.plan.trials:
            if trial.start_from is not None and trial.start_digest is not None:
                collect_editor(study.folder, Path(trial.start_from), trial.start_digest)
        progress = _progress(study, done)
        observer = StudyObserver(study, ledger, tasks, progress, display, outcome)
        stack.callback(observer.running_file.remove)
        run_queue(study, options, TrialQueue(tasks, done=done), observer, display, tasks)
        return outcome


def run_queue(
    study: Study,
    options: RunOptions,
    queue: TrialQueue,
    observer: "StudyObserver",
    display: Display,
    tasks: Sequence[TrialTask],
) -> None:
    """Prepare what these tasks of the study's plan need, then run the queue; how it ended is the observer's."""
    try:
        with make_backend(study, options) as backend, display.showing(observer.progress):
            if options.trial_class in OWN_TRIAL_CLASSES:
                backend.prepare(intervals_of(study, tasks), observer)
                backend.prepare(preparation_of(study, tasks), observer)
            backend.run(queue, observer)
    except PreparationFailed as error:
        observer.outcome.preparation_error = str(error)
    except Interrupted as signal:
        observer.outcome.interrupted_by = signal.signal_number
    except KeyboardInterrupt:  # Ctrl-C before the back end watched for it
        observer.outcome.interrupted_by = 2


def make_backend(study: Study, options: RunOptions) -> Backend:
    """The back end the options ask for. Ray is imported only when it is."""
    settings = WorkerSettings(
        study_folder=study.folder,
        cache_dir=study.cache_dir,
        trial_class=options.trial_class,
        execution=study.space.config.execution,
        git_commit=git_commit(),
    )
    if options.inline:
        from orchestrator.inline_backend import InlineBackend

        return InlineBackend(settings)
    from orchestrator.ray_backend import RayBackend, RayOptions

    return RayBackend(settings, RayOptions(options.address, options.num_cpus, options.extra_modules))


class StudyObserver:
    """Commits what back ends report, and passes it on to the display."""

    def __init__(
        self,
        study: Study,
        ledger: Ledger,
        tasks: list[TrialTask],
        progress: Progress,
        display: Display,
        outcome: Outcome,
    ) -> None:
        self.progress = progress
        self.outcome = outcome
        self.running_file = RunningFile(study.folder)
        self._study = study
        self._ledger = ledger
        self._display = display

    def on_prepared(self, num_done: int, num_tasks: int) -> None:
        """Show it."""
        self.progress.prepared(num_done, num_tasks)
        self._display.refresh()

    def on_started(self, signature: str) -> None:
        """Show it."""
        self.progress.started(signature)
        self._changed()

    def on_epoch(self, signature: str, metrics: dict[str, float]) -> None:
        """Show it."""
        self.progress.epoch(signature, metrics)
        self._changed()

    def on_finished(self, record: Record) -> None:
        """Commit; only then is the checkpoint of no more use."""
        self._commit(record)
        CheckpointStore(self._study.folder, record["signature"]).remove()

    def on_lost(self, task: TrialTask, reason: str) -> None:
        """Commit as failed, and keep the checkpoint: the next launch goes on from it."""
        self._commit(_record_without_worker(task, "failed", reason))

    def on_skipped(self, task: TrialTask, reason: str) -> None:
        """Commit, so that the reason is on record."""
        self._commit(_record_without_worker(task, "skipped", reason))

    def on_pruned(self, task: TrialTask, reason: str) -> None:
        """Commit; what it has trained is of no more use."""
        self._commit(_record_without_worker(task, "pruned", reason))
        CheckpointStore(self._study.folder, task.signature).remove()

    def on_note(self, message: str) -> None:
        """Show it."""
        self._display.note(message)

    def _commit(self, record: Record) -> None:
        self._ledger.commit(record)
        signature = record["signature"]
        self.progress.ended(signature, record["status"])
        if record["status"] in ("done", "pruned"):
            self.outcome.num_run += 1
        else:
            self.outcome.failed.append(record)
        metric = self._study.space.config.primary.metric
        log = log_path(self._study.folder, signature)
        self._display.ended(ended_line(record, self.progress, metric, log))
        self._changed()

    def _changed(self) -> None:
        self.running_file.write(self.progress)
        self._display.refresh()


def _progress(study: Study, done: set[str]) -> Progress:
    trials = [(t.signature, t.cell, t.seed, t.config.training.epochs) for t in study.plan.trials]
    return Progress.of(trials, done)


def _record_without_worker(
    task: TrialTask, status: Literal["failed", "skipped", "pruned"], reason: str
) -> Record:
    """The record of a trial that could not write one itself."""
    now = datetime.now(UTC)
    shared: Mapping[str, Any] = {
        name: getattr(task, name)
        for name in ("signature", "attempt", "cell", "seed", "axis_values", "config", "parent")
    }
    return {**shared, "status": status, "reason": reason, "started_at": now, "finished_at": now, "notes": []}
