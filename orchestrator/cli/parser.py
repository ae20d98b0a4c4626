"""The command `asyrp-sweep` and its options.

Exit codes: 0 done, 1 some trials failed (named), the launch had to stop, `doctor` found something to fix, or `check` a
bundle that is not as it was written, 2 bad input or a file that cannot be read or written, 130 and 143 interrupted.
Errors go to standard error: with `--json`, standard output holds JSON or nothing.

What `--json` prints is described in docs/reference/commands.md.

Importing this module imports neither torch nor ray: `--help` answers at once.
"""

import argparse
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from orchestrator.cli.option_values import cost, joined, numbers, path, port, strengths, timestep

PROGRAM = "asyrp-sweep"
DASHBOARD_PORT = 8686


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command. A user's mistake is printed without a traceback; ours keep theirs."""
    arguments = sys.argv[1:] if arguments is None else arguments
    options = parser().parse_args(joined(arguments))
    try:
        from orchestrator.cli import commands  # Only now: --help needs none of it.

        return commands.run(options, shlex.join([PROGRAM, *arguments]))
    except KeyboardInterrupt:
        return 130


def parser() -> argparse.ArgumentParser:
    """All commands and their options."""
    top = argparse.ArgumentParser(
        prog=PROGRAM,
        description="Ablations of any training code: from a question in YAML to a verdict with error bars.",
    )
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")

    run = commands.add_parser("run", help="plan, price, train what is missing, report")
    _add_space(run)
    _add_max_cost(run)
    _add_where(run)
    _add_log_to(run)
    _add_reuse(run)
    run.add_argument("--yes", action="store_true", help="start without asking, however long it will take")

    plan = commands.add_parser("plan", help="cells, trials, what is done, price; runs nothing")
    _add_space(plan)
    _add_max_cost(plan)
    _add_where(plan)
    _add_reuse(plan)
    plan.add_argument("--json", action="store_true", help="print JSON")

    status = commands.add_parser("status", help="cell x seed matrix, running, failed with reasons, time left")
    status.add_argument(
        "space",
        nargs="?",
        metavar="SPACE",
        help="a study's space or folder; without it, all studies of --results",
    )
    _add_results(status)
    status.add_argument("--watch", action="store_true", help="redraw until nothing is running")
    status.add_argument("--json", action="store_true", help="print JSON")

    report = commands.add_parser("report", help="figures, tables and report.html from the ledger")
    report.add_argument("space", metavar="SPACE", help="a study's space, or its folder")
    _add_results(report)
    report.add_argument("--out", type=path, metavar="DIR", help="where to write (default: <study>/report)")

    _add_export(
        commands.add_parser("export", help="a study for TensorBoard, W&B, MLflow or Hugging Face datasets")
    )

    _add_dashboard(commands.add_parser("dashboard", help="every study in a browser, live; only reads"))

    _add_tune(
        commands.add_parser("tune", help="search an attribute's settings, test the best, leave an editor")
    )
    _add_edit(commands.add_parser("edit", help="apply trained editors to pictures or generated faces"))
    _add_interval(commands.add_parser("interval", help="t_edit and t_boost of a domain, with their curves"))

    schema = commands.add_parser(
        "schema", help="JSON Schema of a space, for editors that complete and check YAML"
    )
    schema.add_argument("--family", metavar="F", help="of the spaces of a family other than the default one")

    explain = commands.add_parser(
        "explain", help="why a trial ran or did not; or the first difference between two trials"
    )
    explain.add_argument("trial", metavar="TRIAL", help="a trial signature or a unique prefix, or CELL:SEED")
    explain.add_argument(
        "other", nargs="?", metavar="OTHER", help="a second trial: show the first difference"
    )
    _add_results(explain)

    check = commands.add_parser(
        "check", help="whether the verdicts in a bundle of evidence follow from its rows"
    )
    check.add_argument("file", type=path, metavar="FILE", help="what `export STUDY --to evidence FILE` wrote")

    _add_judge(commands.add_parser("judge", help="verdicts over results that were measured elsewhere"))

    listing = commands.add_parser("list", help="what there is to choose from")
    listing.add_argument("what", choices=LISTS, metavar="WHAT", help=", ".join(LISTS))

    imported = commands.add_parser(
        "import-editor", help="an editor of the public repositories -> safetensors"
    )
    _add_import(imported)

    pretrain = commands.add_parser("pretrain", help="train a built-in domain's models from scratch")
    pretrain.add_argument("domain", choices=("avatars",), metavar="DOMAIN", help="avatars")
    pretrain.add_argument("--out", type=path, required=True, metavar="DIR", help="where to write the models")
    pretrain.add_argument(
        "--unet-steps", type=_positive, metavar="N", help="training steps (default: as the shipped model)"
    )
    pretrain.add_argument(
        "--clip-steps", type=_positive, metavar="N", help="training steps (default: as the shipped model)"
    )

    doctor = commands.add_parser("doctor", help="versions, devices, storage, domain files; says what to fix")
    doctor.add_argument("--address", metavar="A", help="address of a Ray cluster to check as well")
    _add_results(doctor)
    return top


