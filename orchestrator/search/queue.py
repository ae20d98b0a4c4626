"""A queue that does not know its trials beforehand: it asks the search for the next one."""

from collections.abc import Callable, Mapping

from orchestrator.execution.ending import LaunchEnd
from orchestrator.execution.queue import TrialQueue
from orchestrator.execution.tasks import Record, TrialTask
from orchestrator.ledger.files import writing
from orchestrator.search.search import Search


class SearchQueue(TrialQueue):
    """What back ends take trials from, and report ends to, while a search goes on.

    Where the search cannot write its journal any more, every method raises LedgerError.
    """

    depends_on_ends = True

    def __init__(
        self, search: Search, on_new: Callable[[TrialTask], None], end: LaunchEnd | None = None
    ) -> None:
        """`on_new` hears of every trial before it starts."""
        super().__init__([], end=end)
        self._search = search
        self._on_new = on_new

    def take(self) -> TrialTask | None:
        """The next trial that the search asks for; None when there is none now, any more or in the time left."""
        if not self.end.fits(None, self._seconds_until_free()):
            return None
        with writing(self._search.folder):
            task = self._search.next_task()
        if task is None:
            return None
        self.tasks[task.signature] = task
        self._set(task.signature, "running")
        self._on_new(task)
        return task

    def mark_ended(self, record: Record) -> None:
        """Tell the search, which may follow another path from here."""
        self._tell(record)
        super().mark_ended(record)

    def mark_failed(self, signature: str, reason: str) -> None:
        """Also where there is no record from the trial itself, because its worker was lost."""
        if signature not in self._search.records:
            self._tell(self._record(signature, "failed", reason))
        super().mark_failed(signature, reason)

    def mark_pruned(self, signature: str, reason: str) -> None:
        """The trial was stopped as `stop_reason` asked."""
        self._tell(self._record(signature, "pruned", reason))
        super().mark_pruned(signature, reason)

    def stop_reason(self, signature: str, metrics: Mapping[str, float]) -> str | None:
        """What the search's pruner says."""
        with writing(self._search.folder):
            return self._search.stop_reason(signature, metrics)

    @property
    def num_expected(self) -> int:
        """Trials that the budget leaves room for."""
        return self._search.num_left()

    @property
    def is_handed_out(self) -> bool:
        """Whether the search asks for nothing any more."""
        return self._search.is_over

    @property
    def is_finished(self) -> bool:
        """Whether nothing is running and nothing will."""
        return self._search.is_over and self.count("running", "recording") == 0

    def _may_begin(self) -> bool:
        return not self.is_handed_out and self.end.fits(None)

    def _tell(self, record: Record) -> None:
        with writing(self._search.folder):
            self._search.ended(record)

    def _record(self, signature: str, status: str, reason: str) -> Record:
        return {**self.tasks[signature].in_record(), "status": status, "reason": reason}
