"""What Tune is given: a searcher that hands out ready trials, a class trainable that advances one, a callback that
reports, and a scheduler that stops what the queue says."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from orchestrator.execution.contract import Guarded, Observer
from orchestrator.execution.interrupts import SignalWatch
from orchestrator.execution.queue import TrialQueue
from orchestrator.execution.ray.machines import AskedRoom, Machines, RoomForTrials
from orchestrator.execution.ray.ready import FIFOScheduler, Searcher, ray, tune
from orchestrator.execution.recording import Recording
from orchestrator.execution.tasks import TrialTask, WorkerSettings
from orchestrator.execution.worker import Step, TrialRun
from orchestrator.ledger import LedgerError

_COLOURS = re.compile(r"\x1b\[[0-9;]*m")


class QueueSearcher(Searcher):
    """Hands Tune the queue's ready trials; the trial's identity travels in its config."""

    def __init__(self, callback: "ObserverCallback") -> None:
        super().__init__()
        self._queue, self._guard = callback.queue, callback.guard
        self._callback = callback

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:  # type: ignore[override]  # FINISHED is a str
        """The next ready trial; None only while a running one may make others ready."""
        if self._guard.is_over:
            return str(Searcher.FINISHED)
        task = None
        with self._guard.or_stop():
            if self._queue.depends_on_ends:
                self._callback.settle(wait=True)
            task = self._queue.take()
            if task is None and self._queue.count("waiting"):
                self._callback.settle(wait=True)
                task = self._queue.take()
        if task is not None:
            return {"_signature": task.signature, "task": task.to_json()}
        # With nothing alive, None would make Tune sleep for up to ten minutes.
        is_over = self._queue.is_handed_out or self._queue.count("running") == 0
        return str(Searcher.FINISHED) if is_over or self._guard.is_over else None

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        """Nothing: the callback, which also knows the record, tells the queue."""

    def save(self, checkpoint_path: str) -> None:
        """Nothing: Tune's state is never restored."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing, for the same reason."""


class QueueScheduler(FIFOScheduler):
    """Stops a trial after an epoch where the queue says so; the callback, called next, records it.

    It is also where Tune learns which machines to avoid.
    """

    def __init__(self, callback: "ObserverCallback") -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # Ray leaves it unannotated.
        self._callback = callback
        self._room = RoomForTrials()

    def __getstate__(self) -> dict[str, Any]:
        """Nothing: Tune pickles schedulers for a restore that never happens."""
        return {}

    def choose_trial_to_run(self, tune_controller: Any) -> Any:
        """The first one; Tune calls this at every step before it asks for room."""
        actors = tune_controller._tune_controller._actor_manager
        actors._resource_manager = self._room
        wanted = [request for *_, request in actors._pending_actors_to_attrs.values()]
        self._room.avoid(self._callback.machines.avoided(), wanted)
        self._room.settle()
        return super().choose_trial_to_run(tune_controller)

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        """CONTINUE or STOP; a trial that has ended by itself is not asked about."""
        step: Step = result["step"]
        reason = None
        with self._callback.guard.or_stop():
            reason = self._callback.queue.stop_reason(signature_of(trial), step.metrics)
        if reason is None:
            return str(self.CONTINUE)
        self._callback.stopped[signature_of(trial)] = reason
        return str(self.STOP)


