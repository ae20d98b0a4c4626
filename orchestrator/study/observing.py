"""What a launch makes of what its back end reports: commits, progress, checkpoints that are of no more use."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Literal

from orchestrator.execution.checkpoint_quota import CheckpointQuota
from orchestrator.execution.checkpoints import CheckpointStore
from orchestrator.execution.ending import Interrupted
from orchestrator.execution.tasks import UNTOLD, Record, TrialTask
from orchestrator.ledger import BackgroundCompaction, Ledger
from orchestrator.ledger.copies import working_copy_of
from orchestrator.ledger.files import writing
from orchestrator.ledger.index import PartKey
from orchestrator.ledger.study import log_file
from orchestrator.study.launch import Study
from orchestrator.study.listening import Listening
from orchestrator.views.live import Display
from orchestrator.views.progress import Progress, ended_line
from orchestrator.views.running_file import RunningFile
from trainables.errors import UserError

MAX_FAILURES = 3
"""A launch stops where its first so many trials all fail. W&B's agents stop at as many in their first minute."""


@dataclass
class Outcome:
    """How a launch ended."""

    num_run: int = 0
    """Trials that this launch finished."""
    failed: list[Record] = field(default_factory=list)
    """Records of this launch's failed and skipped trials."""
    interrupted_by: int | None = None
    """The signal that ended it, if one did."""
    preparation_error: str | None = None
    num_left: int = 0
    """Trials that were not over when it was interrupted."""
    num_begun: int = 0
    """Those of them that go on from a checkpoint."""

    @property
    def exit_code(self) -> int:
        """0 when all is done, 1 when trials failed, when interrupted that of Interrupted."""
        if self.interrupted_by is not None:
            return Interrupted(self.interrupted_by).exit_code
        return 1 if self.failed or self.preparation_error else 0


