"""A study's folder by what the user calls it, and what is said of a launch that has ended."""

from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from orchestrator.ledger.copies import copy_at
from orchestrator.ledger.study import STUDY_FILE, log_file
from orchestrator.views.live import say
from trainables.errors import UserError
from trainables.paths import user_path
from trainables.wording import did_you_mean

if TYPE_CHECKING:
    from orchestrator.study.observing import Outcome


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


def stopped(command_line: str) -> str:
    """What to say of a launch that a signal has ended."""
    return f"Stopped. What has finished is kept; this goes on where it stopped:\n  {command_line}"


def name_failures(folder: Path, outcome: "Outcome", console: Console) -> None:
    """Say which trials of a launch have failed, why, and where their logs are; and what no trial could do without."""
    if outcome.preparation_error is not None:
        say(
            console,
            f"What all trials share could not be prepared, so no trial ran:\n{outcome.preparation_error}",
        )
    for record in outcome.failed:
        log = folder / log_file(record["signature"])
        where = f"\n    log: {log}" if log.is_file() else ""
        say(console, f"{record['cell']} seed {record['seed']} {record['status']}: {record['reason']}{where}")
    if outcome.failed:
        say(console, f"{len(outcome.failed)} trials did not finish; the same command tries them again.")


def show_report(folder: Path, out: Path | None, console: Console) -> list[str]:
    """Write figures, tables and the report of a study; show its verdicts and where the report is.

    The lines of the verdicts.
    """
    from analysis.report import build_report, verdict_lines

    written = build_report(folder, out)
    copy = None if out is not None else copy_at(folder.parent)
    if copy is not None:
        copy.push(written.parent.rglob("*"))
    lines = verdict_lines(folder)
    say(console, *lines, f"Report: {written}")
    if copy is not None:
        say(console, f"        {copy.objects.url}/{written.relative_to(copy.root).as_posix()}")
    return [line.strip() for line in lines if line.strip()]
