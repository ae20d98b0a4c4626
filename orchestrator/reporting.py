"""A study's folder by what the user calls it, and its report."""

from pathlib import Path

from rich.console import Console

from orchestrator.live import say


def study_folder(space: str, results: Path) -> Path:
    """The folder of a study from a space's name, a space's file, or the folder itself."""
    if (Path(space) / "study.json").is_file():
        return Path(space).absolute()
    return results.absolute() / Path(space).stem


def show_report(folder: Path, out: Path | None, console: Console) -> None:
    """Write figures, tables and the report of a study; show its verdicts and where the report is."""
    from analysis.report import build_report, verdict_lines

    written = build_report(folder, out)
    for line in verdict_lines(folder):
        say(console, line)
    say(console, f"Report: {written}")
