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
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from typing import Any, NoReturn

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
OWN_LISTS = ("spaces", "families", "metrics", "figures")
EXPORTS = ("tensorboard", "wandb", "mlflow", "hf", "evidence")
LIVE_LOGS = ("tensorboard", "wandb")
"""Where `export` can write to, and `run` while trials run; `analysis.export` has them all."""


class Parser(argparse.ArgumentParser):
    """Says what is wrong in one line, with the nearest name; argparse prints all options before it."""

    def error(self, message: str) -> NoReturn:
        """End with code 2."""
        self.exit(2, f"{self.prog}: {message} (see {self.prog} --help)\n")

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> tuple[Any, list[str]]:
        """Options; what no option takes is an error at once, so that it is compared with those of its command."""
        options, rest = super().parse_known_args(args, namespace)
        if rest:
            from trainables.wording import (
                did_you_mean,
            )  # Only now: it brings pydantic, which --help does without.

            self.error(f"unknown argument {rest[0]!r}{did_you_mean(rest[0], self._option_string_actions)}")
        return options, rest

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        if action.choices is not None and value not in action.choices:
            from trainables.wording import expected, one_of  # Only now, as above.

            raise argparse.ArgumentError(action, expected(one_of(action.choices), value, action.choices))


class _ShowVersion(argparse.Action):
    """Reads the version only where it is asked for."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> NoReturn:
        """Print it and end."""
        print(f"{PROGRAM} {version(PROGRAM)}")
        parser.exit()


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command. A user's mistake is printed without a traceback; ours keep theirs."""
    arguments = (sys.argv[1:] if arguments is None else arguments) or ["--help"]
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


def parser(lines: Mapping[str, CommandLine] | None = None) -> Parser:
    """All commands and their options, those of families too: of every installed one when left out."""
    lines = command_lines(complain) if lines is None else lines
    top = Parser(
        prog=PROGRAM,
        description="Ablations of any training code: from a question in YAML to a verdict with error bars.",
    )
    top.add_argument("--version", action=_ShowVersion, nargs=0, help="show the version and exit")
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, (help_line, module, options) in _commands(lines).items():
        command = commands.add_parser(name, help=help_line)
        command.set_defaults(function=f"orchestrator.cli.{module}:{name}_command")
        for add in options:
            add(command)
    for family, line in lines.items():
        if line.tune is not None:
            line.tune.add_options(commands.choices["tune"].add_argument_group(family))
        if line.doctor is not None:
            line.doctor.add_options(commands.choices["doctor"])
        for one in line.commands:
            if one.name in commands.choices:
                complain(f"command {one.name} of family {family} is left out: there is one of that name")
            else:
                _add_contributed(commands, one, f"{one.help} ({family})")
    return top


def _add_contributed(commands: Any, command: Command, help_line: str) -> None:
    added = commands.add_parser(command.name, help=help_line, description=command.help)
    command.add_options(added)
    added.set_defaults(function=command.run)


def _parser_of_file(file: str, line: CommandLine) -> Parser:
    """The commands of a family's file alone."""
    top = Parser(prog=f"{PROGRAM} {file}", description=f"Commands of the family in {file}.")
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for command in line.commands:
        _add_contributed(commands, command, command.help)
    return top


def _share(text: str) -> float:
    """A number between 0 and 1."""
    try:
        found = float(text)
    except ValueError:
        found = 0.0
    if not 0 < found < 1:
        raise argparse.ArgumentTypeError(f"expected a number between 0 and 1; found {text!r}")
    return found


Add = Callable[[argparse.ArgumentParser], object]
"""Gives a command an option."""


def _option(name: str, metavar: str, help_line: str, **more: Any) -> Add:
    return lambda command: command.add_argument(name, metavar=metavar, help=help_line, **more)


def _repeated(name: str, metavar: str, help_line: str) -> Add:
    return _option(name, metavar, help_line, action="append", default=[])


def _flag(name: str, help_line: str) -> Add:
    return lambda command: command.add_argument(name, action="store_true", help=help_line)


# fmt: off

