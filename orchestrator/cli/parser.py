"""The command `asyrp-sweep` and its options.

Exit codes: 0 done, 1 some trials failed (named), the launch had to stop, `doctor` found something to fix, or `check` a
bundle that is not as it was written, 2 bad input or a file that cannot be read or written, 75 stopped before its time
was over, 130 and 143 interrupted.
Errors go to standard error: with `--json`, standard output holds JSON or nothing.

What `--json` prints is described in docs/reference/commands.md.

Importing this module imports neither torch nor ray: `--help` answers at once.
"""

import argparse
import os
import shlex
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from orchestrator.cli.option_values import cost, port, shard
from orchestrator.cli.streams import complain
from orchestrator.submission.request import COMMAND_VARIABLE
from trainables.command_line import (
    Command,
    CommandLine,
    add_plugin,
    add_results,
    command_line_of,
    command_lines,
    joined,
    path,
    positive,
)
from trainables.errors import UserError

PROGRAM = "asyrp-sweep"
DASHBOARD_PORT = 8686


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command. A user's mistake is printed without a traceback; ours keep theirs."""
    arguments = sys.argv[1:] if arguments is None else arguments
    try:
        options = parsed(arguments)
        from orchestrator.cli import commands  # Only now: --help needs none of it.

        return commands.run(options, os.environ.get(COMMAND_VARIABLE) or shlex.join([PROGRAM, *arguments]))
    except UserError as error:  # of a family's file
        complain(error)
        return 2
    except KeyboardInterrupt:
        return 130


def parsed(arguments: Sequence[str]) -> argparse.Namespace:
    """The options of a command of ours, of an installed family, or of the family's file that comes first.

    Raises UserError for a file that has no commands.
    """
    if arguments and arguments[0].endswith(".py"):
        line = command_line_of(arguments[0])
        lines, top, given = {"": line}, _parser_of_file(arguments[0], line), arguments[1:]
    else:
        lines = command_lines(complain)
        top, given = parser(lines), arguments
    number_lists = [name for line in lines.values() for one in line.commands for name in one.number_lists]
    return top.parse_args(joined(given, number_lists))


