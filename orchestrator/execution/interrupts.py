"""Ctrl-C, SIGTERM and the end of the time as one exception, raised only where stopping is safe."""

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from types import FrameType
from typing import Any

from orchestrator.execution.ending import Interrupted, LaunchEnd

SIGNALS = (signal.SIGINT, signal.SIGTERM)

Handler = Callable[[int, FrameType | None], Any] | int | None
"""What `signal.signal` takes and returns."""


class SignalWatch:
    """Notes the first SIGINT or SIGTERM; `check` raises it as Interrupted. A second one ends the process.

    Takes warnings for the launch's end meanwhile.

    Install it after `ray.init`, which puts its own SIGTERM handler in place. Outside the main thread
    Python allows no handlers: then the watch only never fires.
    """

    def __init__(self, end: LaunchEnd | None = None) -> None:
        self._end = end or LaunchEnd()
        self._stack = ExitStack()
        self._received: int | None = None
        self._raise_at_once = False
        self._previous: dict[int, Handler] = {}

    def __enter__(self) -> "SignalWatch":
        if threading.current_thread() is threading.main_thread():
            for number in SIGNALS:
                self._previous[number] = signal.signal(number, self._receive)
        self._stack.enter_context(self._end.watching())
        return self

    def __exit__(self, *exc_info: object) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)
        self._previous.clear()
        self._stack.close()

    def check(self) -> None:
        """Raise Interrupted if a signal has come, or the end of the time."""
        self.check_signal()
        self._end.check()

    def check_signal(self) -> None:
        """Raise Interrupted if SIGINT or SIGTERM has come."""
        if self._received is not None:
            raise Interrupted(self._received)

    @contextmanager
    def interruptible(self) -> Iterator[None]:
        """Code that a signal may leave in the middle: its state on disk is always whole."""
        self.check()
        self._raise_at_once = True
        try:
            with self._end.interruptible():
                yield
        finally:
            self._raise_at_once = False

    def _receive(self, number: int, frame: FrameType | None) -> None:
        if self._received is not None:
            os._exit(128 + number)
        self._received = number
        if self._raise_at_once:
            raise Interrupted(number)