_STUDY = _option("study", "STUDY", "a study's space, or its folder")
_DOMAIN = _option("--domain", "D", "domain instead of the space's: a name, or the path of its YAML")
_SET = _repeated("--set", "A.B=V", "override a setting, such as training.epochs=4; may be repeated")
_SPACE = (
    _option("space", "SPACE", "path of a search space, or the name of a shipped one"),
    _DOMAIN,
    _option("--seeds", "N", "seeds instead of the space's: a count, or a list such as 0,1,5"),
    _SET,
    add_results,
)
_PRICE = (
    _option("--max-cost", "T", "refuse to start what may take longer than T, such as 40m or 4h; say what would fit",
            type=cost),
    lambda command: command.add_argument(
        "--no-price", dest="price", action="store_false", help="show no price, and time no pilot"),
)
_WHERE = (
    _option("--address", "A", "address of a running Ray cluster, or auto (default: this machine alone)"),
    _option("--cpus", "N", "CPUs to use on this machine (default: all that it may use)", type=positive),
    _option("--wait", "T", "wait at most T, such as 20m, until the cluster has room for a trial (default: the space's "
            "wait_minutes)", type=cost),
    _option("--concurrency", "N", "trials at a time, at most; a cluster that grows is asked for room for all of them "
            "(default: as many as its machines hold)", type=positive),
    _flag("--inline", "train one trial after another in this process, without Ray"),
)
"""Where trials run, and so what they cost."""
_TIME_LIMIT = _option(
    "--time-limit", "T", "stop before T is over, such as 2h, with exit code 75: the same command goes on (default: the "
    "end of the Slurm allocation, where that is known)", type=cost)
_LOG_TO = _repeated("--log-to", "WHERE", f"write logs for {' or '.join(LIVE_LOGS)} while trials run; may be repeated")
_REUSE = _flag("--reuse-changed-code",
               "count trials that were made by other source code than today's; else they run again")
_SHARD = _option("--shard", "K/N", "only the K-th of N shares of the trials; launches of other shares may run at the "
                 "same time", type=shard)
_JSON = _flag("--json", "print JSON")

_SUBMIT = (
    lambda command: command.add_argument(
        "--on", choices=("slurm", "ray-job", "kuberay"), help="where to (default: the site's `on`)"),
    _option("--site", "FILE", "the site's defaults (default: $ASYRP_SWEEP_SITE, or ~/.config/asyrp-sweep/site.yaml)",
            type=path),
    _option("--nodes", "N", "machines; kuberay: at most so many", type=positive),
    _option("--cpus-per-node", "N", "CPUs of each machine", type=positive),
    _option("--gpus-per-node", "G", "GPUs of each machine", type=positive),
    _option("--time", "T", "most time of the job, such as 30m or 4h"),
    _option("--partition", "P", "slurm: the partition"),
    _option("--account", "A", "slurm: who pays"),
    _option("--shards", "N", "slurm: an array of N jobs, each with a share of the trials, where a site has no jobs of "
            "several machines", type=positive),
    _flag("--dry-run", "write and check the file, and submit nothing"),
)
_EXPORT = (
    _STUDY,
    _option("--to", "WHERE", f"format: {', '.join(EXPORTS)}", required=True),
    _option("out", "OUT", "folder to write: a new or empty one, or its earlier export; evidence: a file", type=path),
    _option("--python", "P", "for mlflow: the Python of an environment that has it", type=path),
    add_results,
)
_DASHBOARD = (
    add_results,
    _option("--port", "N", f"port to listen on (default: {DASHBOARD_PORT}; 0: any that is free)",
            type=port, default=DASHBOARD_PORT),
    _option("--host", "H", "address to listen on (default: 127.0.0.1, this machine alone); any other one needs a token",
            default="127.0.0.1"),
    _repeated("--allow-host", "NAME", "a further name that browsers may call it by; may be repeated"),
    _option("--token", "T", "what visitors must know (default: made up, and printed, where one is needed)"),
    _flag("--open", "open it in a browser"),
)
_TUNE = (
    _option("--trials", "N", "points to try in all, over every launch", type=positive),
    _option("--timeout", "T", "start no trial after T, such as 90s, 30m or 2h"),
    *_PRICE,
    _option("--sampler", "S", "how points are chosen: tpe, cmaes, gp, random or grid"),
    _repeated("--objective", "M", "metric or cost to search for, instead of the space's; may be repeated: the first "
              "one chooses the winner"),
    _DOMAIN, _SET, add_results, *_WHERE, _TIME_LIMIT, _LOG_TO,
)
_JUDGE = (
    _option("files", "FILE", "CSV, Parquet, JSON lines; results or samples of lm-evaluation-harness; or a folder of "
            "these, or of runs logged to W&B or TensorBoard", nargs="+", type=path),
    _option("--variant", "C", "column: what is compared", required=True),
    _option("--seed", "C", "column: which run; rows of all variants are paired by it"),
    _option("--metric", "C", "column: what is judged", required=True),
    _option("--item", "C", "column: which item, where there is a row for each"),
    _option("--cluster", "C", "column: which group an item belongs to"),
    _option("--baseline", "V", "the variant the others are compared with", required=True),
    _option("--margin", "M", "the smallest difference that matters, in the metric's unit, or such as '1%% of baseline'",
            required=True),
    _option("--direction", "D", "higher or lower is better (default: higher)"),
    _option("--alpha", "A", "chance of any false verdict (default: 0.05)", type=_share, default=0.05),
    _option("--over", "O", "speak for new seeds, items or both (default: what the columns allow)"),
    _option("--missing", "M", "count: leave rows without a partner out, and count them; no value is a failed run "
            "(default: refuse)", default="refuse"),
    _repeated("--where", "C=V", "only rows with this value; may be repeated"),
    _option("--format", "F", "table (default), markdown, json or csv",
            choices=("table", "markdown", "json", "csv"), default="table"),
    _option("--out", "DIR", "write a forest plot and tables here as well", type=path),
)


