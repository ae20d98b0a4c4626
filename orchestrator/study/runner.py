"""Runs what a study still misses: lock, clean up, prepare, train, commit."""

import signal
import sys
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from orchestrator.execution.checkpoints import drop_committed, unfinished
from orchestrator.execution.contract import Backend, LaunchStopped, PreparationFailed, RayOptions
from orchestrator.execution.ending import WARNING, Interrupted, LaunchEnd
from orchestrator.execution.models import collect_model
from orchestrator.execution.provenance import git_commit
from orchestrator.execution.queue import TrialQueue
from orchestrator.execution.tasks import FamilyRef, WorkerSettings
from orchestrator.ledger import Ledger, LedgerError, share_columns
from orchestrator.ledger.copies import working_copy_of
from orchestrator.plan.cells import Plan
from orchestrator.study.document import expected_rows
from orchestrator.study.holding import FOLDER as SHARDS
from orchestrator.study.holding import Holding, refuse_shards
from orchestrator.study.launch import (
    Study,
    configs_to_prepare,
    describe,
    missing_tasks,
    standing,
    with_copies,
    with_seeds,
)
from orchestrator.study.listening import Listening, Opening
from orchestrator.study.observing import Outcome, StudyObserver
from orchestrator.views.live import Display
from orchestrator.views.progress import Progress
from orchestrator.views.running_file import COMPLETE, RunningFile, running_name, write_end
from trainables.errors import UserError
from trainables.names import visible

Judge = Callable[[Path], Mapping[str, int]]
"""From a study's folder to how many seeds each of its cells should have now. What is decided, and by which rule, is its
business."""
_SHOW_CURSOR = "\x1b[?25h"


@dataclass(frozen=True)
class RunOptions(RayOptions):
    """How a launch runs; nothing here changes a result. It tells its display what a back end has to note."""

    inline: bool = False
    """Every trial in this process instead of on Ray."""
    retries_failed: bool = True
    """Whether trials that failed in an earlier launch are tried again."""
    trial_class: str | None = None
    """`module:Class` in the place of the family's own trials."""
    prepares_itself: bool = False
    """Whether a trial computes what its preparation lacks, as those of a search do."""
    listeners: Mapping[str, Opening] = field(default_factory=dict)
    """Who is told of trials while they run, by name."""


