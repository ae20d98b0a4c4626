"""The command `tune`: search, test the winner on fresh seeds, leave settings and a model."""

import argparse
from collections.abc import Sequence
from dataclasses import replace

from rich.console import Console

from orchestrator.cli.export import log_openings
from orchestrator.cli.figure_checks import check_figures, figure_remarks
from orchestrator.cli.reporting import name_failures, show_report
from orchestrator.cli.run import run_options, tell_silent
from orchestrator.cli.time_limits import check_limit, launch_end, tell_end, until_end
from orchestrator.execution.contract import JoinedCluster
from orchestrator.execution.ending import LaunchEnd
from orchestrator.ledger import Ledger, LedgerLock
from orchestrator.ledger.copies import copy_at
from orchestrator.plan.loading import load_space
from orchestrator.search.journal import JOURNAL
from orchestrator.search.loading import Wish, load_tuning_space
from orchestrator.search.objectives import search_config
from orchestrator.search.results import Found, Results
from orchestrator.search.running import SearchLaunch, run_search
from orchestrator.search.search_price import SearchQuote, check_search_cost, search_lacks_room
from orchestrator.search.winner import keep_model, write_retest, write_settings
from orchestrator.space.axes import axis_text
from orchestrator.space.config import wrong_input
from orchestrator.space.designs import full_form
from orchestrator.space.extending import read_sources
from orchestrator.space.points import acting_values
from orchestrator.study.launch import Study, open_study, standing
from orchestrator.study.price.budget import check_options
from orchestrator.study.price.pilots import announcing
from orchestrator.study.price.pricing import Price, price_lines
from orchestrator.study.price.quoting import cluster_of
from orchestrator.study.runner import RunOptions, published, run_missing
from orchestrator.views.live import make_display, say
from search_spaces import shipped_spaces
from trainables.command_line import command_lines, resolved
from trainables.paths import user_path

MAX_PARETO_SHOWN = 8


def tune_command(options: argparse.Namespace, console: Console, command_line: str) -> int:
    """Search for the best settings, as far as this launch may go, and test what was found."""
    end = launch_end(options.time_limit)
    return until_end(end, console, command_line, lambda: _tune(options, end, console, command_line))


def _tune(options: argparse.Namespace, end: LaunchEnd, console: Console, command_line: str) -> int:
    check_options(options.max_cost, options.price)
    space = load_tuning_space(_wish(options), extra_checks=[check_figures])
    study = open_study(space, options.results)
    chosen = run_options(options, listeners=log_openings(options.log_to), end=end)
    introduce(study, console)
    with end.interruptible():
        price = _price(study, chosen, options, console) if options.price else None
    check_limit(end)
    if lacking := search_lacks_room(study, price):
        raise wrong_input("--results", lacking)

    def joined(cluster: JoinedCluster) -> None:
        tell_silent(cluster, console)
        _price(study, chosen, options, console, cluster)
        check_limit(end)

    searching = replace(chosen, joined=joined) if options.price else chosen
    launch = run_search(study, searching, make_display(console))
    for note in launch.notes:
        say(console, f"note: {note}")
    if launch.outcome.preparation_error is not None:
        say(console, f"What all trials share could not be prepared:\n{launch.outcome.preparation_error}")
        return 1
    if launch.outcome.interrupted_by is not None:
        return tell_end(launch.outcome, end, console, command_line)
    _show(launch, study.space.family.model_name, console)
    if (best := launch.results.best) is None:
        say(console, "No trial was finished, so there is nothing to test.")
        return 1
    code = _conclude(study, launch.results, best, chosen, console, command_line)
    return max(code, launch.outcome.exit_code)


def _wish(options: argparse.Namespace) -> Wish:
    """What the command line asks for: a search space, or what a family takes instead of one."""
    if _is_space(options.what):
        wish = Wish(options.what)
    else:
        readers = [line.tune.read for line in command_lines().values() if line.tune is not None]
        wish = resolved(readers[0])(options) if readers else Wish(options.what)
    return replace(
        wish,
        domain=options.domain,
        settings=(*wish.settings, *options.set),
        search={
            "trials": options.trials,
            "timeout": options.timeout,
            "sampler": options.sampler,
            "objectives": tuple(options.objective) or None,
        },
    )


def _is_space(what: str) -> bool:
    """Whether it is a file, or a shipped space that is a search."""
    if what.endswith((".yaml", ".yml")) or user_path(what).is_file():
        return True
    if what not in shipped_spaces():
        return False
    design = full_form(read_sources(what).content.get("design"))
    return isinstance(design, dict) and design.get("kind") == "optuna"