def _commands(lines: Mapping[str, CommandLine]) -> dict[str, tuple[str, str, tuple[Add, ...]]]:
    """Command -> its line in `--help`, the module with its function `<name>_command`, and its options in their order.

    The module is imported once the command is given: it may take torch, Ray or Optuna to import.
    """
    lists = [*OWN_LISTS, *(name for line in lines.values() for name in line.lists)]
    tunings = {family: line.tune for family, line in lines.items() if line.tune is not None}
    tuned = "".join(f"; or, of {family}, {one.what}: {one.help}" for family, one in tunings.items())
    return {
        "run": ("plan, price, train what is missing, report", "run", (
            *_SPACE, *_PRICE, *_WHERE, _TIME_LIMIT, _LOG_TO, _REUSE, _SHARD,
            _flag("--yes", "start without asking, however long it will take"),
        )),
        "submit": ("have Slurm, a Ray cluster or Kubernetes run a space", "submit", (
            *_SPACE, *_SUBMIT, _LOG_TO, _REUSE,
        )),
        "cancel": ("end the launch of a study, wherever it is; what is done stays", "submit", (_STUDY, add_results)),
        "logs": ("what the latest submitted job of a study has printed", "submit", (
            _STUDY, add_results, _flag("--follow", "go on until the job has ended"),
        )),
        "plan": ("cells, trials, what is done, price; runs nothing", "run", (
            *_SPACE, *_PRICE, *_WHERE, _REUSE, _SHARD, _JSON,
        )),
        "status": ("cell x seed matrix, running, failed with reasons, time left", "commands", (
            _option("space", "SPACE", "a study's space or folder; without it, all studies of --results", nargs="?"),
            add_results,
            _flag("--watch", "redraw until nothing is running"),
            _JSON,
        )),
        "report": ("figures, tables and report.html from the ledger", "commands", (
            _option("space", "SPACE", "a study's space, or its folder"),
            add_results,
            _option("--out", "DIR", "where to write (default: <study>/report)", type=path),
            add_plugin,
        )),
        "export": ("a study for TensorBoard, W&B, MLflow or Hugging Face datasets", "export", _EXPORT),
        "dashboard": ("every study in a browser, live; only reads", "dashboard", _DASHBOARD),
        "tune": ("search for the best settings, test them on fresh seeds", "tune", (
            _option("what", "WHAT", f"a space of the design optuna{tuned}"), *_TUNE,
        )),
        "schema": ("JSON Schema of a space, for tools that complete and check YAML", "commands", (
            _option("--family", "F", "schema of this family's spaces (default: h_space)"), add_plugin,
        )),
        "explain": ("why a trial ran or did not; or the first difference between two trials", "commands", (
            _option("trial", "TRIAL", "a trial signature or a unique prefix, or CELL:SEED"),
            _option("other", "OTHER", "a second trial: show the first difference", nargs="?"),
            add_results,
        )),
        "check": ("whether the verdicts in a bundle of evidence follow from its rows", "commands", (
            _option("file", "FILE", "what `export STUDY --to evidence FILE` wrote", type=path),
        )),
        "judge": ("verdicts over results that were measured elsewhere", "judging", _JUDGE),
        "list": ("what there is to choose from", "listing", (
            _option("what", "WHAT", ", ".join(lists), choices=lists),
            _option("--family", "F", "metrics: of another family than the default one"),
            add_plugin,
        )),
        "doctor": ("versions, devices, storage; says what to fix", "doctor", (
            _option("--address", "A", "address of a Ray cluster to check as well"), add_results,
        )),
    }

# fmt: on
