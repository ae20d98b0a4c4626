"""What each command of `asyrp-sweep` does, once its options are parsed."""

import argparse
import json
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

from rich.console import Console
from rich.prompt import Confirm

from orchestrator import doctor, importing, listing, planning, status
from orchestrator.backend import BackendError
from orchestrator.config import ConfigError, Space, SpaceConfig
from orchestrator.launch import Study, open_study
from orchestrator.ledger import LedgerError
from orchestrator.live import make_display, say
from orchestrator.loading import load_space
from orchestrator.runner import Outcome, RunOptions, run_missing
from orchestrator.worker import log_path
from trainables.domains import DomainError
from trainables.editor_file import EditorFileError

BAD_INPUT = 2
LONG_SECONDS = 3600.0
"""From this price on, `run` asks first on a terminal."""


def run(options: argparse.Namespace, command_line: str) -> int:
    """Run a parsed command; its exit code. `command_line` is what the user can type to do it again."""
    console = Console(soft_wrap=False)
    try:
        return COMMANDS[options.command](options, console, command_line)
    except (ConfigError, LedgerError, BackendError, DomainError, EditorFileError) as error:
        print(error, file=sys.stderr)
        return BAD_INPUT
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # the reader of a pipe, such as `head`, has seen enough
        sys.stderr.close()
        return 0


def run_command(options: argparse.Namespace, console: Console, command_line: str) -> int:
    """Plan, price, train what is missing, report."""
    study = open_study(_load(options), options.results)
    view = planning.view(study)
    planning.show(view, console)
    if view.num_missing and not _agreed(view, options, console):
        return 0
    outcome = Outcome()
    if view.num_missing:
        chosen = RunOptions(inline=options.inline, address=options.address, num_cpus=options.cpus)
        outcome = run_missing(study, chosen, make_display(console))
    else:
        say(console, "Nothing is missing: every trial of this plan is done.")
    if outcome.interrupted_by is not None:
        say(console, f"Stopped. What has finished is kept; this goes on where it stopped:\n  {command_line}")
        return outcome.exit_code
    _name_failures(study, outcome, console)
    if outcome.preparation_error is None:
        _report(study.folder, None, console)
    return outcome.exit_code


def plan_command(options: argparse.Namespace, console: Console, command_line: str) -> int:
    """Show what `run` would do."""
    study = open_study(_load(options), options.results)
    view = planning.view(study)
    if options.json:
        print(json.dumps(planning.as_json(view), indent=2))
    else:
        planning.show(view, console)
    return 0


def status_command(options: argparse.Namespace, console: Console, command_line: str) -> int:
    """Show how far one study, or every study, is."""
    if options.space is None:
        folders = status.study_folders(options.results)
    else:
        folders = [_study_folder(options.space, options.results)]
    if options.json:
        found = [status.as_json(status.view(folder)) for folder in folders]
        print(json.dumps(found if options.space is None else found[0], indent=2))
    elif options.watch:
        status.watch(folders, console)
    else:
        status.show(folders, console)
    return 0


def report_command(options: argparse.Namespace, console: Console, command_line: str) -> int:
    """Write figures, tables and the report of a study."""
    _report(_study_folder(options.space, options.results), options.out, console)
    return 0


def list_command(options: argparse.Namespace, console: Console, command_line: str) -> int:
    """Show what there is to choose from."""
    listing.show(options.what, console)
    return 0


def import_command(options: argparse.Namespace, console: Console, command_line: str) -> int:
    """Convert a published editor."""
    for line in importing.convert(options):
        say(console, line)
    return 0


def pretrain_command(options: argparse.Namespace, console: Console, command_line: str) -> int:
    """Train the built-in domain's models from scratch."""
    from trainables.pretrain import pretrain_avatars

    pretrain_avatars(
        options.out,
        unet_steps=options.unet_steps,
        clip_steps=options.clip_steps,
        log=lambda line: say(console, line),
    )
    return 0


def doctor_command(options: argparse.Namespace, console: Console, command_line: str) -> int:
    """Check the installation; 1 when something must be fixed."""
    return doctor.show(doctor.examine(options.results, options.address), console)


Command = Callable[[argparse.Namespace, Console, str], int]
COMMANDS: dict[str, Command] = {
    "run": run_command,
    "plan": plan_command,
    "status": status_command,
    "report": report_command,
    "list": list_command,
    "import-editor": import_command,
    "pretrain": pretrain_command,
    "doctor": doctor_command,
}


def check_figures(config: SpaceConfig) -> Iterable[tuple[tuple[str | int, ...], str]]:
    """What is wrong with a space's figures, at their places in the file."""
    from analysis import figures

    axes = {name: list(axis.names) for name, axis in config.axes.items()}
    for place, message in figures.check(config.figures, axes):
        yield ("figures", *place), message


def _load(options: argparse.Namespace) -> Space:
    return load_space(
        options.space,
        settings=options.set,
        domain=options.domain,
        seeds=options.seeds,
        extra_checks=[check_figures],
    )


def _agreed(view: planning.PlanView, options: argparse.Namespace, console: Console) -> bool:
    """Whether to go on: always when it is cheap, when told so, or when nobody is there to ask."""
    seconds = view.price.seconds if view.price is not None else None
    if options.yes or not console.is_terminal or seconds is None or seconds < LONG_SECONDS:
        return True
    return Confirm.ask("Train now?", console=console, default=True)


def _study_folder(space: str, results: Path) -> Path:
    """The folder of a study from a space's name, a space's file, or the folder itself."""
    if (Path(space) / "study.json").is_file():
        return Path(space).absolute()
    return results.absolute() / Path(space).stem


def _report(folder: Path, out: Path | None, console: Console) -> None:
    from analysis.report import build_report, verdict_lines

    written = build_report(folder, out)
    for line in verdict_lines(folder):
        say(console, line)
    say(console, f"Report: {written}")


def _name_failures(study: Study, outcome: Outcome, console: Console) -> None:
    if outcome.preparation_error is not None:
        say(console, f"The trajectories could not be prepared, so no trial ran:\n{outcome.preparation_error}")
    for record in outcome.failed:
        log = log_path(study.folder, record["signature"])
        where = f"\n    log: {log}" if log.is_file() else ""
        say(console, f"{record['cell']} seed {record['seed']} {record['status']}: {record['reason']}{where}")
    if outcome.failed:
        say(console, f"{len(outcome.failed)} trials did not finish; the same command tries them again.")
