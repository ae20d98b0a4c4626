"""The command `export`, a study for another program; and the same while trials run."""

import argparse
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from rich.console import Console

from orchestrator.cli.reporting import known_study
from orchestrator.study.listening import Opening
from orchestrator.views.live import say


def export_command(options: argparse.Namespace, console: Console, command_line: str) -> int:
    """Write a study into a folder, and say how it is opened."""
    from analysis.export import export

    folder = known_study(options.study, options.results)
    lines = export(folder, options.to, options.out, options.python)
    say(console, f"Exported: {options.out}", *lines)
    return 0


def log_openings(names: Sequence[str]) -> Mapping[str, Opening]:
    """What makes the logs that `--log-to` names. Raises UserError for an unknown one and for a missing package."""
    if not names:
        return {}
    from analysis.export import live_logs

    return live_logs(names)


def log_lines(names: Sequence[str], study_folder: Path) -> Iterator[str]:
    """Where each log is written, and how it is opened."""
    if names:
        from analysis.export import TARGETS

        yield from (TARGETS[name].hint.format(place=study_folder / name) for name in names)