LISTS = ("spaces", "families", "attributes", "domains", "editors", "metrics", "figures")


EXPORTS = ("tensorboard", "wandb", "mlflow", "hf", "evidence")
LIVE_LOGS = ("tensorboard", "wandb")
"""Where `export` can write to, and `run` while trials run; `analysis.export` has them all."""


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
    _add_results(command)


def _add_dashboard(command: argparse.ArgumentParser) -> None:
    _add_results(command)
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


def _add_tune(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "attribute", metavar="ATTRIBUTE", help="a known attribute, or a new name with --source and --target"
    )
    command.add_argument("--source", metavar="TEXT", help="what images show before the edit, such as person")
    command.add_argument("--target", metavar="TEXT", help="what edited images should show, such as goblin")
    command.add_argument(
        "--seen", action="store_true", help="a new attribute is one that the diffusion model has seen"
    )
    command.add_argument(
        "--trials", type=_positive, metavar="N", help="points to try in all, over every launch"
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
    command.add_argument(
        "--space",
        default="tune_editor",
        metavar="SPACE",
        help="space that is searched (default: tune_editor)",
    )
    command.add_argument(
        "--domain", metavar="D", help="domain instead of the space's: a name, or the path of its YAML"
    )
    command.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="A.B=V",
        help="override a setting, such as training.epochs=4; may be repeated",
    )
    _add_results(command)
    _add_where(command)
    _add_log_to(command)


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


def _add_edit(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "images",
        nargs="*",
        metavar="IMAGE",
        help="a picture file, a folder of them, or the id of an image of the domain",
    )
    command.add_argument(
        "--editor",
        action="append",
        required=True,
        metavar="E",
        help="a trained editor: its id or a unique prefix, its file, or best (of --study); several act together",
    )
    command.add_argument("--study", metavar="SPACE", help="look for editors in this study alone")
    command.add_argument(
        "--attribute", metavar="A", help="with --editor best: choose among the editors of this attribute"
    )
    command.add_argument("--faces", type=_positive, metavar="N", help="edit N held-out images of the domain")
    command.add_argument(
        "--generate", type=_positive, metavar="N", help="edit N images that the diffusion model makes up"
    )
    command.add_argument(
        "--strength",
        type=strengths,
        default=(1.0,),
        metavar="S",
        help="FROM:TO:COUNT such as -1:1:5, or a list such as 0.5,1 (default: 1)",
    )
    command.add_argument(
        "--steps", type=_positive, metavar="N", help="steps of inversion and generation (default: as trained)"
    )
    command.add_argument(
        "--coefficients",
        type=numbers,
        metavar="C",
        help="weight of each editor, such as 0.5,0.5 (default: 1/sqrt(n) each)",
    )
    command.add_argument(
        "--window",
        choices=("own", "widest", "narrowest"),
        default="own",
        help="timesteps of several editors: own, each as trained (default); widest, the union; narrowest, the overlap",
    )
    command.add_argument(
        "--boost",
        type=timestep,
        default=0,
        metavar="T",
        help="add noise at timesteps below T, or auto (default: 0, none)",
    )
    command.add_argument(
        "--seed", type=int, default=0, metavar="N", help="seed of generated images and noise (default: 0)"
    )
    command.add_argument(
        "--domain", metavar="D", help="a domain other than the one the editors were trained in"
    )
    command.add_argument(
        "--device", choices=("cpu", "cuda"), help="where to compute (default: the GPU where there is one)"
    )
    command.add_argument(
        "--out", type=path, default=Path("edits"), metavar="DIR", help="where to write (default: edits)"
    )
    _add_results(command)


