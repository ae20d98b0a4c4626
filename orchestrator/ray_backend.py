"""Trials on Ray Tune: the only module that imports ray.

Tune is the executor and no more. What has run is the ledger's business, checkpoints are ours, the
terminal is ours: Tune gets a searcher that hands out ready trials, a class trainable that advances one,
a callback that reports, a new run name at every launch, and a temporary folder that is removed after it.
"""

import logging
import os
import uuid
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

# Ray reads these while it is imported.
os.environ.update(
    {
        "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "1",  # else a trial that asks for no GPU sees them all
        "RAY_CHDIR_TO_TRIAL_DIR": "0",
        "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",  # no result files: our callback is the only record
        "TUNE_DISABLE_SIGINT_HANDLER": "1",
        "TUNE_GLOBAL_CHECKPOINT_S": "1000000",  # Tune's own state is never used
        "TUNE_PRINT_ALL_TRIAL_ERRORS": "0",
        "RAY_AIR_NEW_OUTPUT": "0",
        "RAY_TRAIN_ENABLE_V2_MIGRATION_WARNINGS": "0",
        "RAY_USAGE_STATS_ENABLED": "0",
        # Ray prints these on the driver even when told to log nothing there; our notes say it shorter.
        "RAY_DEDUP_LOGS_SKIP_REGEX": "A worker died or was killed|killed due to memory pressure",
    }
)

import ray
from ray import tune
from ray.tune.schedulers import FIFOScheduler
from ray.tune.search import Searcher

from orchestrator.backend import (
    BackendError,
    Guarded,
    Observer,
    PreparationFailed,
    TrialTask,
    WorkerSettings,
)
from orchestrator.cluster import Node, check_address, check_fits, num_slots, why_not_connected
from orchestrator.interrupts import SignalWatch
from orchestrator.shipping import copy_packages, launch_folder
from orchestrator.trial_queue import TrialQueue
from orchestrator.worker import Step, TrialRun, prepare_torch, run_preparation_task

if TYPE_CHECKING:
    from orchestrator.backend import Preparation

