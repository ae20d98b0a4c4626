"""The command `asyrp-sweep`: its options, and what its `--json` output holds.

Exit codes: 0 done, 1 some trials failed (named), 2 bad input, 130 and 143 interrupted.

`plan --json` prints one object:
    name, question, folder, plan_hash, num_done, num_missing,
    cells: [{cell, axis_values, is_baseline, merged: [names], dropped: [settings], config}],
    trials: [{cell, seed, signature, parent, state}], state one of those counted by `status` but running,
    price: {seconds, device, ...} or null where it is not known
`status --json` prints one object, or with no SPACE a list of them:
    name, folder, counts: {done, failed, skipped, interrupted, running, waiting}, seconds_left,
    trials: [{cell, seed, signature, state, reason, epoch}]
Keys may be added; none is removed or changes its meaning without a new major version.

Importing this module imports neither torch nor ray: `--help` answers at once.
"""

import argparse
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

PROGRAM = "asyrp-sweep"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command. A user's mistake is printed without a traceback; ours keep theirs."""
    arguments = sys.argv[1:] if arguments is None else arguments
    options = parser().parse_args(arguments)
    from orchestrator import commands  # Only now: planning imports torch, which takes seconds.

    return commands.run(options, shlex.join([PROGRAM, *arguments]))


def parser() -> argparse.ArgumentParser:
    """All commands and their options."""
    top = argparse.ArgumentParser(
        prog=PROGRAM,
        description="Ablations of h-space editors: from a question in YAML to a verdict with error bars.",
    )
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")

    run = commands.add_parser("run", help="plan, price, train what is missing, report")
    _add_space(run)
    run.add_argument("--address", metavar="A", help="Ray cluster to use, or auto; without it, this machine")
    run.add_argument("--cpus", type=_positive, metavar="N", help="CPUs to use on this machine (default: all)")
    run.add_argument("--inline", action="store_true", help="one trial after another in this process, no Ray")
    run.add_argument("--yes", action="store_true", help="do not ask, however long it will take")

    plan = commands.add_parser("plan", help="cells, trials, what is done, price; runs nothing")
    _add_space(plan)
    plan.add_argument("--json", action="store_true", help="machine-readable")

    status = commands.add_parser("status", help="cell x seed matrix, running, failed with reasons, time left")
    status.add_argument("space", nargs="?", metavar="SPACE", help="a study; all of --results without it")
    _add_results(status)
    status.add_argument("--watch", action="store_true", help="redraw until nothing is running")
    status.add_argument("--json", action="store_true", help="machine-readable")

    report = commands.add_parser("report", help="figures, tables and report.html from the ledger")
    report.add_argument("space", metavar="SPACE", help="a study's space, or its folder")
    _add_results(report)
    report.add_argument("--out", type=Path, metavar="DIR", help="where to write (default: <study>/report)")

    listing = commands.add_parser("list", help="what there is to choose from")
    listing.add_argument("what", choices=LISTS, metavar="WHAT", help=", ".join(LISTS))

    imported = commands.add_parser(
        "import-editor", help="an editor of the public repositories -> safetensors"
    )
    _add_import(imported)

    pretrain = commands.add_parser("pretrain", help="train a built-in domain's models from scratch")
    pretrain.add_argument("domain", choices=("avatars",), metavar="DOMAIN", help="avatars")
    pretrain.add_argument("--out", type=Path, required=True, metavar="DIR", help="where to write the models")
    pretrain.add_argument("--unet-steps", type=_positive, metavar="N", help="default: as the shipped model")
    pretrain.add_argument("--clip-steps", type=_positive, metavar="N", help="default: as the shipped model")

    doctor = commands.add_parser("doctor", help="versions, devices, storage, domain files; says what to fix")
    doctor.add_argument("--address", metavar="A", help="Ray cluster to check as well")
    _add_results(doctor)
    return top


LISTS = ("spaces", "attributes", "domains", "editors", "metrics", "figures")


def _add_import(command: argparse.ArgumentParser) -> None:
    command.add_argument("file", type=Path, metavar="FILE", help="a .pth checkpoint of either repository")
    command.add_argument("--attribute", required=True, metavar="A", help="the edit it was trained for")
    command.add_argument("--domain", default="celebahq", metavar="D", help="where (default: celebahq)")
    command.add_argument("--out", type=Path, metavar="F", help="default: FILE with the ending .safetensors")
    command.add_argument("--kind", metavar="K", help="which editor, where the weights do not tell")
    command.add_argument(
        "--num-heads", type=_positive, metavar="N", help="attention heads; never in the weights"
    )
    for name in ("temporal", "norm", "activation"):
        command.add_argument(f"--{name}", metavar="X", help="default: as published")
    command.add_argument("--t-edit", type=int, metavar="T", help="the edit acts while t >= T")
    command.add_argument("--num-train-steps", type=_positive, metavar="N", help="steps it was trained with")


def _add_space(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "space", metavar="SPACE", help="path of a search space, or the name of a shipped one"
    )
    command.add_argument("--domain", metavar="D", help="another domain: a name, or the path of its YAML")
    command.add_argument("--seeds", metavar="N", help="a count, or a list such as 0,1,5")
    command.add_argument(
        "--set", action="append", default=[], metavar="A.B=V", help="override a setting; may be repeated"
    )
    _add_results(command)


def _add_results(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--results",
        type=Path,
        default=Path("results"),
        metavar="DIR",
        help="results folder (default: results)",
    )


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"expected at least 1; found {number}")
    return number


if __name__ == "__main__":
    sys.exit(main())
