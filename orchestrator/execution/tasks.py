"""What travels to a worker: the trials to run and what all of a launch share."""

import json
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from orchestrator.ledger.copies import working_copy
from orchestrator.space.execution import ExecutionConfig
from trainables.families import DEFAULT_FAMILY, family_of_source, find_family
from trainables.family import Family
from trainables.function_family import FunctionFamily
from trainables.plugins import decides_numbers, plugin_of_source
from trainables.registry import plugins_in_use

Record = dict[str, Any]
"""What a finished trial leaves: one row of the ledger's `trials` table."""
UNTOLD = "is_untold"
"""Key of the record of a trial that failed as every trial of its code will; no column of the table."""


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
    """The resolved configuration in JSON form."""
    parent: str | None = None
    num_epochs: int = 1
    """How many epochs the trial takes, for progress and the time left."""
    parent_epoch: int | None = None
    """After which epoch of the parent's training this one goes on; None for its last."""
    start_digest: str | None = None
    """SHA-256 of the file this one starts from, where that is no trial's (see `execution.models`)."""
    code: str = ""
    """Fingerprint of the source code that decides its numbers."""
    draws: int | None = None
    """The seed that it draws from, where that is another than `seed`, by which it is paired (a placebo)."""
    is_resumable: bool = True
    """Whether it goes on from its last epoch; else it begins anew, and has to run to its end in one launch."""
    keep_epochs: list[int] = field(default_factory=list)
    """Epochs after which the weights are kept, for children that start from them."""

    def in_record(self) -> Record:
        """What the record of this trial says of it, however it ends."""
        names = ("signature", "attempt", "cell", "seed", "axis_values", "config", "parent", "code")
        return {name: getattr(self, name) for name in names}

    def to_json(self) -> str:
        """One line; `from_json` restores an equal task."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> "TrialTask":
        """Restore what `to_json` wrote."""
        return cls(**json.loads(text))


@dataclass(frozen=True)
class FamilyRef:
    """A family as it travels: its name, or the file that it was read from."""

    name: str = DEFAULT_FAMILY
    source: tuple[str, str] | None = None
    """Name and text of the file."""
    recipe: tuple[Any, ...] | None = None
    """Recipe of a family that is a function (`trainables.function_family`)."""
    plugins: tuple[tuple[str, str], ...] = ()
    """Name and text of every plugin's file that trials may need."""

    @classmethod
    def of(cls, family: Family) -> "FamilyRef":
        """What finds this family again on another machine."""
        recipe = family.recipe if isinstance(family, FunctionFamily) else None
        plugins = tuple((one.name, one.source) for one in family.plugins if decides_numbers(one))
        return cls(family.name, family.source, recipe, plugins)

    def find(self) -> Family:
        """The family, its plugins in use. Raises UserError where this machine does not have it."""
        family = self._found()
        for_reports = [one for one in plugins_in_use() if not (one.is_installed or decides_numbers(one))]
        return family.with_plugins([*(plugin_of_source(*one) for one in self.plugins), *for_reports])

    def _found(self) -> Family:
        if self.recipe is not None:
            return FunctionFamily(*self.recipe)
        if self.source is not None:
            return family_of_source(*self.source)
        return find_family(self.name, Path.cwd())


@dataclass(frozen=True)
class WorkerSettings:
    """What every trial of a launch shares. Paths are absolute, for Ray's workers change directory."""

    study_folder: Path
    cache_dir: Path
    trial_class: str | None = None
    """`module:Class`, importable where the trial runs, in the place of the family's own trials."""
    execution: ExecutionConfig = field(default_factory=ExecutionConfig)
    git_commit: str | None = None
    """Commit of the code that planned the study, for the records; workers may have no repository."""
    family: FamilyRef = field(default_factory=FamilyRef)
    prepares_itself: bool = False
    """Whether a trial computes what its preparation lacks."""
    store: str | None = None
    """URL of the object store that the folders are copies of; each machine has copies of its own."""
    shard: str = ""
    """Name of the shard that this is a launch of, whose copies are its own, too."""

    def here(self) -> "WorkerSettings":
        """As this machine has them. Raises LedgerError where it can keep no copy."""
        if self.store is None:
            return self
        root = working_copy(self.store, self.shard).root
        folder, cache = root / self.study_folder.name, root / self.cache_dir.name
        for place in (folder, cache):
            place.mkdir(parents=True, exist_ok=True)
        return replace(self, study_folder=folder, cache_dir=cache)

    @property
    def device(self) -> str:
        """`cuda` when trials were given a share of a GPU, else `cpu`."""
        return "cuda" if self.execution.gpus_per_trial > 0 else "cpu"
