"""The commands `plan` and `run`: what a space asks for, what it costs, and training what is missing of it."""

import argparse
import json
import shlex
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.prompt import Confirm
from rich.text import Text

from orchestrator.cli.export import log_lines, log_openings
from orchestrator.cli.figure_checks import check_figures, figure_remarks
from orchestrator.cli.reporting import name_failures, show_report
from orchestrator.cli.time_limits import check_limit, launch_end, tell_end, until_end
from orchestrator.execution.contract import JoinedCluster
from orchestrator.execution.ending import LaunchEnd
from orchestrator.ledger import Ledger
from orchestrator.plan.loading import load_space
from orchestrator.space.config import ConfigError, Space, wrong_input
from orchestrator.study import planning
from orchestrator.study.holding import in_turn
from orchestrator.study.launch import Study, as_launched, open_study, standing
from orchestrator.study.observing import Outcome
from orchestrator.study.price.budget import check_cost, check_options
from orchestrator.study.price.pilots import announcing
from orchestrator.study.price.quoting import Quote, cluster_of
from orchestrator.study.price.ranges import Range
from orchestrator.study.runner import RunOptions, run_until_decided
from orchestrator.views.live import make_display, say

if TYPE_CHECKING:
    from analysis.foresight import Foresight

LONG_SECONDS = 3600.0
"""From this price on, `run` asks first on a terminal."""


def run_command(options: argparse.Namespace, console: Console, command_line: str) -> int:
    """Plan, price, train what is missing, report."""
    end = launch_end(options.time_limit)
    return until_end(end, console, command_line, lambda: _run(options, end, console, command_line))


def _run(options: argparse.Namespace, end: LaunchEnd, console: Console, command_line: str) -> int:
    check_options(options.max_cost, options.price)
    listeners = log_openings(options.log_to)
    space = asked_space(options)
    if space.config.design.kind == "optuna":
        raise wrong_input("design", f"it is a search: asyrp-sweep tune {options.space} runs it", space.file)
    with end.interruptible():
        study = _opened(space, options)
        view = _shown(planning.view(study), options, console, end)
        if lacking := planning.lacking_room(view):
            raise wrong_input("--results", lacking)
        check_limit(end)
        if view.num_missing and not _agreed(view, options, console):
            return 0
    # Also where the plan misses nothing: only a launch looks at every byte of what is done.
    say(console, *log_lines(options.log_to, study.folder))

    def joined(cluster: JoinedCluster) -> None:
        tell_silent(cluster, console)
        planning.show_price(_priced(view, options, console, end, cluster), console)
        check_limit(end)

    chosen = run_options(options, listeners=listeners, end=end, joined=joined if options.price else None)
    outcome = _trained(study, chosen, console)
    if not (view.num_missing or view.hits or outcome.num_run or outcome.exit_code):
        whose = "plan" if study.shard is None else "shard"
        say(console, f"Nothing is missing: every trial of this {whose} is done.")
    if outcome.interrupted_by is not None:
        return tell_end(outcome, end, console, command_line)
    name_failures(study.folder, outcome, console)
    if outcome.preparation_error is None:
        with end.interruptible():
            _report(study, console)
    return outcome.exit_code


def plan_command(options: argparse.Namespace, console: Console, command_line: str) -> int:
    """Show what `run` would do."""
    check_options(options.max_cost, options.price)
    study = _opened(asked_space(options), options)
    view = planning.view(study)
    if options.json:
        view = _priced(view, options, Console(stderr=True))
        found = _foresight(view.study)
        can_decide = None if found is None else found.as_json()
        print(json.dumps({**planning.as_json(view), "can_decide": can_decide}, indent=2))
        return 0
    view = _shown(view, options, console)
    if lacking := planning.lacking_room(view):
        say(console, f"warning: {lacking}")
    return 0


def _opened(space: Space, options: argparse.Namespace) -> Study:
    """The study of a space, or the shard of it that was asked for. Raises ConfigError where it has no shards."""
    if options.shard is not None:
        check_shards(space, "--shard")
    study = open_study(space, options.results, reuses_changed_code=options.reuse_changed_code)
    return study if options.shard is None else replace(study, shard=options.shard)


