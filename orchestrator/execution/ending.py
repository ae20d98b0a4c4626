"""When a launch has to end by itself, and what still fits before that.

A trial is begun, or waited for, only while its next checkpoint is expected before the end. How long that takes is what
this launch has measured in the trial's cell, else what the price expects; where neither is known it may begin.
"""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from orchestrator.execution.tasks import TrialTask
from orchestrator.ledger.threads import beside

GO_ON = 75
"""Exit code of a launch that stopped before its time was over: the same command goes on (EX_TEMPFAIL of sysexits.h)."""
WARNING = signal.SIGUSR1
"""What schedulers send before the end, such as Slurm's `--signal=B:USR1@120`."""
WARNED_SECONDS = 60.0
"""How long before the end a warning comes at least."""
MARGIN_SECONDS = 20.0
"""Left of a time limit for what ends a launch: Ray's end, above all; of a short limit at most `MARGIN_SHARE`."""
MARGIN_SHARE = 0.2
NEAR_SECONDS = 300.0
"""A warning this long before the limit, or in its second half, is the limit's; an earlier one is pre-emption."""
ALLOCATION_END = "SLURM_JOB_END_TIME"
"""Variable of Slurm: when the allocation ends, in seconds since 1970."""
_POLL_SECONDS = 1.0


class Interrupted(BaseException):
    """A signal asked for the end; WARNING also stands for a time limit. Not an Exception: nothing before the runner may
    swallow it."""

    def __init__(self, signal_number: int) -> None:
        super().__init__(signal_number)
        self.signal_number = signal_number

    @property
    def exit_code(self) -> int:
        """130 for SIGINT, 143 for SIGTERM, as a shell would report them; GO_ON for WARNING."""
        return GO_ON if self.signal_number == WARNING else 128 + self.signal_number


@dataclass(frozen=True)
class TimeLimit:
    """How long a launch may take, from now on."""

    said: str
    """Where it comes from, as the user knows it."""
    seconds: float

    @property
    def usable(self) -> float:
        """Seconds until trials have to stop."""
        return self.seconds - min(MARGIN_SECONDS, MARGIN_SHARE * self.seconds)

    @classmethod
    def of_allocation(cls, environment: Mapping[str, str]) -> "TimeLimit | None":
        """Until the scheduler ends this job; None where it does not say, or says what an earlier job left behind."""
        told = environment.get(ALLOCATION_END, "")
        seconds = int(told) - time.time() if told.isascii() and told.isdigit() else 0.0
        return cls(f"the end of the allocation ({ALLOCATION_END})", seconds) if seconds > 0 else None


@dataclass
class _Work:
    """A trial at work."""

    task: TrialTask
    since: float
    """When it began, or reached its last checkpoint."""
    is_new: bool = True
    """Whether it has reached none in this launch."""
    is_awaited: bool = True
    """Whether the launch goes on for its next one."""