class TuneTrial(tune.Trainable):
    """One trial after another in one process; the domain's models stay loaded in between."""

    @classmethod
    def default_resource_request(cls, config: dict[str, Any]) -> tune.PlacementGroupFactory:
        """CPUs and GPUs both: asking Tune for a GPU alone means no CPU at all."""
        return tune.PlacementGroupFactory([{"CPU": config["cpus"], "GPU": config["gpus"]}])

    def setup(self, config: dict[str, Any], settings: WorkerSettings | None = None) -> None:
        """Take the first trial. `settings` are those of all trials, and come once for each worker."""
        assert settings is not None, "Tune calls it through `with_parameters`"
        self._settings = settings
        self.reset_config(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Take another trial; its work, and every way it can fail, belongs to `step`."""
        self._run = TrialRun(TrialTask.from_json(new_config["task"]), self._settings)
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
    leave the loop, between two of its steps, are Interrupted and LeaveTune. Running trials keep their last epoch.
    """

    def __init__(
        self,
        queue: TrialQueue,
        observer: Observer,
        signals: SignalWatch,
        machines: Machines | None = None,
        room: AskedRoom | None = None,
    ) -> None:
        self.machines = machines or Machines(lambda: [])
        self._room = room
        self._workers: dict[str, str] = {}
        """Signature -> Ray's id of the worker that has the trial."""
        self._avoided: list[str] = []
        self.guard = Guarded()
        self._recording = Recording(observer.keep)
        self.stopped: dict[str, str] = {}
        """Signature -> why `QueueScheduler` has just stopped the trial."""
        self.queue = queue
        self._observer = observer
        self._signals = signals

    def __getstate__(self) -> dict[str, Any]:
        """Nothing, for the same reason."""
        return {}

    def on_step_begin(self, iteration: int, trials: list[Any], **info: Any) -> None:
        """Tell of machines, and take warnings of the launch's end, which Tune would take itself."""
        self.queue.end.keep_watching()
        if self._room is not None:
            self._room.settle()
        for name in self.machines.lost():
            self.guard(self._observer.on_machine_lost, name)
        if (avoided := list(self.machines.avoided().values())) != self._avoided:
            self._avoided = avoided
            self.guard(self._observer.on_machines_avoided, avoided)

    def on_step_end(self, iteration: int, trials: list[Any], **info: Any) -> None:
        """The safe place to stop, for a signal or when nothing can be recorded any more."""
        with self.guard.or_stop():
            self.settle()
        self._signals.check_signal()
        self.queue.check_time()
        if self.guard.is_over:
            raise LeaveTune

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """A worker has taken the trial."""
        self._workers[signature_of(trial)] = trial.temporary_state.ray_actor._actor_id.hex()
        self.queue.mark_started(signature_of(trial))
        self.guard(self._observer.on_started, signature_of(trial))

    def on_trial_result(
        self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **info: Any
    ) -> None:
        """An epoch is over, perhaps the last."""
        step: Step = result.pop("step")  # Tune would keep it, and dump it, for the whole launch.
        if step.metrics:
            self.queue.mark_epoch(signature_of(trial), step.metrics)
            self.guard(self._observer.on_epoch, signature_of(trial), step.metrics, step.host)
        with self.guard.or_stop():
            if step.unwritable is not None:
                raise LedgerError(step.unwritable)
            if step.record is not None:
                worker = self._workers.pop(signature_of(trial), None)
                if worker is not None and self.machines.has_deaths and step.record["status"] == "done":
                    self.machines.trial_finished(_machine_of(worker))
                self.queue.mark_recording(signature_of(trial))
                self._recording.put(step.record)
            elif (reason := self.stopped.pop(signature_of(trial), None)) is not None:
                self.settle(wait=True)
                self._observer.on_pruned(self.queue.tasks[signature_of(trial)], reason)
                self.queue.mark_pruned(signature_of(trial), reason)
                self.report_skips()

    def on_trial_recover(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """A worker died and the trial will go on in another."""
        task = self.queue.tasks[signature_of(trial)]
        text = f"the worker of {task.cell} seed {task.seed} died ({last_words(trial)})"
        self.guard(self._observer.on_note, f"{text}; it goes on from its last checkpoint in another one")
        self._worker_died(trial)

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """A worker died once too often."""
        self._lose(signature_of(trial), f"its worker died {trial.num_failures} times: {last_words(trial)}")
        self._worker_died(trial)

    def settle(self, *, wait: bool = False) -> None:
        """Tell of the trials whose records have come to the disk; with `wait`, of all that are over.

        A trial has ended only there, and a child starts from what is committed. Raises what the observer raises.
        """
        for record in self._recording.kept(wait=wait):
            self._observer.on_finished(record)
            self.queue.mark_ended(record)
            self.report_skips()

    @contextmanager
    def settled(self) -> Iterator[None]:
        """On leaving, however that comes, wait until all that is over is on record."""
        with self._recording:
            try:
                yield
            finally:
                with self.guard.or_stop():
                    self.settle(wait=True)

    def report_skips(self) -> None:
        """Tell of trials that can no longer run. Raises what the observer raises."""
        for task, reason in self.queue.new_skips():
            self._observer.on_skipped(task, reason)

    def report_unaccounted(self) -> None:
        """Tell of trials that Tune dropped without a callback, so that none is lost in silence."""
        for signature in self.queue.running():
            self._lose(signature, "Ray Tune ended it without a result or an error")
            self.guard.raise_first()

    def _worker_died(self, trial: Any) -> None:
        """Count it, and say which machine is not asked any more. A worker that never began is named by its error."""
        worker = self._workers.pop(signature_of(trial), None)
        worker = worker or getattr(trial.get_pickled_error(), "actor_id", None)
        if worker is not None and (told := self.machines.worker_died(_machine_of(worker))) is not None:
            self.guard(self._observer.on_note, told)

    def _lose(self, signature: str, reason: str) -> None:
        if not self.queue.is_running(signature):  # Its record came first; only its worker is lost.
            return
        with self.guard.or_stop():
            self._observer.on_lost(self.queue.tasks[signature], reason)
            self.queue.mark_failed(signature, reason)
            self.report_skips()


def signature_of(trial: Any) -> str:
    """Signature of the ledger's trial that one of Tune's stands for."""
    return str(trial.config["_signature"])


def _machine_of(worker: str) -> str:
    """Id of the machine that a worker is, or was, on; empty where Ray knows no more."""
    return str(ray._private.state.actors(worker).get("Address", {}).get("NodeID", ""))


def last_words(trial: Any) -> str:
    """The line of Ray's account of a dead worker that says why; that its machine is lost Ray says in its own terms."""
    text = Path(trial.error_file).read_text(errors="replace") if trial.error_file else ""
    if "ActorUnavailableError" in text:
        return "its machine does not answer any more"
    lines = [line.strip() for line in _COLOURS.sub("", text).splitlines() if line.strip()] or [
        "no reason known"
    ]
    telling = [line for line in lines if "OOM" in line or "exit" in line.lower() or "died" in line]
    has_raised = "creation task" in text  # Then the end of the worker's traceback says it.
    return lines[-1] if has_raised or not telling else telling[0]
