"""What a launch holds of its study while it runs: all of it, or its shard.

    ledger/.lock              a launch of the whole study; of a shard only while it begins and ends
    .shards/.lock             a shard that begins or ends: one at a time
    .shards/2-of-4/.lock      the launch of that shard

In an object store leases take the place of these locks, and every shard works on a copy of its own.

What is more than one trial's (study.json, the ledger's columns, what killed launches left, damage) is touched only by
a launch that is alone: of the whole study, or of a shard while no other shard is at work. Everything else that a
shard writes bears the signatures of its own trials.
"""

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Self

from orchestrator.execution.checkpoints import CheckpointStore
from orchestrator.ledger import LedgerError, LedgerLock, read_study
from orchestrator.ledger.copies import Copy, working_copy_of
from orchestrator.study.launch import Study
from orchestrator.study.shards import Shard

FOLDER = ".shards"
_TURN_SECONDS = 600.0
"""How long a shard waits for others that begin: each looks at the whole ledger."""
_BRIEF_SECONDS = 2.0
"""How long a launch of the whole study waits for shards that begin or end."""
PROBE_SECONDS = 10.0
"""How long a shard waits for a launch of the whole study to notice it; longer than that one waits for shards."""
_POLL_SECONDS = 0.1
_STORE_POLL_SECONDS = 1.0


class Holding(ExitStack):
    """A launch's hold of its study.

    Entering raises LedgerError when another launch holds what this one needs, or where shards of another division or
    of another plan are at work.
    """

    def __init__(self, study: Study) -> None:
        super().__init__()
        self._study = study
        self._shards = study.folder / FOLDER
        self._copy = working_copy_of(study.folder)
        self._turn = self.enter_context(ExitStack())
        self.is_alone = True
        """Whether no other launch of the study is at work, so that this one may touch what is everybody's."""

    def __enter__(self) -> Self:
        with ExitStack() as undo:
            undo.push(self)
            if self._study.shard is None:
                self._hold_all()
            else:
                self._hold_shard(self._study.shard)
            undo.pop_all()
        return self

    def begun(self) -> None:
        """What this launch has to run is settled: other shards may begin."""
        self._turn.close()

    @contextmanager
    def ending(self) -> Iterator[bool]:
        """Whether this launch, which is about to end, is alone now."""
        if (shard := self._study.shard) is None:
            yield True
            return
        self._take_turn()
        try:
            yield not self._others(shard)
        finally:
            self._turn.close()

    def supersede(self, done: set[str]) -> None:
        """Let no worker of an earlier launch of this shard write any more; forget checkpoints of what is done.

        Raises LedgerError when the folder cannot be written.
        """
        for trial in self._study.own_trials:
            store = CheckpointStore(self._study.folder, trial.signature)
            if trial.signature in done:
                store.remove()
            else:
                store.revoke()

    def _hold_all(self) -> None:
        self.enter_context(LedgerLock(self._study.ledger_folder))
        if self._shards.is_dir():
            with in_turn(self._study.folder, _BRIEF_SECONDS):
                refuse_shards(self._study)

    def _hold_shard(self, shard: Shard) -> None:
        self._take_turn()
        lock = self._shards / shard.name
        try:
            if self._copy is not None:  # What others have begun meanwhile. `published` takes the lease.
                self._copy.refresh(self._study.folder.name)
                lock = self._study.ledger_folder
            self.enter_context(LedgerLock(lock))
        except LedgerError as error:
            raise LedgerError(f"shard {shard}: {error}") from error
        self.is_alone = not self._others(shard)
        if not self.is_alone:
            self._check_plan()

    def _take_turn(self) -> None:
        whole = self._study.ledger_folder if self._copy is None else self._study.folder
        _wait_for(self._turn, self._shards, _TURN_SECONDS, self._copy)
        _wait_for(self._turn, whole, PROBE_SECONDS, self._copy)

    def _others(self, own: Shard) -> list[Shard]:
        """Other shards at work. Raises LedgerError where they are of another division."""
        others = [shard for shard, _ in _at_work(self._study)]
        for other in others:
            if other.count != own.count:
                raise LedgerError(
                    f"shard {own}: this study is being run in {other.count} shards, and shard {other} is at work; "
                    f"give --shard K/{other.count}, or wait until all of them have ended"
                )
        return others

    def _check_plan(self) -> None:
        """Shards divide one plan: with two, a trial might be in two of them. Raises LedgerError."""
        there, plan = read_study(self._study.folder), self._study.plan
        same = {trial.signature for cell in there.cells for trial in cell.trials} == {
            trial.signature for trial in plan.trials
        }
        if not same or there.plan_hash != plan.plan_hash:
            raise LedgerError(
                f"shard {self._study.shard}: other shards of this study are at work on another plan; give every "
                "shard the same space and options, or wait until the others have ended"
            )


def refuse_shards(study: Study) -> None:
    """Raise LedgerError where a shard of the study is at work."""
    for shard, why in _at_work(study):
        raise LedgerError(f"shard {shard}: {why}")


def _at_work(study: Study) -> Iterator[tuple[Shard, str]]:
    """Other shards whose locks, or leases, are held, and what those say."""
    copy = working_copy_of(study.folder)
    found = _locked(study.folder / FOLDER) if copy is None else copy.held(study.folder / FOLDER)
    for name, why in found:
        shard = Shard.named(name)
        if shard is not None and shard != study.shard:
            yield shard, why


def _locked(place: Path) -> Iterator[tuple[str, str]]:
    """(name, what its lock says) of the folders in a place whose locks are held."""
    for folder in sorted(place.glob("*-of-*")):
        try:
            with LedgerLock(folder):
                pass
        except LedgerError as error:
            yield folder.name, str(error)


@contextmanager
def in_turn(study_folder: Path, seconds: float = _TURN_SECONDS) -> Iterator[None]:
    """Do what only one shard may do at a time. Raises LedgerError where its turn does not come so soon."""
    with ExitStack() as stack:
        _wait_for(stack, study_folder / FOLDER, seconds, working_copy_of(study_folder))
        yield


def _wait_for(stack: ExitStack, folder: Path, seconds: float, copy: Copy | None) -> None:
    """Hold a lock, or in a store a lease, that others hold briefly. Raises LedgerError where it is not free in time."""
    end = time.monotonic() + seconds
    while True:
        try:
            stack.enter_context(LedgerLock(folder) if copy is None else copy.lease(folder))
            return
        except LedgerError:
            if time.monotonic() >= end:
                raise
            time.sleep(_POLL_SECONDS if copy is None else _STORE_POLL_SECONDS)