class StudyObserver:
    """Commits what back ends report, and passes it on to the display."""

    def __init__(
        self,
        study: Study,
        ledger: Ledger,
        tasks: Mapping[str, TrialTask],
        progress: Progress,
        display: Display,
        outcome: Outcome,
        listening: Listening,
        *,
        names_at_once: bool = False,
    ) -> None:
        """`tasks` may grow: those of a search come one by one.

        With `names_at_once` it is on disk which trial is at work before it begins: its code may end this process.
        """
        self.progress = progress
        self.outcome = outcome
        self.running_file = RunningFile(study.folder, study.shard_name)
        execution = study.space.config.execution
        self._copy = working_copy_of(study.folder)
        # Objects are listed by the thousand anyway; and of several shards only one could be at it.
        is_on = execution.compacts_ledger and self._copy is None and study.shard is None
        self.compaction = BackgroundCompaction(study.ledger_folder, is_on=is_on)
        # Other shards' trials are wanted as much as this one's; those of a search come one by one.
        wanted = progress.rows if study.shard is None else {trial.signature for trial in study.plan.trials}
        self._quota = CheckpointQuota(study.folder, execution.checkpoint_bytes, wanted, display.note)
        self._tasks = tasks
        self._listening = listening
        self._study = study
        self._baseline = {cell.name for cell in study.plan.cells if cell.is_baseline}
        self._ledger = ledger
        self._display = display
        self._names_at_once = names_at_once

    def on_prepared(self, num_done: int, num_tasks: int) -> None:
        """Show it."""
        self.progress.prepared(num_done, num_tasks)
        self._display.refresh()

    def after_preparation(self) -> None:
        """Show that trials come next."""
        self.progress.is_prepared = True
        self._display.refresh()

    def on_started(self, signature: str) -> None:
        """Show it."""
        self.progress.started(signature)
        self._listening.tell("started", self._tasks[signature].in_record())
        self._changed()
        if self._names_at_once:
            self.running_file.write(self.progress)

    def on_epoch(self, signature: str, metrics: dict[str, float], host: str) -> None:
        """Show it."""
        self.progress.epoch(signature, metrics, host)
        self._listening.tell("epoch", signature, metrics)
        self._quota.saved(signature)
        self._changed()

    def keep(self, records: Sequence[Record]) -> None:
        """Commit; only then are the checkpoints of no more use."""
        self._commit(records)
        for record in records:
            CheckpointStore(self._study.folder, record["signature"]).remove()

    def on_finished(self, record: Record) -> None:
        """Show it.

        Raises UserError, which stops the launch, where the baseline does not tell what it is to be judged by, or all
        trials fail.
        """
        is_untold = record.pop(UNTOLD, False)
        self._quota.forget(record["signature"])
        self._show(record)
        if is_untold and record["cell"] in self._baseline:
            raise UserError(
                f"{record['reason']}\nThe launch was stopped after its first trial: all others would end like it"
            )
        self._check_that_some_succeed()

    def on_lost(self, task: TrialTask, reason: str) -> None:
        """Commit as failed, and keep the checkpoint: the next launch goes on from it. Its worker may write no more."""
        CheckpointStore(self._study.folder, task.signature).revoke()
        self._record(task, "failed", reason)

    def on_skipped(self, task: TrialTask, reason: str) -> None:
        """Commit, so that the reason is on record."""
        self._record(task, "skipped", reason)

    def on_pruned(self, task: TrialTask, reason: str) -> None:
        """Commit; what it has trained is of no more use."""
        self._record(task, "pruned", reason)
        CheckpointStore(self._study.folder, task.signature).remove()
        self._quota.forget(task.signature)

    def on_machine_lost(self, name: str) -> None:
        """Show it, here and in `status`."""
        self.progress.lost_machines.append(f"{name} at {datetime.now(UTC):%Y-%m-%d %H:%M:%S}Z")
        self.on_note(
            f"{name} has left the cluster; what ran on it goes on elsewhere from its last checkpoint"
        )
        self._changed()

    def on_machines_avoided(self, machines: list[str]) -> None:
        """Show it, here and in `status`."""
        self.progress.avoided_machines = machines
        self._changed()

    def on_note(self, message: str) -> None:
        """Show it."""
        self._display.note(message)

    def _check_that_some_succeed(self) -> None:
        """Raise UserError where all that have ended failed, the baseline too: nothing could be compared with it."""
        failed = [record for record in self.outcome.failed if record["status"] == "failed"]
        is_any_done = self.outcome.num_run or self.progress.count("done")
        if is_any_done or len(failed) < MAX_FAILURES or not self._baseline & {one["cell"] for one in failed}:
            return
        why = failed[-1]["reason"].splitlines()[0]
        raise UserError(
            f"The launch was stopped: its first {len(failed)} trials failed, the baseline's too, and none is done. "
            f"The last one: {why} (log: {self._study.folder / log_file(failed[-1]['signature'])}). "
            "Mend the cause, and run again"
        )

    def _commit(self, records: Sequence[Record]) -> None:
        with writing(self._study.ledger_folder):
            self._ledger.commit(*({k: v for k, v in record.items() if k != UNTOLD} for record in records))
            if self._copy is not None:
                self._copy.commit(self._study.folder.name, map(PartKey.of, records))

    def _show(self, record: Record) -> None:
        self.compaction.committed()
        self._listening.tell("ended", record)
        signature = record["signature"]
        self.progress.ended(signature, record["status"])
        if record["status"] in ("done", "pruned"):
            self.outcome.num_run += 1
        else:
            self.outcome.failed.append(record)
        metric = self._study.space.config.primary.metric
        log = self._study.folder / log_file(signature)
        self._display.ended(ended_line(record, self.progress, metric, log))
        self._changed()

    def _record(self, task: TrialTask, status: Literal["failed", "skipped", "pruned"], reason: str) -> None:
        """Commit for a trial that could not write its record itself, and show it."""
        now = datetime.now(UTC)
        record: Record = {
            **task.in_record(),
            "status": status,
            "reason": reason,
            "started_at": now,
            "finished_at": now,
            "notes": [],
        }
        self._commit([record])
        self._show(record)

    def _changed(self) -> None:
        self.running_file.changed()
        self._display.refresh()
