"""Every trial in this process, one after the other: for debugging, for tests, and for tiny studies."""

from collections.abc import Sequence
from typing import Any

from orchestrator.execution.contract import Observer, PreparationFailed
from orchestrator.execution.ending import WARNING, Interrupted, LaunchEnd
from orchestrator.execution.interrupts import SignalWatch
from orchestrator.execution.queue import TrialQueue
from orchestrator.execution.tasks import WorkerSettings
from orchestrator.execution.worker import TrialRun, prepare_torch, run_preparation_task
from orchestrator.ledger import LedgerError


class InlineBackend:
    """The contract of `Backend` without Ray. A trial that kills the process is not survived here."""

    def __init__(self, settings: WorkerSettings, end: LaunchEnd | None = None) -> None:
        self._settings = settings
        self._end = end or LaunchEnd()
        self._signals = SignalWatch(self._end)

    def __enter__(self) -> "InlineBackend":
        self._signals.__enter__()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._signals.__exit__(*exc_info)

    def prepare(self, tasks: Sequence[Any], observer: Observer) -> None:
        """Run the preparation tasks one by one."""
        if tasks:
            prepare_torch(self._settings)
        for number, task in enumerate(tasks, start=1):
            try:
                with self._signals.interruptible():
                    run_preparation_task(task, self._settings)
            except Exception as error:
                raise PreparationFailed.by(error, f"{type(error).__name__}: {error}") from error
            self._end.has_progressed = True
            observer.on_prepared(number, len(tasks))

    def run(self, queue: TrialQueue, observer: Observer) -> None:
        """Run the queue's trials one by one, to their end, to a signal or as long as there is time."""
        self._report_skips(queue, observer)
        while (task := queue.take()) is not None:
            queue.mark_started(task.signature)
            observer.on_started(task.signature)
            run = TrialRun(task, self._settings)
            record = reason = None
            while record is None and reason is None:
                queue.check_time()
                with self._signals.interruptible():
                    step = run.advance()
                if step.metrics:
                    queue.mark_epoch(task.signature, step.metrics)
                    observer.on_epoch(task.signature, step.metrics, step.host)
                if step.unwritable is not None:
                    raise LedgerError(step.unwritable)
                record = step.record
                reason = queue.stop_reason(task.signature, step.metrics) if record is None else None
            if record is not None:
                observer.keep([record])  # First: a child starts from what is committed.
                observer.on_finished(record)
                queue.mark_ended(record)
            elif reason is not None:
                observer.on_pruned(task, reason)
                queue.mark_pruned(task.signature, reason)
            self._report_skips(queue, observer)
        self._signals.check_signal()
        if not queue.is_finished:
            raise Interrupted(WARNING)

    @staticmethod
    def _report_skips(queue: TrialQueue, observer: Observer) -> None:
        for task, reason in queue.new_skips():
            observer.on_skipped(task, reason)