def parser(lines: Mapping[str, CommandLine] | None = None) -> argparse.ArgumentParser:
    """All commands and their options, those of families too: of every installed one when left out."""
    lines = command_lines(complain) if lines is None else lines
    top = argparse.ArgumentParser(
        prog=PROGRAM,
        description="Ablations of any training code: from a question in YAML to a verdict with error bars.",
    )
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")

    run = commands.add_parser("run", help="plan, price, train what is missing, report")
    _add_space(run)
    _add_max_cost(run)
    _add_where(run)
    _add_time_limit(run)
    _add_log_to(run)
    _add_reuse(run)
    _add_shard(run)
    run.add_argument("--yes", action="store_true", help="start without asking, however long it will take")

    _add_submit(commands.add_parser("submit", help="have Slurm, a Ray cluster or Kubernetes run a space"))
    cancel = commands.add_parser(
        "cancel", help="end the launch of a study, wherever it is; what is done stays"
    )
    logs = commands.add_parser("logs", help="what the latest submitted job of a study has printed")
    for of_study in (cancel, logs):
        of_study.add_argument("study", metavar="STUDY", help="a study's space, or its folder")
        add_results(of_study)
    logs.add_argument("--follow", action="store_true", help="go on until the job has ended")

    plan = commands.add_parser("plan", help="cells, trials, what is done, price; runs nothing")
    _add_space(plan)
    _add_max_cost(plan)
    _add_where(plan)
    _add_reuse(plan)
    _add_shard(plan)
    plan.add_argument("--json", action="store_true", help="print JSON")

    status = commands.add_parser("status", help="cell x seed matrix, running, failed with reasons, time left")
    status.add_argument(
        "space",
        nargs="?",
        metavar="SPACE",
        help="a study's space or folder; without it, all studies of --results",
    )
    add_results(status)
    status.add_argument("--watch", action="store_true", help="redraw until nothing is running")
    status.add_argument("--json", action="store_true", help="print JSON")

    report = commands.add_parser("report", help="figures, tables and report.html from the ledger")
    report.add_argument("space", metavar="SPACE", help="a study's space, or its folder")
    add_results(report)
    report.add_argument("--out", type=path, metavar="DIR", help="where to write (default: <study>/report)")
    add_plugin(report)

    _add_export(
        commands.add_parser("export", help="a study for TensorBoard, W&B, MLflow or Hugging Face datasets")
    )

    _add_dashboard(commands.add_parser("dashboard", help="every study in a browser, live; only reads"))

    _add_tune(
        commands.add_parser("tune", help="search for the best settings, test them on fresh seeds"), lines
    )

    schema = commands.add_parser(
        "schema", help="JSON Schema of a space, for tools that complete and check YAML"
    )
    schema.add_argument("--family", metavar="F", help="schema of this family's spaces (default: h_space)")
    add_plugin(schema)

    explain = commands.add_parser(
        "explain", help="why a trial ran or did not; or the first difference between two trials"
    )
    explain.add_argument("trial", metavar="TRIAL", help="a trial signature or a unique prefix, or CELL:SEED")
    explain.add_argument(
        "other", nargs="?", metavar="OTHER", help="a second trial: show the first difference"
    )
    add_results(explain)

    check = commands.add_parser(
        "check", help="whether the verdicts in a bundle of evidence follow from its rows"
    )
    check.add_argument("file", type=path, metavar="FILE", help="what `export STUDY --to evidence FILE` wrote")

    _add_judge(commands.add_parser("judge", help="verdicts over results that were measured elsewhere"))

    listing = commands.add_parser("list", help="what there is to choose from")
    lists = [*OWN_LISTS, *(name for line in lines.values() for name in line.lists)]
    listing.add_argument("what", choices=lists, metavar="WHAT", help=", ".join(lists))
    listing.add_argument("--family", metavar="F", help="metrics: of another family than the default one")
    add_plugin(listing)

    doctor = commands.add_parser("doctor", help="versions, devices, storage; says what to fix")
    doctor.add_argument("--address", metavar="A", help="address of a Ray cluster to check as well")
    add_results(doctor)
    for family, line in lines.items():
        if line.doctor is not None:
            line.doctor.add_options(doctor)
        for command in line.commands:
            if command.name in commands.choices:
                complain(f"command {command.name} of family {family} is left out: there is one of that name")
            else:
                _add_contributed(commands, command, f"{command.help} ({family})")
    return top


OWN_LISTS = ("spaces", "families", "metrics", "figures")


EXPORTS = ("tensorboard", "wandb", "mlflow", "hf", "evidence")
LIVE_LOGS = ("tensorboard", "wandb")
"""Where `export` can write to, and `run` while trials run; `analysis.export` has them all."""


def _add_contributed(commands: Any, command: Command, help_line: str) -> None:
    added = commands.add_parser(command.name, help=help_line, description=command.help)
    command.add_options(added)
    added.set_defaults(contributed=command)


def _parser_of_file(file: str, line: CommandLine) -> argparse.ArgumentParser:
    """The commands of a family's file alone."""
    top = argparse.ArgumentParser(prog=f"{PROGRAM} {file}", description=f"Commands of the family in {file}.")
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for command in line.commands:
        _add_contributed(commands, command, command.help)
    return top


