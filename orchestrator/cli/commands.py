"""What each command of `asyrp-sweep` does, once its options are parsed; larger ones have modules of their own."""

import argparse
import contextlib
import errno
import json
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from orchestrator.cli.reporting import show_report, study_folder
from orchestrator.cli.streams import complain, patient_console, settle_output
from orchestrator.execution.contract import LaunchStopped
from orchestrator.ledger import LedgerError
from orchestrator.ledger.copies import copy_at, following, reading_copy, results_folder
from orchestrator.ledger.errors import advice_on
from orchestrator.views import explaining, status
from orchestrator.views.live import say
from trainables.command_line import resolved
from trainables.errors import UserError
from trainables.names import visible
from trainables.paths import user_path
from trainables.plugins import use_named

SOME_FAILED, BAD_INPUT = 1, 2


def run(options: argparse.Namespace, command_line: str) -> int:
    """Run a parsed command; its exit code. `command_line` is what the user can type to do it again."""
    console, code, refused = patient_console(), BAD_INPUT, None
    try:
        if (
            "plugin" in options
        ):  # A command that plans nothing finds the installed ones and those it is given.
            use_named(options.plugin, Path.cwd())
        use_copy(options)
        code = resolved(options.function)(options, console, command_line)
    except LaunchStopped as error:
        end = f"The launch was stopped. What has finished is kept; this goes on where it stopped:\n  {command_line}"
        complain(f"{visible(str(error))}\n{end}")
        code = SOME_FAILED
    except (UserError, LedgerError) as error:
        complain(visible(str(error)))
    except OSError as error:
        if error.errno is None:  # of a library's own making: no word of the system's
            raise
        refused = error
    unwritten = settle_output()
    if isinstance(unwritten, BrokenPipeError) and isinstance(refused, BrokenPipeError | None):
        return 0 if refused else code  # The reader of a pipe, such as `head`, has seen enough.
    if (told := unwritten or refused) is not None:
        complain(visible(refusal(told)))
        return BAD_INPUT
    return code


_LAUNCH = ("run", "submit", "tune")
"""Commands that write results."""


def use_copy(options: argparse.Namespace) -> None:
    """Where results are in an object store, go on with this machine's copy of them.

    Raises LedgerError where the store cannot be reached.
    """
    url = getattr(options, "results", None)
    if not isinstance(url, str) or options.command == "doctor":
        return
    if options.command in _LAUNCH:
        shard = getattr(options, "shard", None)
        options.results = results_folder(url, "" if shard is None else shard.name)
        return
    copy = reading_copy(url)
    options.results = copy.root
    if options.command == "plan":
        return  # It knows the study's name once the space is read.
    studies = copy.studies()
    asked = Path(getattr(options, "space", None) or getattr(options, "study", None) or "").stem
    for study in [asked] if asked in studies else studies:
        copy.refresh(study)


def refusal(error: OSError) -> str:
    """What the system refused, to which file, and what to do, in a line."""
    what = error.filename if error.filename is not None else "a file or standard output"
    if error.errno in (errno.EEXIST, errno.ENOTDIR):
        advice = "a file is in the way: move it, or name another place with --results or --out"
    else:
        advice = advice_on(error) or "put that right and start the command again"
    return f"{what}: {error.strerror}; {advice}"


def schema_command(options: argparse.Namespace, console: Console, command_line: str) -> int:
    """Print the JSON Schema of a space."""
    from analysis.figures import FIGURES
    from orchestrator.plan.schema import schema_text
    from trainables.families import DEFAULT_FAMILY

    figures = {kind: figure.config for kind, figure in FIGURES.items()}
    print(schema_text(figures, options.family or DEFAULT_FAMILY), end="")
    return 0


def status_command(options: argparse.Namespace, console: Console, command_line: str) -> int:
    """Show how far one study, or every study, is."""
    if options.space is None:
        folders = status.study_folders(options.results)
    else:
        folders = [study_folder(options.space, options.results)]
    if options.watch and not options.json:
        with following(copy_at(options.results), [folder.name for folder in folders]):
            problems = status.watch(folders, console)
    else:
        views, problems = status.views(folders)
        if options.json:
            found = [status.as_json(view) for view in views]
            if found or options.space is None:
                print(json.dumps(found if options.space is None else found[0], indent=2))
        else:
            status.show(views, console)
            _show_submissions(views, console)
    for problem in problems:
        complain(visible(problem))
    return BAD_INPUT if problems else 0


def _show_submissions(views: Sequence[status.StatusView], console: Console) -> None:
    """Say of each study how its latest job stands; a scheduler is asked only where there is one."""
    from orchestrator.cli.submit import submission_lines

    names = {one.folder: one.study.name for one in views}
    lines = submission_lines(list(names))
    for folder, name in names.items():
        if folder in lines:
            say(console, f"{name}: {lines[folder]}" if len(views) > 1 else lines[folder])


def report_command(options: argparse.Namespace, console: Console, command_line: str) -> int:
    """Write figures, tables and the report of a study, those of its space's plugins where its file is named."""
    from orchestrator.space.config import ConfigError
    from orchestrator.space.extending import read_sources

    if not options.plugin and user_path(options.space).is_file():
        with contextlib.suppress(ConfigError):  # A report needs no space that is in order.
            file = read_sources(options.space)
            use_named(file.content.get("plugins", ()), file.file.folder)
    show_report(study_folder(options.space, options.results), options.out, console)
    return 0


def explain_command(options: argparse.Namespace, console: Console, command_line: str) -> int:
    """Show why a trial ran or did not, or the first difference between two trials."""
    found = explaining.find(options.trial, options.results)
    if options.other is None:
        lines = explaining.explain(found)
    else:
        lines = explaining.first_difference(found, explaining.find(options.other, options.results))
    say(console, *lines)
    return 0


def check_command(options: argparse.Namespace, console: Console, command_line: str) -> int:
    """Recompute the verdicts of a bundle; 1 where they, or the file, are not as they were written."""
    from analysis.evidence.checking import check

    outcome = check(options.file)
    say(console, *outcome.lines())
    return 0 if outcome.state == "verified" else SOME_FAILED
