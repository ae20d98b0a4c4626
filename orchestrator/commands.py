"""What each command of `asyrp-sweep` does, once its options are parsed."""

import argparse
import json
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from rich.console import Console
from rich.prompt import Confirm

from orchestrator import doctor, editing, explaining, importing, interval, listing, planning, status
from orchestrator.adaptive import run_until_decided
from orchestrator.backend import BackendError
from orchestrator.budget import check_cost
from orchestrator.config import ConfigError, Problem, Space, SpaceConfig
from orchestrator.launch import CACHE_FOLDER, Study, open_study
from orchestrator.ledger import LedgerError
from orchestrator.live import make_display, say
from orchestrator.loading import load_space
from orchestrator.runner import Outcome, RunOptions, run_missing
from orchestrator.worker import log_path
from trainables.domains import DomainError
from trainables.edit_session import EditError
from trainables.editor_file import EditorFileError

BAD_INPUT = 2
LONG_SECONDS = 3600.0
"""From this price on, `run` asks first on a terminal."""


def run(options: argparse.Namespace, command_line: str) -> int:
    """Run a parsed command; its exit code. `command_line` is what the user can type to do it again."""
    console = Console(soft_wrap=False)
    try:
        return COMMANDS[options.command](options, console, command_line)
    except (ConfigError, LedgerError, BackendError, DomainError, EditorFileError, EditError) as error:
        print(error, file=sys.stderr)
        return BAD_INPUT
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # the reader of a pipe, such as `head`, has seen enough
        sys.stderr.close()
        return 0


def run_command(options: argparse.Namespace, console: Console, command_line: str) -> int:
    """Plan, price, train what is missing, report."""
    space = _load(options)
    if space.config.design.kind == "optuna":
        message = f"it is a search: asyrp-sweep tune ATTRIBUTE --space {options.space} runs it"
        raise ConfigError([Problem(space.file, 0, "design", message)])
    study = open_study(space, options.results)
    view = planning.view(study)
    planning.show(view, console)
    _check_cost(view, options)
    if view.num_missing and not _agreed(view, options, console):
        return 0
    outcome = Outcome()
    if view.num_missing or view.hits or study.space.config.adaptive is not None:
        outcome = _trained(study, options, console)
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
    _check_cost(view, options)
    return 0


def schema_command(options: argparse.Namespace, console: Console, command_line: str) -> int:
    """Print the JSON Schema of a space."""
    from analysis.figures import FIGURES
    from orchestrator.space_schema import schema_text

    print(schema_text({kind: figure.config for kind, figure in FIGURES.items()}), end="")
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


def edit_command(options: argparse.Namespace, console: Console, command_line: str) -> int:
    """Edit pictures with trained editors: a strip for each, and its single pictures in a folder beside it."""
    from analysis.strips import save_strip

    study_folder = _study_folder(options.study, options.results) if options.study else None
    job = editing.open_edit(options, study_folder, lambda line: say(console, line))
    for note in job.notes:
        say(console, note)
    for name, source in zip(editing.folder_names(job.sources), job.sources, strict=True):
        strip = job.session.strip(source)
        folder = options.out / name
        folder.mkdir(parents=True, exist_ok=True)
        for tile in (tile for group in strip.groups for tile in group):
            (folder / tile.file_name).write_bytes(tile.png)
        picture = options.out / f"{name}.png"
        groups = [[(tile.label, tile.png) for tile in group] for group in strip.groups]
        save_strip(groups, f"{name}: {job.session.title}", picture)
        say(console, f"{picture}")
    return 0


def interval_command(options: argparse.Namespace, console: Console, command_line: str) -> int:
    """Show, and draw, where a domain's edits begin."""
    cache_dir = options.results.absolute() / CACHE_FOLDER
    found = interval.view(
        options.domain,
        options.attributes,
        cache_dir,
        options.images,
        options.steps,
        lambda line: say(console, line),
    )
    interval.show(found, console)
    if options.out is not None:
        from analysis.interval import draw_interval
        from analysis.style import save_figure

        stem = options.out.with_suffix("") if options.out.suffix in (".png", ".svg") else options.out
        stem.parent.mkdir(parents=True, exist_ok=True)
        for path in save_figure(draw_interval(*interval.for_figure(found)), stem):
            say(console, f"{path}")
    return 0


def explain_command(options: argparse.Namespace, console: Console, command_line: str) -> int:
    """Show why a trial ran or did not, or where two trials part."""
    found = explaining.find(options.trial, options.results)
    if options.other is None:
        lines = explaining.explain(found)
    else:
        lines = explaining.first_difference(found, explaining.find(options.other, options.results))
    for line in lines:
        say(console, line)
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


def tune_command(options: argparse.Namespace, console: Console, command_line: str) -> int:
    """Search an attribute's settings, test the best on fresh seeds, leave settings and an editor."""
    from orchestrator.tuning import command  # Optuna is needed here alone.

    return command.tune_command(options, console, command_line)


Command = Callable[[argparse.Namespace, Console, str], int]
COMMANDS: dict[str, Command] = {
    "run": run_command,
    "plan": plan_command,
    "status": status_command,
    "report": report_command,
    "tune": tune_command,
    "edit": edit_command,
    "interval": interval_command,
    "schema": schema_command,
    "explain": explain_command,
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


def _check_cost(view: planning.PlanView, options: argparse.Namespace) -> None:
    if options.max_cost is not None:
        check_cost(view, *options.max_cost)


def _trained(study: Study, options: argparse.Namespace, console: Console) -> Outcome:
    """Train what is missing; where seeds are added while they are needed, until every contrast is decided."""
    chosen = RunOptions(inline=options.inline, address=options.address, num_cpus=options.cpus)
    display = make_display(console)
    if study.space.config.adaptive is None:
        return run_missing(study, chosen, display)
    return run_until_decided(
        study,
        chosen,
        run=lambda asked, with_options: run_missing(asked, with_options, display),
        judge=_next_seeds,
        note=lambda line: say(console, line),
    )


def _next_seeds(folder: Path) -> Mapping[str, int]:
    from analysis.contrasts import next_seeds
    from analysis.frames import load_frames

    return next_seeds(load_frames(folder))


def _agreed(view: planning.PlanView, options: argparse.Namespace, console: Console) -> bool:
    """Whether to go on: always when it is cheap, when told so, or when nobody is there to ask."""
    seconds = view.dearest.seconds if view.dearest is not None else None
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