class LaunchEnd:
    """The end of one command, which may launch more than once: none, a time limit, or soon after a warning."""

    def __init__(self, limit: TimeLimit | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self.limit = limit
        self.expected: dict[str, float] = {}
        """Cell -> seconds until a trial's next checkpoint, by the price."""
        self.expected_of_others = 0.0
        """The same, of cells that are not known beforehand."""
        self.has_progressed = False
        """Whether the launch has reached anything that the next one goes on from."""
        self._clock = clock
        self._at = None if limit is None else clock() + limit.usable
        self._is_warned = self._is_preempted = False
        self._is_watching = self._raises_at_once = False
        self._at_work: dict[str, _Work] = {}
        self._measured: dict[tuple[str, bool], float] = {}
        """(cell, whether a trial of it had just begun) -> the most seconds until a checkpoint."""

    @property
    def why(self) -> str:
        """Why the launch ended."""
        said = "" if self.limit is None else self.limit.said
        return f"{WARNING.name} came" if self._is_warned else f"its time was nearly over ({said})"

    @property
    def is_by_limit(self) -> bool:
        """Whether its time limit has ended the launch, so that the next one would have no more time."""
        return self.limit is not None and not self._is_preempted

    # Trials

    def fits(self, task: TrialTask | None, after: float = 0.0) -> bool:
        """Whether a trial that begins in so many seconds reaches a checkpoint; None for one that is not known yet."""
        if self._is_warned:
            return False
        return self._at is None or self._clock() + after + self._needed(task, is_new=True) <= self._at

    def started(self, task: TrialTask) -> None:
        """A trial has begun, or begun again."""
        self._at_work[task.signature] = _Work(task, self._clock(), is_awaited=self.fits(task))

    def reached(self, signature: str, epoch: int) -> None:
        """A trial has finished an epoch."""
        work = self._at_work.get(signature)
        if work is None or not work.task.is_resumable:
            return
        if (
            epoch < work.task.num_epochs or work.task.num_epochs == 1
        ):  # The last one comes with its evaluation.
            self._measure(work)
        self.has_progressed = True
        work.since, work.is_new, work.is_awaited = self._clock(), False, not self._is_warned

    def ended(self, signature: str) -> None:
        """A trial is over."""
        work = self._at_work.pop(signature, None)
        self.has_progressed = True
        if work is not None and not work.task.is_resumable:
            self._measure(work)

    def is_at_work(self, signature: str) -> bool:
        """Whether a trial has begun and is not over."""
        return signature in self._at_work

    @property
    def num_at_work(self) -> int:
        """Trials that have begun and are not over."""
        return len(self._at_work)

    @property
    def is_waiting(self) -> bool:
        """Whether a trial at work is expected to reach its next checkpoint."""
        return any(
            work.is_awaited
            and (self._at is None or work.since + self._needed(work.task, is_new=work.is_new) <= self._at)
            for work in self._at_work.values()
        )

    @property
    def seconds_until_free(self) -> float:
        """When the last trial at work is expected to be over, as far as that is known."""
        return max((self._left(work) for work in self._at_work.values()), default=0.0)

    @property
    def is_near(self) -> bool:
        """Whether there is an end at all."""
        return self._at is not None

    @property
    def is_past(self) -> bool:
        """Whether nothing may go on."""
        return self._at is not None and self._clock() >= self._at

    # Warnings

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Take warnings, and notice the end, meanwhile. Only the main thread can."""
        if self._is_watching or threading.current_thread() is not threading.main_thread():
            yield
            return
        before = signal.signal(WARNING, self._receive)
        self._is_watching = True
        try:
            with beside(self._warn_at_end, "end of the launch"):
                yield
        finally:
            signal.signal(WARNING, before)
            self._is_watching = False

    def keep_watching(self) -> None:
        """Take warnings again where somebody has put a handler of their own in place, as Tune does."""
        if self._is_watching and signal.getsignal(WARNING) != self._receive:
            signal.signal(WARNING, self._receive)

    @contextmanager
    def interruptible(self) -> Iterator[None]:
        """Code that the end may leave in the middle, by Interrupted: its state on disk is always whole."""
        self.check()
        self._raises_at_once = True
        try:
            yield
        finally:
            self._raises_at_once = False

    def check(self) -> None:
        """Raise Interrupted where the end has come, and after a warning where nothing is waited for."""
        if self.is_past or (self._is_warned and not self.is_waiting):
            raise Interrupted(WARNING)

    def warn(self) -> None:
        """The end comes soon: no trial begins, and those at work go on to their next checkpoint at most."""
        self._is_warned = True
        if self.limit is not None:
            near = min(NEAR_SECONDS, self.limit.seconds / 2)
            self._is_preempted = self._seconds_left() > near
        warned = self._clock() + WARNED_SECONDS - MARGIN_SECONDS
        self._at = warned if self._at is None else min(self._at, warned)

    def _receive(self, number: int, frame: object) -> None:
        if not self.is_past and not self._is_warned:
            self.warn()
        if self._raises_at_once:
            self.check()

    def _warn_at_end(self, over: threading.Event) -> None:
        """Wake the main thread at the end, wherever it is."""
        while not over.wait(_POLL_SECONDS if self._at is None else min(_POLL_SECONDS, self._seconds_left())):
            if self.is_past:
                os.kill(os.getpid(), WARNING)
                return

    def _seconds_left(self) -> float:
        return max(0.0, (self._at or 0.0) - self._clock())

    # Seconds

    def _needed(self, task: TrialTask | None, *, is_new: bool) -> float:
        """Seconds until the next checkpoint; 0 where they are unknown."""
        if task is None:
            return max(self._measured.values(), default=self.expected_of_others)
        found = (self._measured.get((task.cell, new)) for new in (is_new, not is_new))
        expected = self.expected.get(task.cell, self.expected_of_others)
        return next((seconds for seconds in found if seconds is not None), expected)

    def _left(self, work: _Work) -> float:
        task = work.task
        return self._needed(task, is_new=work.is_new) * (task.num_epochs if task.is_resumable else 1)

    def _measure(self, work: _Work) -> None:
        key = (work.task.cell, work.is_new)
        self._measured[key] = max(self._measured.get(key, 0.0), self._clock() - work.since)
