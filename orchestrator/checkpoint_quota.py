"""Bounds what the checkpoints of a study's unfinished trials take on disk.

Only the driver drops them, after each epoch that a trial has saved, so between two looks every running trial may
hold one checkpoint more. A trial does not need its checkpoint to go on, only to be taken up again: one whose
checkpoint went starts afresh should it be interrupted, with the same result. Editors are never touched.
"""

from collections.abc import Callable, Container
from dataclasses import dataclass
from pathlib import Path

from orchestrator.checkpoints import FOLDER, CheckpointStore
from orchestrator.sizes import size_of


@dataclass(frozen=True)
class _Kept:
    """A checkpoint on disk."""

    folder: Path
    epoch: int
    written_at: float
    num_bytes: int


class CheckpointQuota:
    """The checkpoints of one study, the least worth dropped first while they take too much.

    Least worth are those of trials that are not of this launch, and what damage left; then those of fewest epochs; of
    equals the oldest.
    """

    def __init__(
        self, study_folder: Path, max_bytes: int | None, wanted: Container[str], note: Callable[[str], None]
    ) -> None:
        """`max_bytes` is None where there is no bound; `wanted` are the signatures of this launch."""
        self._study_folder = study_folder
        self._max_bytes = max_bytes
        self._wanted = wanted
        self._note = note
        self._noted: set[str] = set()
        self._kept: dict[Path, _Kept] = {}
        self._num_bytes = 0
        if max_bytes is not None:
            for folder in study_folder.joinpath(FOLDER).glob("*/*"):
                self._add(folder)
            self._enforce()

    def saved(self, signature: str) -> None:
        """A trial has saved an epoch, in place of the one before."""
        if self._max_bytes is not None:
            self.forget(signature)
            for folder in CheckpointStore(self._study_folder, signature).folder.glob("epoch-*"):
                self._add(folder)
            self._enforce()

    def forget(self, signature: str) -> None:
        """A trial's checkpoints are gone."""
        folder = CheckpointStore(self._study_folder, signature).folder
        for path in [path for path in self._kept if path.parent == folder]:
            self._num_bytes -= self._kept.pop(path).num_bytes

    def _add(self, folder: Path) -> None:
        number = folder.name.removeprefix("epoch-")
        try:
            files = [path.stat() for path in folder.rglob("*") if path.is_file()]
            written_at = folder.stat().st_mtime
        except FileNotFoundError:  # The next epoch has just taken its place, and will be told of.
            return
        epoch = int(number) if number.isdecimal() else 0
        self._kept[folder] = _Kept(folder, epoch, written_at, sum(file.st_size for file in files))
        self._num_bytes += self._kept[folder].num_bytes

    def _enforce(self) -> None:
        assert self._max_bytes is not None
        while self._num_bytes > self._max_bytes:
            least = min(self._kept.values(), key=self._worth)
            self._num_bytes -= self._kept.pop(least.folder).num_bytes
            CheckpointStore.drop(least.folder)
            self._tell(least)

    def _worth(self, kept: _Kept) -> tuple[bool, int, float]:
        return kept.folder.parent.name in self._wanted, kept.epoch, kept.written_at

    def _tell(self, kept: _Kept) -> None:
        """Once for each trial: every further epoch of it may meet the same end."""
        signature = kept.folder.parent.name
        if signature in self._noted:
            return
        self._noted.add(signature)
        what = f"{FOLDER}/{signature}/{kept.folder.name} ({size_of(kept.num_bytes)})"
        then = "its trial starts afresh should it be interrupted"
        if signature not in self._wanted:
            then = "no trial of this launch needs it"
        quota = size_of(self._max_bytes or 0)
        self._note(f"{what} was dropped to keep execution.checkpoint_quota ({quota}); {then}")
