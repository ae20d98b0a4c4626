"""Which files hold what a script logs, and what is read of each."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple


class Event(NamedTuple):
    """What a script logged at one moment."""

    wall_time: float
    """Seconds since 1970."""
    step: int | None
    """None for what belongs to the end of a run, a summary."""
    numbers: Mapping[str, float]
    """By their tags."""
    settings: Mapping[str, Any] = MappingProxyType({})
    """Of the run, as far as they are logged here: W&B's config, TensorBoard's hyperparameters."""


def is_event_file(path: Path) -> bool:
    """Whether TensorBoard or W&B would read a file of this name."""
    return is_of_wandb(path) or "tfevents" in path.name


def is_of_wandb(path: Path) -> bool:
    """Whether a file of this name is W&B's."""
    return path.suffix == ".wandb"


def begun(path: Path) -> tuple[str, Path]:
    """What sorts event files by the time when they were begun.

    Their names hold it: `events.out.tfevents.1795954986.host.31375.0`, `offline-run-20261129_122610-ID/run-ID.wandb`.
    """
    return path.parent.name.partition("run-")[2] if is_of_wandb(path) else path.name, path


def run_folders(folder: Path) -> list[Path]:
    """The folders of all runs whose event files are in this one, at any depth."""
    inside = sorted({file.parent for file in event_files(folder)})
    return [one for one in inside if not any(other in one.parents for other in inside)]


def run_folder(files: Iterable[Path]) -> Path:
    """The folder of the run that began last, of event files.

    A folder of event files inside another one is part of its run: `SummaryWriter.add_scalars` of PyTorch makes such.
    """
    folders = {file.parent for file in files}
    last = max(files, key=begun).parent
    return next(folder for folder in (*reversed(last.parents), last) if folder in folders)


def event_files(folder: Path) -> list[Path]:
    """Those of a run, in the order in which they were begun."""
    return sorted((path for path in folder.rglob("*") if is_event_file(path) and path.is_file()), key=begun)