class Launch:
    """A launch that holds its study, be it of a plan or of a search."""

    def __init__(self, study: Study, options: RunOptions, display: Display, stack: ExitStack) -> None:
        """Hold the study until the stack closes. Raises LedgerError when another launch is at work."""
        self.study, self.options, self.display = study, options, display
        self._stack = stack
        self.holding = stack.enter_context(Holding(study))
        self.publish = stack.enter_context(published(study))
        self.ledger = Ledger(study.ledger_folder)
        self.outcome = Outcome()
        self._listening = Listening(display.note)

    def clear_up(self, expected: Mapping[str, list[dict[str, Any]]]) -> None:
        """Take away what killed launches have left, and let tables have the columns of the expected rows."""
        self.ledger.clean_uncommitted(unfinished(self.study.folder))
        share_columns(self.study.ledger_folder, expected)

    def note_damaged(self, names: Iterable[str]) -> None:
        """Say which files of the ledger were damaged."""
        for name in names:
            self.display.note(f"damaged and set aside: {name}; trials that it held count as not run")

    def tell_listeners(self) -> None:
        """Let listeners hear what happens from now on."""
        self._stack.enter_context(self._listening.to(self.options.listeners, self.study.folder))

    def run(self, queue: TrialQueue, progress: Progress, plan: Plan, signatures: Collection[str]) -> None:
        """Prepare what these trials of a plan need, then run the queue."""
        folder, end, outcome = self.study.folder, self.options.end, self.outcome
        observer = StudyObserver(
            *(self.study, self.ledger, queue.tasks, progress, self.display, outcome, self._listening),
            names_at_once=self.options.inline,
        )
        at_work = [
            f"{task.cell} seed {task.seed}"
            for signature in observer.running_file.left_behind()
            if (task := queue.tasks.get(signature)) is not None
        ]
        if self.options.inline and at_work:
            self.display.note(
                f"the launch before ended without a word while {at_work[0]} was at work: if its code ends the process "
                "(os._exit, a crash of a library), run without --inline or inline=True, and that trial alone fails"
            )
        self._stack.enter_context(observer.running_file.beating(progress))
        with _saying_why(folder, outcome, end), observer.compaction as compaction:
            try:
                with self._backend() as backend, self.display.showing(progress):
                    if self.options.trial_class is None:
                        _prepare(self.study, plan, backend, observer, signatures)
                    try:
                        backend.run(queue, observer)
                    except LedgerError as error:
                        raise LaunchStopped(str(error)) from error
            except PreparationFailed as error:
                outcome.preparation_error = str(error)
            except Interrupted as interrupt:
                outcome.interrupted_by = interrupt.signal_number
            except KeyboardInterrupt:  # Ctrl-C before the back end watched for it
                outcome.interrupted_by = signal.SIGINT
            if outcome.interrupted_by is not None:
                compaction.stop()
                left = progress.unfinished()
                outcome.num_left, outcome.num_begun = len(left), len(left & unfinished(folder))
        if compaction.problem is not None:
            self.display.note(f"the ledger was not compacted: {compaction.problem}; nothing in it is lost")

    def _backend(self) -> Backend:
        """The back end the options ask for. Ray is imported only when it is."""
        study, options = self.study, self.options
        study.space.family.activate()
        copy = working_copy_of(study.folder)
        settings = WorkerSettings(
            study_folder=study.folder,
            cache_dir=study.cache_dir,
            family=FamilyRef.of(study.space.family),
            trial_class=options.trial_class,
            prepares_itself=options.prepares_itself or (copy is not None and options.trial_class is None),
            execution=study.space.config.execution,
            git_commit=git_commit(),
            store=None if copy is None else copy.objects.url,
            shard=study.shard_name,
        )
        if options.inline:
            from orchestrator.execution.inline import InlineBackend

            return InlineBackend(settings, options.end)
        from orchestrator.execution.ray.backend import RayBackend

        return RayBackend(settings, replace(options, note=self.display.note, gone=self._end_without_ray))

    def _end_without_ray(self, why: str) -> None:
        """Say why the launch ends, here and for `status`; what it has recorded is whole at any time."""
        cursor = _SHOW_CURSOR if sys.stderr.isatty() else ""  # A live table has hidden it.
        told = "The launch was stopped. What has finished is kept; the same command goes on"
        print(f"{cursor}{why}.\n{told}", file=sys.stderr, flush=True)
        write_end(self.study.folder, f"it was stopped: {why}; the same command goes on")
        RunningFile(self.study.folder, self.study.shard_name).remove()


def run_missing(study: Study, options: RunOptions, display: Display) -> Outcome:
    """Train every trial of the plan that is not done, and commit each as it ends.

    Trials that failed in an earlier launch are tried again. A signal ends the launch after what has
    finished is committed; running trials keep the checkpoint of their last epoch.
    Raises LedgerError when another launch is at work or the folder cannot be written, BackendError when
    Ray cannot be started or joined or has no room for a trial.
    """
    with ExitStack() as stack:
        launch = Launch(study, options, display, stack)
        ledger, holding, outcome = launch.ledger, launch.holding, launch.outcome
        expected = expected_rows(study.plan)
        if holding.is_alone:
            describe(study, has_results=bool(ledger.records()))
            launch.clear_up(expected)
        now = standing(study, ledger)
        launch.note_damaged(now.damaged)
        now = with_copies(study, ledger, now, display.note)
        launch.publish()
        tasks = missing_tasks(study, ledger, now)
        if not options.retries_failed:
            ended = {s for s, record in now.records.items() if record["status"] in ("failed", "skipped")}
            tasks = [task for task in tasks if task.signature not in ended]
        launch.tell_listeners()
        done = now.done - {task.signature for task in tasks}
        if holding.is_alone:
            drop_committed(study.folder, done)
        else:
            holding.supersede(done)
        holding.begun()
        if not tasks:
            return outcome
        for trial in study.plan.trials:
            if trial.start.file is not None and trial.start.digest is not None:
                collect_model(study.folder, Path(trial.start.file), trial.start.digest)
        queue = TrialQueue(tasks, done, options.end)
        launch.run(queue, _progress(study, done & study.own), study.plan, queue.tasks.keys())
        if outcome.interrupted_by is None:
            launch.publish()
            with holding.ending() as is_alone:
                if is_alone:
                    share_columns(study.ledger_folder, expected)
        return outcome