def check_shards(space: Space, option: str) -> None:
    """Raise ConfigError where a space cannot be run in shards, as an option asks."""
    if space.config.adaptive is not None:
        message = (
            "seeds are added once the results of all cells are there, and no shard has them all; run it without "
            f"{option}, or give a number of --seeds"
        )
        raise wrong_input("seeds", message, space.file)


def _report(study: Study, console: Console) -> None:
    """Write the report; of a study in shards once it has nothing left to run."""
    left = set()
    if study.shard is not None:
        now = standing(study, Ledger(study.ledger_folder))
        left = {trial.signature for trial in study.plan.trials} - study.own - now.records.keys()
    if not left:
        with nullcontext() if study.shard is None else in_turn(study.folder):
            show_report(study.folder, None, console)
        return
    say(
        console,
        f"Shard {study.shard} has ended; {len(left)} trials of other shards have not. Once they have:\n"
        f"  asyrp-sweep report {shlex.quote(str(study.folder))}",
    )


def _shown(
    view: planning.PlanView, options: argparse.Namespace, console: Console, end: LaunchEnd | None = None
) -> planning.PlanView:
    """Print the plan, what it leaves out, its price and what its seeds can decide; the plan with its price."""
    planning.show(view, console)
    say(console, *figure_remarks(view.study.space))
    view = _priced(view, options, console, end)
    planning.show_price(view, console)
    found = _foresight(view.study)
    for line in [] if found is None else found.lines():
        console.print(Text(line))
    return view


def asked_space(options: argparse.Namespace) -> Space:
    """The space of the command line, with what it changes. Raises ConfigError."""
    return load_space(
        options.space,
        settings=options.set,
        domain=options.domain,
        seeds=options.seeds,
        extra_checks=[check_figures],
    )


def tell_silent(joined: JoinedCluster, console: Console) -> None:
    """Say of how many machines a price knows nothing."""
    if joined.num_silent:
        say(console, f"{joined.num_silent} machines had no free place for a trial: the price leaves them out")


def _priced(
    view: planning.PlanView,
    options: argparse.Namespace,
    console: Console,
    end: LaunchEnd | None = None,
    joined: JoinedCluster | None = None,
) -> planning.PlanView:
    """The plan with its price, unless that is left out. Raises ConfigError where it is above --max-cost.

    The end of a launch learns what a trial's next checkpoint takes. A launch that will join a cluster has its price
    then.
    """
    if not options.price:
        return view
    chosen = run_options(options)
    quote = Quote(view.study, chosen, announcing(console), joined)
    view = planning.priced(view, quote)
    if end is not None:
        end.expected = planning.seconds_to_checkpoints(view, quote)
    is_later = end is not None and joined is None and cluster_of(chosen) is not None
    if options.max_cost is not None and not is_later:
        try:
            check_cost(view, quote, *options.max_cost)
        except ConfigError:
            planning.show_price(view, console)
            raise
    return view


def run_options(options: argparse.Namespace, **more: Any) -> RunOptions:
    """Where trials run, as the command line says, and more that only the command knows."""
    return RunOptions(
        inline=options.inline,
        address=options.address,
        num_cpus=options.cpus,
        wait_seconds=options.wait and options.wait.seconds,
        concurrency=options.concurrency,
        **more,
    )


def _trained(study: Study, chosen: RunOptions, console: Console) -> Outcome:
    """Train what is missing; where seeds are added while they are needed, until every contrast is decided."""

    def next_seeds(folder: Path) -> Mapping[str, int]:
        from analysis import contrasts, frames

        return contrasts.next_seeds(frames.load_frames(folder))

    return run_until_decided(
        study, chosen, make_display(console), next_seeds, note=lambda line: say(console, line)
    )


def _foresight(study: Study) -> "Foresight | None":
    """What the seeds of the plan can decide."""
    from analysis.foresight import foresight

    return foresight(as_launched(study), study.folder)


def _agreed(view: planning.PlanView, options: argparse.Namespace, console: Console) -> bool:
    """Whether to go on: always when it is cheap, when told so, or when nobody is there to ask.

    An unknown price is asked about as a high one is; one that was left out is not.
    """
    seconds = view.highest.seconds if view.highest is not None else Range()
    if options.yes or not console.is_terminal or (seconds is not None and seconds.typical < LONG_SECONDS):
        return True
    return Confirm.ask("Train now?", console=console, default=True)