def _add_submit(command: argparse.ArgumentParser) -> None:
    _add_space(command)
    command.add_argument(
        "--on", choices=("slurm", "ray-job", "kuberay"), help="where to (default: the site's `on`)"
    )
    command.add_argument(
        "--site", type=path, metavar="FILE",
        help="the site's defaults (default: $ASYRP_SWEEP_SITE, or ~/.config/asyrp-sweep/site.yaml)",
    )  # fmt: skip
    command.add_argument("--nodes", type=positive, metavar="N", help="machines; kuberay: at most so many")
    command.add_argument("--cpus-per-node", type=positive, metavar="N", help="CPUs of each machine")
    command.add_argument("--gpus-per-node", type=positive, metavar="G", help="GPUs of each machine")
    command.add_argument("--time", metavar="T", help="most time of the job, such as 30m or 4h")
    command.add_argument("--partition", metavar="P", help="slurm: the partition")
    command.add_argument("--account", metavar="A", help="slurm: who pays")
    command.add_argument(
        "--dry-run", action="store_true", help="write and check the file, and submit nothing"
    )
    _add_log_to(command)
    _add_reuse(command)


def _add_export(command: argparse.ArgumentParser) -> None:
    command.add_argument("study", metavar="STUDY", help="a study's space, or its folder")
    command.add_argument("--to", required=True, metavar="WHERE", help=f"format: {', '.join(EXPORTS)}")
    command.add_argument(
        "out",
        type=path,
        metavar="OUT",
        help="folder to write: a new or empty one, or its earlier export; evidence: a file",
    )
    command.add_argument(
        "--python", type=path, metavar="P", help="for mlflow: the Python of an environment that has it"
    )
    add_results(command)


def _add_dashboard(command: argparse.ArgumentParser) -> None:
    add_results(command)
    command.add_argument(
        "--port",
        type=port,
        default=DASHBOARD_PORT,
        metavar="N",
        help=f"port to listen on (default: {DASHBOARD_PORT}; 0: any that is free)",
    )
    command.add_argument(
        "--host",
        default="127.0.0.1",
        metavar="H",
        help="address to listen on (default: 127.0.0.1, this machine alone); any other one needs a token",
    )
    command.add_argument(
        "--allow-host",
        action="append",
        default=[],
        metavar="NAME",
        help="a further name that browsers may call it by; may be repeated",
    )
    command.add_argument(
        "--token",
        metavar="T",
        help="what visitors must know (default: made up, and printed, where one is needed)",
    )
    command.add_argument("--open", action="store_true", help="open it in a browser")


def _add_tune(command: argparse.ArgumentParser, lines: Mapping[str, CommandLine]) -> None:
    tunings = {family: line.tune for family, line in lines.items() if line.tune is not None}
    others = "".join(f"; or, of {family}, {one.what}: {one.help}" for family, one in tunings.items())
    command.add_argument("what", metavar="WHAT", help=f"a space of the design optuna{others}")
    command.add_argument(
        "--trials", type=positive, metavar="N", help="points to try in all, over every launch"
    )
    command.add_argument("--timeout", metavar="T", help="start no trial after T, such as 90s, 30m or 2h")
    _add_max_cost(command)
    command.add_argument(
        "--sampler", metavar="S", help="how points are chosen: tpe, cmaes, gp, random or grid"
    )
    command.add_argument(
        "--objective", action="append", default=[], metavar="M",
        help="metric or cost to search for, instead of the space's; may be repeated: the first one chooses the winner",
    )  # fmt: skip
    _add_domain(command)
    _add_set(command)
    add_results(command)
    _add_where(command)
    _add_time_limit(command)
    _add_log_to(command)
    for family, one in tunings.items():
        one.add_options(command.add_argument_group(family))


