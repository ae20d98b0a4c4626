"""Who is told of a launch while it goes on, such as the log of another program. None of them can stop or delay it.

Each listener has a thread of its own, which takes events in their order. What a listener raises is told once; from then
on it is told nothing, and the launch goes on.
"""

import queue
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

Row = Mapping[str, Any]

PATIENCE_SECONDS = 60.0
"""How long, at the end of a launch, a listener may be busy with one event."""


class Listener(Protocol):
    """What is told of trials, always from the same thread."""

    def started(self, trial: Row) -> None:
        """A trial began, or goes on: `signature`, `attempt`, `cell`, `seed`, `axis_values` and `config`."""

    def epoch(self, signature: str, metrics: Mapping[str, float]) -> None:
        """It has finished an epoch; `metrics["epoch"]` counts from 1."""

    def ended(self, record: Row) -> None:
        """It ended, and its record and rows are in the ledger."""

    def close(self) -> None:
        """The launch has ended."""


Opening = Callable[[Path], Listener]
"""Makes a listener for a study's folder, in its thread."""


class _Told:
    """A listener with its thread."""

    def __init__(self, name: str, opening: Opening, folder: Path) -> None:
        self.name = name
        self.error: Exception | None = None
        self.num_done = 0
        """Events that it is done with."""
        self._events: queue.SimpleQueue[tuple[str, tuple[Any, ...]]] = queue.SimpleQueue()
        self._thread = threading.Thread(
            target=self._listen, args=(opening, folder), name=f"log to {name}", daemon=True
        )
        self._thread.start()

    def tell(self, event: str, *arguments: Any) -> None:
        """Hand an event over."""
        if self.error is None:
            self._events.put((event, arguments))

    def end(self) -> bool:
        """Wait until every event is dealt with; False where that takes too long."""
        self.tell("close")
        while self._thread.is_alive():
            before = self.num_done
            self._thread.join(PATIENCE_SECONDS)
            if self._thread.is_alive() and self.num_done == before:
                return False
        return True

    def _listen(self, opening: Opening, folder: Path) -> None:
        try:
            listener, event = opening(folder), ""
            while event != "close":
                event, arguments = self._events.get()
                getattr(listener, event)(*arguments)
                self.num_done += 1
        except Exception as error:
            self.error = error


class Listening:
    """All listeners of a launch."""

    def __init__(self, note: Callable[[str], None]) -> None:
        self._note = note
        self._told: list[_Told] = []

    @contextmanager
    def to(self, openings: Mapping[str, Opening], folder: Path) -> Iterator[None]:
        """Tell these listeners, by their names, what happens meanwhile."""
        self._told = [_Told(name, opening, folder) for name, opening in openings.items()]
        try:
            yield
        finally:
            for told in self._told:
                if not told.end():
                    self._note(f"the log to {told.name} does not answer; the study is complete without it")
            self._drop_failed()
            self._told = []

    def tell(self, event: str, *arguments: Any) -> None:
        """Something has happened: the name of a method of `Listener`, and what it takes."""
        for told in self._told:
            told.tell(event, *arguments)
        self._drop_failed()

    def _drop_failed(self) -> None:
        for told in [told for told in self._told if told.error is not None]:
            self._told.remove(told)
            self._note(
                f"the log to {told.name} ended: {type(told.error).__name__}: {told.error}; trials go on, and "
                f"asyrp-sweep export writes it later"
            )