POLL_SECONDS = 0.1
WORKER_ENVIRONMENT = ("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "RAY_CHDIR_TO_TRIAL_DIR")
"""What workers need, too; those of a running cluster were not started by this process."""


@dataclass(frozen=True)
class RayOptions:
    """Which Ray, and what goes with the code."""

    address: str | None = None
    """Of a running cluster, or `auto`; without one, Ray is started on this machine for this launch."""
    num_cpus: int | None = None
    """How many CPUs a Ray started here may use; all of them when left out."""
    extra_modules: tuple[Path, ...] = ()
    """Single Python files that workers must be able to import beside our packages."""


class RayBackend:
    """The contract of `Backend` on Ray."""

    def __init__(self, settings: WorkerSettings, options: RayOptions | None = None) -> None:
        self._settings = settings
        self._options = options or RayOptions()
        self._signals = SignalWatch()
        self._folder: Path | None = None
        self._stack = ExitStack()

    def __enter__(self) -> "RayBackend":
        if ray.is_initialized():
            raise BackendError(
                "this process is already connected to Ray; call ray.shutdown() first, or use --inline"
            )
        self._folder = self._stack.enter_context(launch_folder())
        try:
            self._connect(self._folder / "code")
            check_fits(self._settings.execution, _nodes())
        except BaseException:
            self.__exit__()
            raise
        self._signals.__enter__()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._signals.__exit__()
        ray.shutdown()
        self._stack.close()

    def describe(self) -> str:
        """What was joined: version, nodes, CPUs, GPUs."""
        nodes = _nodes()
        cpus, gpus = (sum(node.get(kind, 0) for node in nodes) for kind in ("CPU", "GPU"))
        return f"Ray {ray.__version__}, {len(nodes)} nodes, {cpus:g} CPUs, {gpus:g} GPUs"

    def prepare(self, tasks: Sequence["Preparation"], observer: Observer) -> None:
        """Run the preparation tasks on all CPUs, or GPUs, of the cluster."""
        execution = self._settings.execution
        remote = ray.remote(_prepare).options(
            num_cpus=execution.cpus_per_trial, num_gpus=execution.gpus_per_trial
        )
        pending = [remote.remote(task, self._settings) for task in tasks]
        while pending:
            self._signals.check()
            finished, pending = ray.wait(pending, timeout=POLL_SECONDS)
            for reference in finished:
                try:
                    ray.get(reference)
                except ray.exceptions.RayError as error:
                    raise PreparationFailed(str(error)) from error
                observer.on_prepared(len(tasks) - len(pending), len(tasks))

    def run(self, queue: TrialQueue, observer: Observer) -> None:
        """Run the queue's trials on Tune until it is empty, or until a signal."""
        callback = ObserverCallback(queue, observer, self._signals)
        callback.report_skips()
        if queue.is_finished:
            return
        # Tune keeps this many trials ready, and starts no more at once.
        os.environ["TUNE_MAX_PENDING_TRIALS_PG"] = str(
            num_slots(self._settings.execution, _nodes(), queue.num_expected)
        )
        with suppress(LeaveTune):
            self._tuner(queue, callback).fit()
        callback.guard.raise_first()
        callback.report_unaccounted()

    def _tuner(self, queue: TrialQueue, callback: "ObserverCallback") -> tune.Tuner:
        assert self._folder is not None, "run() needs an entered back end"
        execution = self._settings.execution
        shared = {
            "settings": self._settings,
            "cpus": execution.cpus_per_trial,
            "gpus": execution.gpus_per_trial,
        }
        return tune.Tuner(
            TuneTrial,
            param_space=shared,
            tune_config=tune.TuneConfig(
                search_alg=QueueSearcher(queue),
                scheduler=QueueScheduler(queue, callback.stopped),
                num_samples=-1,
                reuse_actors=True,
                trial_name_creator=_signature,
                trial_dirname_creator=_signature,
            ),
            run_config=tune.RunConfig(
                # Constructing a Tuner on an existing name overwrites that run: a new one every time.
                name=f"launch-{uuid.uuid4().hex}",
                storage_path=str(self._folder / "tune"),
                verbose=0,
                callbacks=[callback],
                failure_config=tune.FailureConfig(max_failures=execution.max_retries),
                # By default Tune also asks a class trainable for a checkpoint at its end.
                checkpoint_config=tune.CheckpointConfig(checkpoint_frequency=0, checkpoint_at_end=False),
            ),
        )

    def _connect(self, code: Path) -> None:
        code.mkdir()
        copy_packages(code, self._options.extra_modules)
        address = self._options.address or os.environ.get("RAY_ADDRESS") or "local"
        check_address(address, ray.__version__)
        is_local = address == "local"
        environment = {name: os.environ[name] for name in WORKER_ENVIRONMENT}
        try:
            ray.init(
                address=address,
                num_cpus=self._options.num_cpus if is_local else None,
                include_dashboard=False if is_local else None,
                runtime_env={"working_dir": str(code), "env_vars": environment},
                log_to_driver=False,
                logging_level=logging.ERROR,
            )
        except Exception as error:  # Ray raises bare ones, too.
            raise BackendError(why_not_connected(address, error, ray.__version__)) from error
        logging.getLogger("ray").setLevel(logging.ERROR)


class QueueSearcher(Searcher):
    """Hands Tune the queue's ready trials; the trial's identity travels in its config."""

    def __init__(self, queue: TrialQueue) -> None:
        super().__init__()
        self._queue = queue

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:  # type: ignore[override]  # FINISHED is a str
        """The next ready trial; None only while a running one may make others ready."""
        task = self._queue.take()
        if task is not None:
            return {"_signature": task.signature, "task": task.to_json()}
        # With nothing alive, None would make Tune sleep for up to ten minutes.
        is_over = self._queue.is_handed_out or self._queue.count("running") == 0
        return str(Searcher.FINISHED) if is_over else None

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        """Nothing: the callback, which also knows the record, tells the queue."""

    def save(self, checkpoint_path: str) -> None:
        """Nothing: Tune's state is never restored."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing, for the same reason."""


class QueueScheduler(FIFOScheduler):
    """Stops a trial after an epoch where the queue says so; the callback, called next, records it."""

    def __init__(self, queue: TrialQueue, stopped: dict[str, str]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # Ray leaves it unannotated.
        self._queue = queue
        self._stopped = stopped

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        """CONTINUE or STOP; a trial that has ended by itself is not asked about."""
        step: Step = result["step"]
        reason = self._queue.stop_reason(_signature(trial), step.metrics)
        if reason is None:
            return str(self.CONTINUE)
        self._stopped[_signature(trial)] = reason
        return str(self.STOP)


class TuneTrial(tune.Trainable):
    """One trial after another in one process; the domain's models stay loaded in between."""

    @classmethod
    def default_resource_request(cls, config: dict[str, Any]) -> tune.PlacementGroupFactory:
        """CPUs and GPUs both: asking Tune for a GPU alone means no CPU at all."""
        return tune.PlacementGroupFactory([{"CPU": config["cpus"], "GPU": config["gpus"]}])

    def setup(self, config: dict[str, Any]) -> None:
        """Take the first trial."""
        self.reset_config(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Take another trial; its work, and every way it can fail, belongs to `step`."""
        self._run = TrialRun(TrialTask.from_json(new_config["task"]), new_config["settings"])
        return True

    def step(self) -> dict[str, Any]:
        """Train one epoch; the last one also evaluates and ends the trial."""
        step = self._run.advance()
        return {"step": step, "done": step.record is not None}


class LeaveTune(BaseException):
    """Ends Tune's loop without its clean-up, which waits for running trials; ours stops them at once."""


class ObserverCallback(tune.Callback):
    """Tells the queue and the observer what Tune reports.

    Tune calls it inside its control loop: errors are kept for afterwards, and all that may
    leave the loop, between two of its steps, are Interrupted and LeaveTune.
    """

    def __init__(self, queue: TrialQueue, observer: Observer, signals: SignalWatch) -> None:
        self.guard = Guarded()
        self.stopped: dict[str, str] = {}
        """Signature -> why `QueueScheduler` has just stopped the trial."""
        self._queue = queue
        self._observer = observer
        self._signals = signals

    def __getstate__(self) -> dict[str, Any]:
        """Nothing: Tune pickles callbacks for a restore that never happens."""
        return {}

    def on_step_end(self, iteration: int, trials: list[Any], **info: Any) -> None:
        """The safe place to stop, for a signal or when nothing can be recorded any more."""
        self._signals.check()
        if self.guard.is_useless_to_go_on:
            raise LeaveTune

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """A worker has taken the trial."""
        self.guard(self._observer.on_started, _signature(trial))

    def on_trial_result(
        self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **info: Any
    ) -> None:
        """An epoch is over, perhaps the last."""
        step: Step = result.pop("step")  # Tune would keep it, and dump it, for the whole launch.
        if step.metrics:
            self.guard(self._observer.on_epoch, _signature(trial), step.metrics)
        if step.record is not None:
            # Committed first, for a child starts from what is committed.
            self.guard(self._observer.on_finished, step.record)
            self._queue.mark_ended(step.record)
            self.report_skips()
        elif (reason := self.stopped.pop(_signature(trial), None)) is not None:
            self.guard(self._observer.on_pruned, self._queue.tasks[_signature(trial)], reason)
            self._queue.mark_pruned(_signature(trial), reason)
            self.report_skips()

    def on_trial_recover(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """A worker died and the trial will go on in another."""
        task = self._queue.tasks[_signature(trial)]
        text = f"the worker of {task.cell} seed {task.seed} died ({_last_words(trial)})"
        self.guard(self._observer.on_note, f"{text}; it goes on from its last checkpoint in another one")

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """A worker died once too often."""
        self._lose(_signature(trial), f"its worker died {trial.num_failures} times: {_last_words(trial)}")

    def report_skips(self) -> None:
        """Tell of trials that can no longer run."""
        for task, reason in self._queue.new_skips():
            self.guard(self._observer.on_skipped, task, reason)

    def report_unaccounted(self) -> None:
        """Tell of trials that Tune dropped without a callback, so that none is lost in silence."""
        for signature in self._queue.running():
            self._lose(signature, "Ray Tune ended it without a result or an error")
        self.guard.raise_first()

    def _lose(self, signature: str, reason: str) -> None:
        if signature not in self._queue.running():  # Its record came first; only its worker is lost.
            return
        self._queue.mark_failed(signature, reason)
        self.guard(self._observer.on_lost, self._queue.tasks[signature], reason)
        self.report_skips()


def _prepare(task: "Preparation", settings: WorkerSettings) -> None:
    prepare_torch(settings)
    run_preparation_task(task, settings)


def _signature(trial: Any) -> str:
    return str(trial.config["_signature"])


def _last_words(trial: Any) -> str:
    """The line of Ray's account of a dead worker that says why."""
    text = Path(trial.error_file).read_text(errors="replace") if trial.error_file else ""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    telling = [line for line in lines if "OOM" in line or "exit" in line.lower() or "died" in line]
    return (telling or lines or ["no reason known"])[0]


def _nodes() -> list[Node]:
    """What each living machine of the cluster offers."""
    nodes = ray.nodes()  # type: ignore[no-untyped-call]  # Ray leaves it unannotated.
    return [node["Resources"] for node in nodes if node["Alive"]]