def introduce(study: Study, console: Console) -> None:
    """Say what a search looks for, and where."""
    config = study.space.config
    search = search_config(config)
    objectives = ", ".join(search.objectives or (config.primary.metric,))
    say(console, f"{study.space.name}: {config.question}")
    say(console, f"searching {', '.join(config.axes)} with {search.sampler} for {objectives}")
    limit = "" if search.timeout is None else f", none started after {search.timeout}"
    num_seeds = len(config.first_seeds)
    for line in figure_remarks(study.space):
        say(console, line)
    seeds = "" if num_seeds == 1 else f" of {num_seeds} seeds each"
    journal = f"journal for optuna-dashboard: {study.folder / JOURNAL}"
    say(console, f"{search.trials} trials{seeds} in all{limit}; {journal}")


def _price(
    study: Study,
    chosen: RunOptions,
    options: argparse.Namespace,
    console: Console,
    joined: JoinedCluster | None = None,
) -> Price | None:
    """Say what the search will cost; raises ConfigError where that is more than it may.

    A launch that will join a cluster has its price then.
    """
    quote = SearchQuote(study, chosen, announcing(console), joined)
    price = quote.of(quote.num_left)
    for line in price_lines(price) if price is not None else ():
        say(console, line)
    chosen.end.expected_of_others = quote.seconds_to_checkpoint()
    is_later = joined is None and cluster_of(chosen) is not None
    if options.max_cost is not None and not is_later:
        check_search_cost(quote, price, *options.max_cost)
    return price


def _show(launch: SearchLaunch, word: str, console: Console) -> None:
    """What the search has found so far, in lines of a terminal; `word` is what a trial leaves."""
    results = launch.results
    counts = ", ".join(f"{count} {state}" for state, count in results.counts.items() if count)
    say(console, f"search: {counts or 'nothing has run'}")
    for record in launch.outcome.failed:
        say(console, f"  {record['cell']} {record['status']}: {record['reason']}")
    if (best := results.best) is None:
        return
    if len(results.objectives) > 1:
        say(console, f"Pareto set, {len(results.pareto)} of {len(results.trials)} trials:")
        for one in results.pareto[:MAX_PARETO_SHOWN]:
            say(console, f"  {_values(results, one.values)}  ({one.cell}; {word} {one.signature})")
        if len(results.pareto) > MAX_PARETO_SHOWN:
            say(console, f"  and {len(results.pareto) - MAX_PARETO_SHOWN} more, all of them in the report")
    say(console, f"best:    {_values(results, best.values)}  ({best.cell})")
    if results.default.values is not None:
        say(console, f"default: {_values(results, results.default.values)}")
    if shares := results.importance[results.objectives[0].name]:
        listed = ", ".join(f"{name} {share:.0%}" for name, share in shares.items())
        say(console, f"importance for {results.objectives[0].name} (Optuna's PED-ANOVA): {listed}")


def _values(results: Results, values: Sequence[float]) -> str:
    """The objectives of a trial by their names."""
    pairs = zip(results.objectives, values, strict=True)
    return ", ".join(f"{objective.name} {value:.4g}" for objective, value in pairs)


def _conclude(
    study: Study,
    results: Results,
    winner: Found,
    options: RunOptions,
    console: Console,
    command_line: str,
) -> int:
    """Test the winner, then write what is left of the search."""
    if winner.signature == results.default.signature:
        say(console, "Nothing did better than the untuned default.")
        return _leave(study, winner, ["The untuned default did best."], None, console)
    with LedgerLock(study.ledger_folder), published(study):
        path = write_retest(study, results, winner)
    retest = open_study(load_space(path), study.folder.parent)
    done = len(standing(retest, Ledger(retest.ledger_folder)).done)
    seeds = ", ".join(map(str, retest.space.config.first_seeds))
    count = f"{len(retest.plan.trials)} trials, {done} done"
    say(console, f"testing the best against the default on fresh seeds {seeds}: {count}")
    outcome = run_missing(retest, options, make_display(console))
    if outcome.interrupted_by is not None:
        return tell_end(outcome, options.end, console, command_line)
    name_failures(retest.folder, outcome, console)
    with options.end.interruptible():
        verdicts = show_report(retest.folder, None, console)
    return max(_leave(study, winner, verdicts, retest, console), outcome.exit_code)


def _leave(
    study: Study, winner: Found, verdicts: Sequence[str], retest: Study | None, console: Console
) -> int:
    """Settings, a model and figures, each with its place."""
    from analysis.report import build_report

    family = study.space.family
    with LedgerLock(study.ledger_folder), published(study):
        settings = write_settings(study, winner, verdicts)
        model = keep_model(study, winner, retest)
        report = build_report(study.folder)
    say(console, f"Settings: {settings}")
    for name, value in acting_values(study.space.config, winner.axis_values).items():
        say(console, f"  {name} {axis_text(value)}")
    if model is not None:
        say(console, f"{family.model_name.capitalize()}: {model}")
        if family.model_use:
            say(console, f"  {family.model_use.format(model)}")
    say(console, f"Search report: {report}")
    if (copy := copy_at(study.folder.parent)) is not None:
        say(console, f"All of it is in {copy.objects.url}/{study.folder.name}")
    return 0
