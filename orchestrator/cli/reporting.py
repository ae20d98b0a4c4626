"""A study's folder by what the user calls it, and its report."""

from pathlib import Path

from rich.console import Console

from orchestrator.views.live import say
from trainables.paths import user_path


def study_folder(space: str, results: Path) -> Path:
    """The folder of a study from a space's name, a space's file, or the folder itself."""
    path = user_path(space)
    if (path / "study.json").is_file():
        return path.absolute()
    return results.absolute() / path.stem


def show_report(folder: Path, out: Path | None, console: Console) -> None:
    """Write figures, tables and the report of a study; show its verdicts and where the report is."""
    from analysis.report import build_report, verdict_lines

    written = build_report(folder, out)
    for line in verdict_lines(folder):
        say(console, line)
    say(console, f"Report: {written}")
