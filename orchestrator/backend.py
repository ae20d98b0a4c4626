"""The contract both back ends keep: what they are given, what they report, how they are interrupted."""

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from orchestrator.config import ExecutionConfig
from orchestrator.ledger import LedgerError
from trainables.errors import UserError

if TYPE_CHECKING:
    from orchestrator.trial_queue import TrialQueue
    from trainables.editing_interval import IntervalTask
    from trainables.references import ReferenceTask
    from trainables.trajectory_files import PreparationTask

    Preparation = PreparationTask | IntervalTask | ReferenceTask

DEFAULT_TRIAL_CLASS = "trainables.trial:Trial"
PREPARING_TRIAL_CLASS = "orchestrator.tuning.preparing:PreparingTrial"
OWN_TRIAL_CLASSES = (DEFAULT_TRIAL_CLASS, PREPARING_TRIAL_CLASS)
"""Those that read the trajectory cache."""

Record = dict[str, Any]
"""What a finished trial leaves: one row of the ledger's `trials` table."""


@dataclass(frozen=True)
class TrialTask:
    """One trial to run, as it travels to a worker."""

    signature: str
    attempt: int
    """1 for the first launch that tries it; a failed trial is tried again with the next number."""
    cell: str
    seed: int
    axis_values: dict[str, Any]
    config: dict[str, Any]
    """The resolved CellConfig in JSON form."""
    parent: str | None = None
    num_epochs: int = 1
    """How many epochs the trial takes, for progress and the time left."""
    parent_epoch: int | None = None
    """After which epoch of the parent's training this one goes on; None for its last."""
    start_digest: str | None = None
    """SHA-256 of the editor file this one starts from, where that is no trial's (see `orchestrator.editor_files`)."""
    keep_epochs: list[int] = field(default_factory=list)
    """Epochs after which the editor is kept, for children that start from it."""

    def to_json(self) -> str:
        """One line; `from_json` restores an equal task."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> "TrialTask":
        """Restore what `to_json` wrote."""
        return cls(**json.loads(text))


@dataclass(frozen=True)
class WorkerSettings:
    """What every trial of a launch shares. Paths are absolute, for Ray's workers change directory."""

    study_folder: Path
    cache_dir: Path
    trial_class: str = DEFAULT_TRIAL_CLASS
    """`module:Class`, importable where the trial runs."""
    execution: ExecutionConfig = field(default_factory=ExecutionConfig)
    git_commit: str | None = None
    """Of the code that planned the study, for the records; workers may have no repository."""

    @property
    def device(self) -> str:
        """`cuda` when trials were given a share of a GPU, else `cpu`."""
        return "cuda" if self.execution.gpus_per_trial > 0 else "cpu"


class Observer(Protocol):
    """What a back end tells while it runs, always from the thread that called it.

    A trial has ended only once `on_finished`, `on_lost`, `on_skipped` or `on_pruned` has returned: where one of them
    raises, whatever it raises, the back end stops the run and raises it, too.
    """

    def on_prepared(self, num_done: int, num_tasks: int) -> None:
        """One more chunk of the trajectory cache is on disk."""

    def on_started(self, signature: str) -> None:
        """A trial began, or began again, on a worker."""

    def on_epoch(self, signature: str, metrics: dict[str, float]) -> None:
        """A trial finished an epoch; `metrics["epoch"]` counts from 1."""

    def on_finished(self, record: Record) -> None:
        """A trial ended by itself, with status `done` or `failed`; its rows are written."""

    def on_lost(self, task: TrialTask, reason: str) -> None:
        """A trial's worker died more often than `max_retries` allows."""

    def on_skipped(self, task: TrialTask, reason: str) -> None:
        """A trial cannot run because its parent did not finish."""

    def on_pruned(self, task: TrialTask, reason: str) -> None:
        """A search stopped a trial that did not promise enough."""

    def on_note(self, message: str) -> None:
        """Something the user should know that ends nothing."""


class Backend(Protocol):
    """Runs a plan's work. Entering starts what it needs, leaving always cleans it up."""

    def __enter__(self) -> "Backend":
        """Start. Raises BackendError when that is impossible."""

    def __exit__(self, *exc_info: object) -> None:
        """Stop every worker that is left."""

    def prepare(self, tasks: Sequence["Preparation"], observer: Observer) -> None:
        """Run the preparation tasks in parallel. Raises PreparationFailed with the worker's own words."""

    def run(self, queue: "TrialQueue", observer: Observer) -> None:
        """Run trials until the queue is empty. Raises Interrupted soon after the first signal."""


class BackendError(UserError):
    """The back end cannot start as it was asked to: the user's settings and the machine disagree."""


class PreparationFailed(UserError):
    """What all trials share could not be computed, so no trial can run."""

    @classmethod
    def by(cls, cause: BaseException, told: object) -> "PreparationFailed":
        """By an error of a worker: what a user can put right in its own words, anything else as `told`."""
        return cls(str(cause if isinstance(cause, UserError) else told))


class Interrupted(BaseException):
    """A signal asked for the end. Not an Exception: nothing before the runner may swallow it."""

    def __init__(self, signal_number: int) -> None:
        super().__init__(signal_number)
        self.signal_number = signal_number

    @property
    def exit_code(self) -> int:
        """130 for SIGINT, 143 for SIGTERM, as a shell would report them."""
        return 128 + self.signal_number


class LaunchStopped(LedgerError):
    """A launch that had begun could not record what its trials did, so it ended; what was recorded before stays."""


class Guarded:
    """Keeps what is raised inside Tune's control loop, where an exception would end the experiment.

    An observer that only shows something may fail, and the run goes on. What has to be on record must not: then the
    run is over. `raise_first` brings the error up once the workers are idle.
    """

    def __init__(self) -> None:
        self.errors: list[Exception] = []
        self.is_over = False
        """Whether something could not be recorded: what trials do from here on would be lost."""

    def __call__(self, function: Callable[..., None], *arguments: object) -> None:
        """Call; keep what it raises."""
        try:
            function(*arguments)
        except Exception as error:
            self.errors.append(error)

    @contextmanager
    def or_stop(self) -> Iterator[None]:
        """Keep what is raised inside, and stop the run."""
        try:
            yield
        except Exception as error:
            self.errors.insert(0, error)
            self.is_over = True

    def raise_first(self) -> None:
        """Raise the error that stopped the run, else the first one that was kept, if any."""
        if self.errors:
            raise self.errors[0]
