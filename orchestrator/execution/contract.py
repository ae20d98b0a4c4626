"""The contract both back ends keep: what they are given, what they report, how they are interrupted."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from orchestrator.execution.ending import LaunchEnd
from orchestrator.execution.queue import TrialQueue
from orchestrator.execution.tasks import Record, TrialTask
from orchestrator.ledger import LedgerError
from trainables.errors import UserError
from trainables.settings import Settings


class Observer(Protocol):
    """What a back end tells while it runs, always from the thread that called it, but for `keep`.

    A trial has ended only once `on_finished`, `on_lost`, `on_skipped` or `on_pruned` has returned: where one of them,
    or `keep`, raises, whatever it raises, the back end stops the run and raises it, too.
    """

    def on_prepared(self, num_done: int, num_tasks: int) -> None:
        """One more chunk of the trajectory cache is on disk."""

    def on_started(self, signature: str) -> None:
        """A trial began, or began again, on a worker."""

    def on_epoch(self, signature: str, metrics: dict[str, float], host: str) -> None:
        """A trial finished an epoch on this machine; `metrics["epoch"]` counts from 1."""

    def keep(self, records: Sequence[Record]) -> None:
        """Put on disk how trials ended, in this order; their rows are written. From any thread, one call at a time."""

    def on_finished(self, record: Record) -> None:
        """A trial ended by itself, with status `done` or `failed`, and its record is kept."""

    def on_lost(self, task: TrialTask, reason: str) -> None:
        """A trial's worker died more often than `max_retries` allows."""

    def on_skipped(self, task: TrialTask, reason: str) -> None:
        """A trial cannot run because its parent did not finish."""

    def on_pruned(self, task: TrialTask, reason: str) -> None:
        """A search stopped a trial that did not promise enough."""

    def on_machine_lost(self, name: str) -> None:
        """A machine has left the cluster; what ran on it goes on elsewhere from its last checkpoint."""

    def on_machines_avoided(self, machines: list[str]) -> None:
        """These, each with the time, and no others, are not asked for now: workers kept dying there."""

    def on_note(self, message: str) -> None:
        """Something the user should know that ends nothing."""


class Backend(Protocol):
    """Runs a plan's work. Entering starts what it needs, leaving always cleans it up."""

    def __enter__(self) -> "Backend":
        """Start. Raises BackendError when that is impossible."""

    def __exit__(self, *exc_info: object) -> None:
        """Stop every worker that is left."""

    def prepare(self, tasks: Sequence[Any], observer: Observer) -> None:
        """Run the preparation tasks in parallel. Raises PreparationFailed with the worker's own words."""

    def run(self, queue: TrialQueue, observer: Observer) -> None:
        """Run trials until the queue is empty. Raises Interrupted soon after the first signal, and before the launch's
        time is over."""


@dataclass(frozen=True)
class MachineKind:
    """Machines of a cluster that are alike."""

    name: str
    """As `provenance.machine_kind` tells it of a trial that has run there."""
    nodes: tuple[str, ...]
    """Ids of the machines."""
    num_parallel: int
    """How many trials they hold at a time."""


class JoinedCluster(Protocol):
    """A cluster as a launch finds it on joining."""

    kinds: Sequence[MachineKind]
    """Machines that had a free place for a trial, by kind, in the order of their names."""
    num_silent: int
    """Machines on which a trial fits that had no free place."""

    def pilot(self, kind: MachineKind, config: Settings) -> Mapping[str, Any]:
        """What `Family.pilot` finds on a machine of a kind. Raises UserError where that is impossible, Interrupted."""


@dataclass(frozen=True)
class RayOptions:
    """Which Ray trials run on, and what goes with the code."""

    address: str | None = None
    """Address of a running cluster, or `auto`; without one, Ray is started on this machine for this launch."""
    num_cpus: int | None = None
    """How many CPUs a Ray started here may use; when left out, as many as this process may."""
    extra_modules: tuple[Path, ...] = ()
    """Single Python files that workers must be able to import beside our packages."""
    note: Callable[[str], None] = lambda line: None
    """Told what the user should know before the first trial starts."""
    gone: Callable[[str], None] = lambda line: None
    """Told that Ray is gone, from a thread; the process ends after it, for its other threads may wait for Ray."""
    wait_seconds: float | None = None
    """How long to wait for a machine with room for a trial, in the place of `execution.wait_minutes`."""
    concurrency: int | None = None
    """How many trials run at a time at most, and for how many at once a cluster that grows is asked."""
    joined: Callable[[JoinedCluster], None] | None = None
    """Told of a cluster that was joined once it has room, before anything starts; what it raises ends the launch."""
    end: LaunchEnd = field(default_factory=LaunchEnd)
    """When the launch has to end, whether or not everything has run."""


class BackendError(UserError):
    """The back end cannot start as it was asked to: the user's settings and the machine disagree."""


class PreparationFailed(UserError):
    """What all trials share could not be computed, so no trial can run."""

    @classmethod
    def by(cls, cause: BaseException, told: object) -> "PreparationFailed":
        """By an error of a worker: what a user can put right in its own words, anything else as `told`."""
        return cls(str(cause if isinstance(cause, UserError) else told))


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
