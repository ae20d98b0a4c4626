"""What a target of an export is, and how a folder that an export filled is told from any other."""

import importlib.util
import json
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import mkdtemp
from typing import Protocol

from analysis.export._trials import ExportedTrial, StudyTrials
from orchestrator.ledger import StudyPlan
from trainables.errors import UserError

MARK = "export.json"
"""Says what filled a folder; only such a folder is ever replaced."""


@dataclass(frozen=True)
class Options:
    """What a target may want to know beyond the study."""

    place: Path
    """Where the written folder will be, absolute: it is filled beside its place and moved there in one step."""
    python: Path | None = None
    """The Python of another environment, for a target whose packages cannot be installed beside ours."""


class Sink(AbstractContextManager["Sink"], Protocol):
    """Where the trials of a study go, one by one: all of an ended study, or each as it goes on."""

    def epoch(self, trial: ExportedTrial, epoch: int, means: Mapping[str, float]) -> None:
        """A running trial has trained an epoch. The whole trial replaces this once it has ended."""

    def has(self, trial: ExportedTrial) -> bool:
        """Whether this attempt at the trial is there as a whole."""

    def write(self, trial: ExportedTrial) -> None:
        """All of a trial that has ended, in the place of what is there of it."""

    def finish(self, study: StudyTrials) -> None:
        """What is about all trials together."""


@dataclass(frozen=True)
class Target:
    """A program, or a format, that a study can be exported to."""

    name: str
    """As in `--to`; the name of its file here."""
    description: str
    write: Callable[[Path, Path, Options], Sequence[str]]
    """From a study's folder into an empty one. Returns what to tell the user: how to open what was written."""
    packages: tuple[str, ...] = ()
    """What has to be importable."""
    install: str = ""
    """The command that installs them."""
    sink: Callable[[Path, Path], Sink] | None = None
    """For a target that takes trials while they run: from the study's folder and the one to fill."""
    hint: str = ""
    """Of a target with a sink: how the `{place}` that it has filled is opened."""
    owns: Callable[[Path], bool] | None = None
    """Of a target that writes one file: whether a file is an earlier export, which another one may replace."""

    def check_installed(self) -> None:
        """Raise UserError where a package is missing."""
        missing = [name for name in self.packages if importlib.util.find_spec(name) is None]
        if missing:
            raise UserError(
                f"{self.name} needs {' and '.join(missing)}, missing here; install with: {self.install}"
            )


def of_sink(
    name: str,
    description: str,
    sink: Callable[[Path, Path], Sink],
    hint: str,
    *,
    packages: tuple[str, ...],
    install: str,
) -> Target:
    """A target that takes trials one by one; `hint` says how the `{place}` is opened."""

    def write(study_folder: Path, out: Path, options: Options) -> Sequence[str]:
        study = StudyTrials(study_folder)
        with sink(study_folder, out) as opened:
            for trial in study.trials():
                opened.write(trial)
            opened.finish(study)
        return [hint.format(place=options.place), *study.remarks()]

    return Target(name, description, write, packages, install, sink, hint)


@contextmanager
def replacing(place: Path, mark: Mapping[str, str]) -> Iterator[Path]:
    """An empty folder to fill, which takes its place once the block has ended well; else nothing is changed.

    Raises UserError where there is anything at the place but an empty folder or the same study's earlier export, and
    OSError where nothing can be written.
    """
    check_place(place, mark)
    filled = _beside(place)
    try:
        filled.chmod(0o755)  # mkdtemp's own is for its user alone
        yield filled
        write_mark(filled, mark)
        if place.exists():
            shutil.rmtree(place)
        filled.replace(place)
    finally:
        shutil.rmtree(filled, ignore_errors=True)


def mark_of(target: Target, study: StudyPlan) -> dict[str, str]:
    """What tells the export of a study from any other folder."""
    return {"exported to": target.name, "study": study.name}


@contextmanager
def replacing_file(place: Path, owns: Callable[[Path], bool]) -> Iterator[Path]:
    """The path of a file to write, which takes its place once the block has ended well; else nothing is changed.

    Raises UserError where there is anything at the place but an earlier export, OSError where nothing can be written.
    """
    if place.is_dir() or (place.exists() and not owns(place)):
        kind = "a folder" if place.is_dir() else "another file"
        raise UserError(f"{place} is {kind}, which is left alone; name another file")
    folder = _beside(place)
    try:
        yield folder / place.name
        (folder / place.name).replace(place)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _beside(place: Path) -> Path:
    """A new folder beside the place that the user has named. Raises UserError where none can be made."""
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        return Path(mkdtemp(dir=place.parent, prefix=f".{place.name}-"))
    except OSError as error:
        raise UserError(f"{place} cannot be written: {error.strerror}; name another place") from error


def check_place(place: Path, mark: Mapping[str, str]) -> None:
    """Raise UserError where a place holds anything but an earlier export with the same mark."""
    advice = "name another folder, or an empty one"
    if not place.exists():
        return
    if not place.is_dir():
        raise UserError(f"{place} is a file; {advice}")
    if not any(place.iterdir()):
        return
    try:
        found = json.loads((place / MARK).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        found = None
    if found != dict(mark):
        whose = "other files" if not isinstance(found, dict) else "another export"
        told = f" ({', '.join(map(str, found.values()))})" if isinstance(found, dict) else ""
        raise UserError(f"{place} holds {whose}{told}, which are left alone; {advice}")


def write_mark(place: Path, mark: Mapping[str, str]) -> None:
    """Say what fills a folder."""
    (place / MARK).write_text(json.dumps(dict(mark), ensure_ascii=False) + "\n", encoding="utf-8")
