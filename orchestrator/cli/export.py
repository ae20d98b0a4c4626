"""The command `export`: a study for another program."""

import argparse

from rich.console import Console

from orchestrator.cli.reporting import known_study
from orchestrator.views.live import say


def export_command(options: argparse.Namespace, console: Console) -> int:
    """Write a study into a folder, and say how it is opened."""
    from analysis.export import export

    folder = known_study(options.study, options.results)
    lines = export(folder, options.to, options.out, options.python)
    say(console, f"Exported: {options.out}")
    for line in lines:
        say(console, line)
    return 0
