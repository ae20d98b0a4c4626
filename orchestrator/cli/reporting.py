"""A study's folder by what the user calls it, and its report."""

from pathlib import Path

from rich.console import Console

from orchestrator.ledger.copies import copy_of
from orchestrator.ledger.study import STUDY_FILE
from orchestrator.views.live import say
from trainables.errors import UserError
from trainables.paths import user_path
from trainables.wording import did_you_mean


def study_folder(space: str, results: Path) -> Path:
    """The folder of a study from a space's name, a space's file, or the folder itself."""
    path = user_path(space)
    if (path / STUDY_FILE).is_file():
        return path.absolute()
    return results.absolute() / path.stem


def known_study(space: str, results: Path) -> Path:
    """As `study_folder`. Raises UserError, with the nearest name, where there is no study."""
    folder = study_folder(space, results)
    if (folder / STUDY_FILE).is_file():
        return folder
    names = [path.parent.name for path in results.absolute().glob(f"*/{STUDY_FILE}")]
    raise UserError(
        f"{folder} holds no study: there is no {STUDY_FILE} in it{did_you_mean(folder.name, names)}"
    )


def show_report(folder: Path, out: Path | None, console: Console) -> None:
    """Write figures, tables and the report of a study; show its verdicts and where the report is."""
    from analysis.report import build_report, verdict_lines

    written = build_report(folder, out)
    copy = None if out is not None else copy_of(folder)
    if copy is not None:
        files = (path.relative_to(folder).as_posix() for path in written.parent.rglob("*") if path.is_file())
        copy.push(folder.name, files)
    for line in verdict_lines(folder):
        say(console, line)
    say(console, f"Report: {written}")
    if copy is not None:
        say(console, f"        {copy.objects.url}/{written.relative_to(copy.root).as_posix()}")
