"""What travels to a worker: the trials to run and what all of a launch share."""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orchestrator.space.execution import ExecutionConfig

if TYPE_CHECKING:
    from trainables.h_space.editing_interval import IntervalTask
    from trainables.h_space.references import ReferenceTask
    from trainables.h_space.trajectory_files import PreparationTask

    Preparation = PreparationTask | IntervalTask | ReferenceTask

DEFAULT_TRIAL_CLASS = "trainables.h_space.trial:Trial"
PREPARING_TRIAL_CLASS = "orchestrator.search.preparing:PreparingTrial"
OWN_TRIAL_CLASSES = (DEFAULT_TRIAL_CLASS, PREPARING_TRIAL_CLASS)
"""Those that read the trajectory cache."""

Record = dict[str, Any]
"""What a finished trial leaves: one row of the ledger's `trials` table."""


@dataclass(frozen=True)
class TrialTask:
    """One trial to run, as it travels to a worker."""

    signature: str
    attempt: int
    """1 for the first launch that tries it; a failed trial is tried again with the next number."""
    cell: str
    seed: int
    axis_values: dict[str, Any]
    config: dict[str, Any]
    """The resolved CellConfig in JSON form."""
    parent: str | None = None
    num_epochs: int = 1
    """How many epochs the trial takes, for progress and the time left."""
    parent_epoch: int | None = None
    """After which epoch of the parent's training this one goes on; None for its last."""
    start_digest: str | None = None
    """SHA-256 of the editor file this one starts from, where that is no trial's (see `execution.editor_files`)."""
    keep_epochs: list[int] = field(default_factory=list)
    """Epochs after which the editor is kept, for children that start from it."""

    def to_json(self) -> str:
        """One line; `from_json` restores an equal task."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> "TrialTask":
        """Restore what `to_json` wrote."""
        return cls(**json.loads(text))


@dataclass(frozen=True)
class WorkerSettings:
    """What every trial of a launch shares. Paths are absolute, for Ray's workers change directory."""

    study_folder: Path
    cache_dir: Path
    trial_class: str = DEFAULT_TRIAL_CLASS
    """`module:Class`, importable where the trial runs."""
    execution: ExecutionConfig = field(default_factory=ExecutionConfig)
    git_commit: str | None = None
    """Of the code that planned the study, for the records; workers may have no repository."""

    @property
    def device(self) -> str:
        """`cuda` when trials were given a share of a GPU, else `cpu`."""
        return "cuda" if self.execution.gpus_per_trial > 0 else "cpu"
