"""Bounds what the checkpoints of a study's unfinished trials take on disk.

Only the driver drops them, after each epoch that a trial has saved, so between two looks every running trial may
hold one checkpoint more. A trial does not need its checkpoint to go on, only to be taken up again: one whose
checkpoint went starts afresh should it be interrupted, with the same result. Models are never touched.
"""

from collections.abc import Callable, Container
from dataclasses import dataclass
from pathlib import Path

from orchestrator.execution.checkpoints import DAMAGED, FOLDER, CheckpointStore, remove_at_once
from orchestrator.space.units import size_of


@dataclass(frozen=True)
class _Kept:
    """What a trial could go on from, or what was set aside of one."""

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
            folders = set(study_folder.joinpath(FOLDER).glob("*")) - {self._damaged}
            for folder in (*folders, *self._damaged.glob("*")):
                self._add(folder)
            self._enforce()

    def saved(self, signature: str) -> None:
        """A trial has saved an epoch, in place of the one before."""
        if self._max_bytes is not None:
            self.forget(signature)
            self._add(self._study_folder / FOLDER / signature)
            self._enforce()

    def forget(self, signature: str) -> None:
        """A trial's checkpoints are gone."""
        kept = self._kept.pop(self._study_folder / FOLDER / signature, None)
        self._num_bytes -= kept.num_bytes if kept else 0

    @property
    def _damaged(self) -> Path:
        return self._study_folder / FOLDER / DAMAGED

    def _add(self, folder: Path) -> None:
        try:
            files = [path.stat() for path in folder.rglob("*") if path.is_file()]
            written_at = folder.stat().st_mtime
        except FileNotFoundError:  # The next epoch has just taken its place, and will be told of.
            return
        epochs = [int(path.name.split("-")[1]) for path in folder.glob("epoch-*")]
        kept = _Kept(folder, max(epochs, default=0), written_at, sum(file.st_size for file in files))
        if kept.num_bytes:
            self._kept[folder] = kept
            self._num_bytes += kept.num_bytes

    def _enforce(self) -> None:
        assert self._max_bytes is not None
        while self._num_bytes > self._max_bytes:
            least = min(self._kept.values(), key=self._worth)
            self._num_bytes -= self._kept.pop(least.folder).num_bytes
            if least.folder.parent == self._damaged:
                remove_at_once(least.folder)
            else:
                CheckpointStore(self._study_folder, least.folder.name).drop()
            self._tell(least)

    def _worth(self, kept: _Kept) -> tuple[bool, int, float]:
        return kept.folder.name in self._wanted, kept.epoch, kept.written_at

    def _tell(self, kept: _Kept) -> None:
        """Once for each trial: every further epoch of it may meet the same end."""
        name, quota = kept.folder.name, size_of(self._max_bytes or 0)
        if name in self._noted:
            return
        self._noted.add(name)
        afresh = "its trial starts afresh should it be interrupted"
        self._note(
            f"{kept.folder.relative_to(self._study_folder)}, epoch {kept.epoch} ({size_of(kept.num_bytes)}), was "
            f"dropped to keep execution.checkpoint_quota ({quota}); "
            f"{afresh if name in self._wanted else 'no trial of this launch needs it'}"
        )
