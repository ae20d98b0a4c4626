"""Records of trials on their way to the disk, in groups: the control loop goes on meanwhile, and no trial has ended
before its record is there.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

from orchestrator.execution.tasks import Record

Keep = Callable[[Sequence[Record]], None]
"""Puts records on disk, in their order; what it raises, whatever it is, ends the launch."""


class Recording:
    """Keeps records from a thread of its own: while it is at one group, the next one gathers.

    Everything is called from one thread, the back end's. Leaving the context waits for the group that is under way.
    """

    def __init__(self, keep: Keep) -> None:
        self._keep = keep
        self._pool = ThreadPoolExecutor(1, "records")
        self._gathered: list[Record] = []
        self._group: list[Record] = []
        """What the thread is at."""
        self._work: Future[None] | None = None

    def __enter__(self) -> "Recording":
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._pool.shutdown()

    def put(self, record: Record) -> None:
        """A trial has ended by itself, and is to be recorded."""
        self._gathered.append(record)
        self._begin()

    def kept(self, *, wait: bool = False) -> list[Record]:
        """Records that have come to the disk since the last call, in the order of `put`; with `wait`, all of them.

        Raises what keeping them raised; nothing more is kept then.
        """
        found: list[Record] = []
        while self._work is not None and (wait or self._work.done()):
            self._work.result()
            found += self._group
            self._work = None
            self._begin()
        return found

    def _begin(self) -> None:
        if self._work is None and self._gathered:
            self._group, self._gathered = self._gathered, []
            self._work = self._pool.submit(self._keep, self._group)
