"""Which trial may run next: ready, waiting for its parent, running, finished, skipped. Knows no Ray."""

from collections import Counter, deque
from collections.abc import Collection, Iterable, Mapping
from typing import Literal

from orchestrator.execution.ending import WARNING, Interrupted, LaunchEnd
from orchestrator.execution.tasks import Record, TrialTask

State = Literal["waiting", "ready", "running", "recording", "done", "failed", "skipped"]
ENDED: tuple[State, ...] = ("done", "failed", "skipped")


class TrialQueue:
    """The trials of one launch in plan order.

    A trial with a parent waits until that parent is done, in this launch or an earlier one. A parent
    that fails, or that is nowhere to be found, takes its descendants with it: they are skipped with the
    reason, so that no launch ever waits for a trial that cannot start.

        queue = TrialQueue(tasks, done={"4f0c..."})
        while (task := queue.take()) is not None: ...
    """

    depends_on_ends = False
    """Whether the next trial that it hands out depends on how others have ended."""

    def __init__(
        self, tasks: Iterable[TrialTask], done: Collection[str] = (), end: LaunchEnd | None = None
    ) -> None:
        self.end = end or LaunchEnd()
        self.num_slots = 1
        """How many trials may be at work at once; told by the back end."""
        self.limit: int | None = None
        """How many trials may be taken and not have ended; any number where there is none."""
        self.tasks = {task.signature: task for task in tasks}
        self._states: dict[str, State] = {}
        self._counts: Counter[State] = (
            Counter()
        )  # Asked for at every step of a launch, so never counted anew.
        self._ready: deque[str] = deque()
        self._children: dict[str, list[str]] = {}
        self._new_skips: list[tuple[TrialTask, str]] = []
        for signature, task in self.tasks.items():
            if task.parent is None or task.parent in done:
                self._make_ready(signature)
            else:
                self._set(signature, "waiting")
                self._children.setdefault(task.parent, []).append(signature)
        for parent in [parent for parent in self._children if parent not in self.tasks]:
            self._skip_children(parent, f"its parent {parent} is neither done nor part of this launch")

    def take(self) -> TrialTask | None:
        """The next trial that can run, now counted as running; None when none can now, or in the time left."""
        if self.limit is not None and self.count("running") >= self.limit:
            return None
        wait = self._seconds_until_free()
        signature = next((one for one in self._ready if self.end.fits(self.tasks[one], wait)), None)
        if signature is None:
            return None
        self._ready.remove(signature)
        self._set(signature, "running")
        return self.tasks[signature]

    def mark_started(self, signature: str) -> None:
        """A worker has begun with a trial, or begun again."""
        self.end.started(self.tasks[signature])

    def mark_epoch(self, signature: str, metrics: Mapping[str, float]) -> None:
        """A trial has finished an epoch."""
        self.end.reached(signature, int(metrics.get("epoch", 1)))

    def check_time(self) -> None:
        """Raise Interrupted where no trial reaches a checkpoint any more in the time left."""
        if not self.end.is_near or self.is_finished or (self.end.is_waiting and not self.end.is_past):
            return
        if self.end.is_past or self.end.num_at_work >= self.num_slots or not self._may_begin():
            raise Interrupted(WARNING)

    def _may_begin(self) -> bool:
        """Whether a trial that has not begun reaches a checkpoint in the time left, as far as that is known."""
        waiting = (signature for signature in self.running() if not self.end.is_at_work(signature))
        return any(self.end.fits(self.tasks[signature]) for signature in (*waiting, *self._ready))

    def _seconds_until_free(self) -> float:
        """How long a trial that is taken now may wait for its worker: one may be taken ahead."""
        if not self.end.is_near or self.count("running") < self.num_slots:
            return 0.0
        return self.end.seconds_until_free

    def mark_recording(self, signature: str) -> None:
        """A trial is over, and its record on the way to the disk."""
        self._set(signature, "recording")

    def mark_done(self, signature: str) -> None:
        """A trial is done: its children become ready."""
        self._set(signature, "done")
        for child in self._children.pop(signature, []):
            self._make_ready(child)

    def mark_failed(self, signature: str, reason: str) -> None:
        """A trial failed: its children, and theirs, are skipped (see `new_skips`)."""
        self._set(signature, "failed")
        self._skip_children(signature, f"its parent {self.tasks[signature].cell} failed: {reason}")

    def mark_ended(self, record: Record) -> None:
        """A trial ended by itself: done or failed, as its record says."""
        if record["status"] == "done":
            self.mark_done(record["signature"])
        else:
            self.mark_failed(record["signature"], record["reason"] or "")

    def mark_pruned(self, signature: str, reason: str) -> None:
        """A trial was stopped because `stop_reason` gave one."""
        self.mark_failed(signature, reason)

    def stop_reason(self, signature: str, metrics: Mapping[str, float]) -> str | None:
        """Why a trial should not go on after an epoch with these means; None, always, where nothing is searched."""
        return None

    @property
    def num_expected(self) -> int:
        """How many trials there may be in all."""
        return len(self.tasks)

    def new_skips(self) -> list[tuple[TrialTask, str]]:
        """Trials skipped since the last call, each with its reason."""
        skips, self._new_skips = self._new_skips, []
        return skips

    def count(self, *states: State) -> int:
        """How many trials are in one of these states."""
        return sum(self._counts[state] for state in states)

    def is_running(self, signature: str) -> bool:
        """Whether a trial was taken and has not ended."""
        return self._states.get(signature) == "running"

    def running(self) -> list[str]:
        """Signatures of the trials that were taken and have not ended."""
        return [signature for signature, state in self._states.items() if state == "running"]

    @property
    def is_handed_out(self) -> bool:
        """Whether every trial has been taken or skipped, so that nothing will become ready any more."""
        return self.count("ready", "waiting") == 0

    @property
    def is_finished(self) -> bool:
        """Whether nothing is running and nothing will."""
        return self.count("ready", "waiting", "running", "recording") == 0

    def _set(self, signature: str, state: State) -> None:
        if (before := self._states.get(signature)) is not None:
            self._counts[before] -= 1
        self._states[signature] = state
        self._counts[state] += 1
        if state in ENDED:
            self.end.ended(signature)

    def _make_ready(self, signature: str) -> None:
        self._set(signature, "ready")
        self._ready.append(signature)

    def _skip_children(self, parent: str, reason: str) -> None:
        for child in self._children.pop(parent, []):
            self._set(child, "skipped")
            self._new_skips.append((self.tasks[child], reason))
            self._skip_children(child, reason)