def _add_interval(command: argparse.ArgumentParser) -> None:
    command.add_argument("domain", metavar="DOMAIN", help="a domain's name, or the path of its YAML")
    command.add_argument(
        "attributes",
        nargs="*",
        metavar="ATTRIBUTE",
        help="edits to find t_edit of (default: all of the domain)",
    )
    command.add_argument(
        "--images",
        type=_positive,
        default=16,
        metavar="N",
        help="training images to average over (default: 16)",
    )
    command.add_argument(
        "--steps", type=_positive, default=100, metavar="N", help="steps of their inversion (default: 100)"
    )
    command.add_argument("--out", type=path, metavar="FILE", help="draw the curves: FILE.png and FILE.svg")
    _add_results(command)


def _add_import(command: argparse.ArgumentParser) -> None:
    command.add_argument("file", type=path, metavar="FILE", help="a .pth checkpoint of either repository")
    command.add_argument(
        "--attribute",
        metavar="A",
        help="the edit it was trained for (default: by the name of a released file)",
    )
    command.add_argument(
        "--source",
        metavar="TEXT",
        help="what images show before the edit; for an attribute that is not known",
    )
    command.add_argument(
        "--target", metavar="TEXT", help="what edited images should show; for an attribute that is not known"
    )
    command.add_argument(
        "--domain", default="celebahq", metavar="D", help="domain it was trained in (default: celebahq)"
    )
    command.add_argument(
        "--out", type=path, metavar="F", help="file to write (default: FILE with the ending .safetensors)"
    )
    command.add_argument("--kind", metavar="K", help="kind of editor, where the checkpoint does not say")
    command.add_argument(
        "--num-heads", type=_positive, metavar="N", help="number of attention heads; a checkpoint never says"
    )
    for name, meaning in (
        ("temporal", "how the time enters"),
        ("norm", "norm"),
        ("activation", "activation"),
    ):
        command.add_argument(f"--{name}", metavar="X", help=f"{meaning} (default: as published)")
    command.add_argument("--t-edit", type=int, metavar="T", help="the edit acts while t >= T")
    command.add_argument(
        "--num-train-steps", type=_positive, metavar="N", help="timesteps it was trained with"
    )


def _add_space(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "space", metavar="SPACE", help="path of a search space, or the name of a shipped one"
    )
    command.add_argument(
        "--domain", metavar="D", help="domain instead of the space's: a name, or the path of its YAML"
    )
    command.add_argument(
        "--seeds", metavar="N", help="seeds instead of the space's: a count, or a list such as 0,1,5"
    )
    command.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="A.B=V",
        help="override a setting, such as training.epochs=4; may be repeated",
    )
    _add_results(command)


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


def _add_reuse(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--reuse-changed-code",
        action="store_true",
        help="count trials that were made by other source code than today's; else they run again",
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
        type=_positive,
        metavar="N",
        help="CPUs to use on this machine (default: all that it may use)",
    )
    command.add_argument(
        "--inline", action="store_true", help="train one trial after another in this process, without Ray"
    )


def _add_log_to(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--log-to", action="append", default=[], metavar="WHERE",
        help=f"write logs for {' or '.join(LIVE_LOGS)} while trials run; may be repeated",
    )  # fmt: skip


def _add_results(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--results",
        type=path,
        default=Path("results"),
        metavar="DIR",
        help="results folder (default: results)",
    )


def _share(text: str) -> float:
    """A number between 0 and 1."""
    try:
        found = float(text)
    except ValueError:
        found = 0.0
    if not 0 < found < 1:
        raise argparse.ArgumentTypeError(f"expected a number between 0 and 1; found {text!r}")
    return found


def _positive(text: str) -> int:
    """A whole number from 1 to 64 bits."""
    found = text.strip().lstrip("+")
    if not (found.isascii() and found.isdigit() and len(found) < 19 and int(found) > 0):
        raise argparse.ArgumentTypeError(f"expected a whole number of at least 1; found {text!r}")
    return int(found)