def run_until_decided(
    study: Study, options: RunOptions, display: Display, judge: Judge, note: Callable[[str], None]
) -> Outcome:
    """Run the study as `run_missing` does, then more seeds of the cells that the judge wants, until it wants no more.

    Trials that fail stay failed until the next launch: they are outcomes, and the judge counts them.
    """
    total = run_missing(study, options, display)
    while (
        study.space.config.adaptive is not None
        and total.interrupted_by is None
        and total.preparation_error is None
    ):
        grown = with_seeds(study, judge(study.folder))
        if len(grown.plan.trials) == len(study.plan.trials):
            return total
        note(_added(study, grown))
        study = grown
        more = run_missing(study, replace(options, retries_failed=False, joined=None), display)
        total = replace(more, num_run=total.num_run + more.num_run, failed=[*total.failed, *more.failed])
    return total


def _added(before: Study, after: Study) -> str:
    """Which cells go on, in a line."""
    known = {trial.signature for trial in before.plan.trials}
    new = [trial for trial in after.plan.trials if trial.signature not in known]
    cells = dict.fromkeys(trial.cell for trial in new)
    most = 1 + max(trial.seed for trial in new)
    return f"still undecided, going on to {most} seeds: {', '.join(cells)} ({len(new)} trials)"


@contextmanager
def published(study: Study) -> Iterator[Callable[[], None]]:
    """Hold a study, or its shard, in the object store that its folder is a copy of; what brings both to one state.

    Nothing at all for a folder that is no copy. Raises LedgerError where another launch holds it.
    """
    copy, name = working_copy_of(study.folder), study.folder.name
    if copy is None:
        yield lambda: None
        return
    place = "" if study.shard is None else f"{SHARDS}/{study.shard.name}"
    with copy.launching(name, running_name(study.shard_name), place):
        if study.shard is None:
            refuse_shards(study)
        yield lambda: copy.renew(name)


@contextmanager
def _saying_why(folder: Path, outcome: Outcome, end: LaunchEnd) -> Iterator[None]:
    """Leave on record why the launch ended, once it has."""
    try:
        yield
    except Exception as error:
        write_end(folder, visible(f"it was stopped: {error or type(error).__name__}"))
        raise
    write_end(folder, _why_ended(outcome, end))


def _why_ended(outcome: Outcome, end: LaunchEnd) -> str:
    if outcome.interrupted_by == WARNING:
        return f"{end.why}; the same command goes on"
    if outcome.interrupted_by is not None:
        return f"{signal.Signals(outcome.interrupted_by).name} came; the same command goes on"
    if outcome.preparation_error is not None:
        return f"what all trials share could not be prepared: {visible(outcome.preparation_error)}"
    return COMPLETE


def _prepare(
    study: Study, plan: Plan, backend: Backend, observer: StudyObserver, signatures: Collection[str]
) -> None:
    """Run the family's preparation, stage after stage. Raises PreparationFailed."""
    if (copy := working_copy_of(study.folder)) is not None:
        copy.fetch_cache()
    family = study.space.family
    configs = configs_to_prepare(plan, signatures)
    try:
        for stage in family.preparation(configs, study.cache_dir):
            backend.prepare(stage, observer)
    except UserError as error:
        raise PreparationFailed.by(error, error) from error
    observer.after_preparation()


def _progress(study: Study, done: set[str]) -> Progress:
    family = study.space.family
    num_epochs = {
        id(trial.config): family.num_epochs(trial.config) if family.has_epochs(trial.config) else None
        for trial in study.own_trials
    }
    trials = [(t.signature, t.cell, t.seed, num_epochs[id(t.config)]) for t in study.own_trials]
    return Progress.of(trials, done)