def _add_judge(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "files", nargs="+", type=path, metavar="FILE",
        help="CSV, Parquet, JSON lines; results or samples of lm-evaluation-harness; or a folder of these",
    )  # fmt: skip
    command.add_argument("--variant", required=True, metavar="C", help="column: what is compared")
    command.add_argument(
        "--seed", metavar="C", help="column: which run; rows of all variants are paired by it"
    )
    command.add_argument("--metric", required=True, metavar="C", help="column: what is judged")
    command.add_argument("--item", metavar="C", help="column: which item, where there is a row for each")
    command.add_argument("--cluster", metavar="C", help="column: which group an item belongs to")
    command.add_argument(
        "--baseline", required=True, metavar="V", help="the variant the others are compared with"
    )
    command.add_argument(
        "--margin", required=True, metavar="M",
        help="the smallest difference that matters, in the metric's unit, or such as '1%% of baseline'",
    )  # fmt: skip
    command.add_argument("--direction", metavar="D", help="higher or lower is better (default: higher)")
    command.add_argument(
        "--alpha", type=_share, default=0.05, metavar="A", help="chance of any false verdict (default: 0.05)"
    )
    command.add_argument(
        "--over", metavar="O", help="speak for new seeds, items or both (default: what the columns allow)"
    )
    command.add_argument(
        "--missing", default="refuse", metavar="M",
        help="count: leave rows without a partner out, and count them; no value is a failed run (default: refuse)",
    )  # fmt: skip
    command.add_argument(
        "--where",
        action="append",
        default=[],
        metavar="C=V",
        help="only rows with this value; may be repeated",
    )
    command.add_argument(
        "--format", choices=("table", "markdown", "json", "csv"), default="table", metavar="F",
        help="table (default), markdown, json or csv",
    )  # fmt: skip
    command.add_argument(
        "--out", type=path, metavar="DIR", help="write a forest plot and tables here as well"
    )


def _add_space(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "space", metavar="SPACE", help="path of a search space, or the name of a shipped one"
    )
    _add_domain(command)
    command.add_argument(
        "--seeds", metavar="N", help="seeds instead of the space's: a count, or a list such as 0,1,5"
    )
    _add_set(command)
    add_results(command)


def _add_domain(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--domain", metavar="D", help="domain instead of the space's: a name, or the path of its YAML"
    )


def _add_set(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="A.B=V",
        help="override a setting, such as training.epochs=4; may be repeated",
    )


def _add_max_cost(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--max-cost",
        type=cost,
        metavar="T",
        help="refuse to start what may take longer than T, such as 40m or 4h; say what would fit",
    )
    command.add_argument(
        "--no-price", dest="price", action="store_false", help="show no price, and time no pilot"
    )


def _add_time_limit(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--time-limit",
        type=cost,
        metavar="T",
        help="stop before T is over, such as 2h, with exit code 75: the same command goes on (default: the end of the "
        "Slurm allocation, where that is known)",
    )


def _add_reuse(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--reuse-changed-code",
        action="store_true",
        help="count trials that were made by other source code than today's; else they run again",
    )


def _add_shard(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--shard",
        type=shard,
        metavar="K/N",
        help="only the K-th of N shares of the trials; launches of other shares may run at the same time",
    )


def _add_where(command: argparse.ArgumentParser) -> None:
    """Where trials run, and so what they cost."""
    command.add_argument(
        "--address",
        metavar="A",
        help="address of a running Ray cluster, or auto (default: this machine alone)",
    )
    command.add_argument(
        "--cpus",
        type=positive,
        metavar="N",
        help="CPUs to use on this machine (default: all that it may use)",
    )
    command.add_argument(
        "--wait",
        type=cost,
        metavar="T",
        help="wait at most T, such as 20m, until the cluster has room for a trial (default: the space's wait_minutes)",
    )
    command.add_argument(
        "--inline", action="store_true", help="train one trial after another in this process, without Ray"
    )


def _add_log_to(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--log-to", action="append", default=[], metavar="WHERE",
        help=f"write logs for {' or '.join(LIVE_LOGS)} while trials run; may be repeated",
    )  # fmt: skip


def _share(text: str) -> float:
    """A number between 0 and 1."""
    try:
        found = float(text)
    except ValueError:
        found = 0.0
    if not 0 < found < 1:
        raise argparse.ArgumentTypeError(f"expected a number between 0 and 1; found {text!r}")
    return found
