"""A study as an object: plan it, run it, read it."""

from collections.abc import Mapping, Sequence
from functools import cached_property
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
from rich.console import Console
from rich.table import Table
from rich.text import Text

from analysis import export, figures, report
from analysis.contrasts import Judgement, judge_study, next_seeds, verdict_sentence
from analysis.forming import word
from analysis.frames import StudyFrames, load_frames
from analysis.labels import number, p_value
from analysis.stats import Contrast
from orchestrator.cli.figure_checks import check_figures
from orchestrator.ledger.copies import results_folder
from orchestrator.plan.loading import load_space
from orchestrator.space.config import ConfigError, Problem
from orchestrator.space.extending import sources_of
from orchestrator.study.adaptive import run_until_decided
from orchestrator.study.launch import Study as Planned
from orchestrator.study.launch import open_study
from orchestrator.study.runner import RunOptions
from orchestrator.views.live import make_display, say
from trainables.errors import UserError
from trainables.family import Family
from trainables.function_family import FunctionFamily
from trainables.yaml_tree import write_yaml

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLUMNS = ("cell", "verdict", "effect", "interval", "p", "pairs")


def open_space(
    space: str | Path | Mapping[str, Any],
    *,
    name: str = "study",
    results: str | Path = "results",
    settings: Mapping[str, Any] | None = None,
    domain: str | None = None,
    seeds: int | Sequence[int] | None = None,
    family: Family | None = None,
    reuse_changed_code: bool = False,
) -> "Study":
    """Plan a space and find what its results folder holds of it; nothing runs.

    `space` is a shipped name, the path of a YAML file, or the content of one; then `name` is the study's. `settings`
    are dotted settings over all that the space says. `family` is for a family that is no file and no installed one.
    `reuse_changed_code` counts trials that were made by other source code than today's.
    Raises ConfigError (a UserError) with everything that is wrong.
    """
    texts = [
        f"{path}={write_yaml({'v': value}, is_flow=True)[4:].strip()[:-1]}"
        for path, value in (settings or {}).items()
    ]
    given = None if seeds is None else str(seeds) if isinstance(seeds, int) else ",".join(map(str, seeds))
    source = sources_of(name, write_yaml(space), Path.cwd()) if isinstance(space, Mapping) else space
    loaded = load_space(
        source, settings=texts, domain=domain, seeds=given, extra_checks=[check_figures], family=family
    )
    return Study(open_study(loaded, results_folder(results), reuses_changed_code=reuse_changed_code))


class Study:
    """A planned space and the results folder that holds what has run of it."""

    def __init__(self, planned: Planned) -> None:
        self._planned = planned

    @property
    def name(self) -> str:
        """Name of the study and of its folder."""
        return self._planned.space.name

    @property
    def folder(self) -> Path:
        """Where the results are."""
        return self._planned.folder

    @property
    def plan(self) -> pd.DataFrame:
        """A row for every trial: `cell`, `seed`, `signature`, and the value of every axis."""
        axes = {cell.name: dict(cell.axis_values) for cell in self._planned.plan.cells}
        rows = [
            {"cell": trial.cell, "seed": trial.seed, "signature": trial.signature, **axes[trial.cell]}
            for trial in self._planned.plan.trials
        ]
        return pd.DataFrame(rows)

    def run(
        self,
        *,
        inline: bool = False,
        address: str | None = None,
        cpus: int | None = None,
        quiet: bool = False,
        log_to: Sequence[str] = (),
    ) -> "Study":
        """Train every trial that is missing; on Ray, or `inline` one after another in this process.

        `log_to` names programs, `tensorboard` and `wandb`: what `export` would write for them is written as it comes,
        into folders of these names in `folder`.

        Trials that fail are in `failed`. Raises UserError where the launch cannot begin or what has run cannot be
        recorded, KeyboardInterrupt when it is interrupted: what has finished is kept, and the next `run` goes on.
        """
        console = Console(quiet=quiet)
        options = RunOptions(
            inline=inline, address=address, num_cpus=cpus, listeners=export.live_logs(log_to)
        )
        outcome = run_until_decided(
            self._planned,
            options,
            make_display(console),
            judge=lambda folder: next_seeds(load_frames(folder)),
            note=lambda line: say(console, line),
        )
        self.__dict__.pop("frames", None)
        self.__dict__.pop("judgement", None)
        if outcome.preparation_error is not None:
            raise UserError(outcome.preparation_error)
        if outcome.interrupted_by is not None:
            raise KeyboardInterrupt
        return self

    @cached_property
    def frames(self) -> StudyFrames:
        """Everything that the ledger holds of the study, as data frames."""
        return load_frames(self.folder)

    @property
    def trials(self) -> pd.DataFrame:
        """A row for every planned trial, with its state, settings, times and `metric_<name>` columns."""
        return self.frames.trials

    @property
    def failed(self) -> pd.DataFrame:
        """Trials that did not finish, with their reasons."""
        return self.trials.loc[self.trials["status"].isin(("failed", "skipped")), ["cell", "seed", "reason"]]

    @property
    def curves(self) -> pd.DataFrame:
        """What trials reported while they trained."""
        return self.frames.curves

    @property
    def evaluations(self) -> pd.DataFrame:
        """A row for every item that was measured."""
        return self.frames.evaluations

    @property
    def samples(self) -> pd.DataFrame:
        """Pictures that trials left, as PNG bytes in `image`."""
        return self.frames.samples

    @cached_property
    def judgement(self) -> Judgement:
        """All contrasts and claims, judged together."""
        return judge_study(self.frames)

    @property
    def contrasts(self) -> list[Contrast]:
        """One for every cell that is compared: mean difference, interval, p, verdict."""
        return self.judgement.contrasts

    @property
    def verdicts(self) -> list[str]:
        """A sentence for every contrast."""
        return [verdict_sentence(self.frames, contrast) for contrast in self.contrasts]

    def figure(self, kind: str, **options: Any) -> "Figure":
        """A figure of the study, as a space would ask for it: `figure("curves", by="width")`.

        Raises ConfigError for options that do not fit.
        """
        asked = {"kind": kind, **options}
        axes = {axis: list(values) for axis, values in self.frames.study.axes.items()}
        if problems := figures.check([asked], axes):
            raise ConfigError(
                [Problem("", 0, ".".join(map(str, place[1:])), said) for place, said in problems]
            )
        found, config = figures.parse(asked)
        if found.draw is None:
            raise UserError(f"{kind} is a table, not a picture; `report()` writes it")
        return found.draw(found.compute(self.frames, config), config)

    def report(self, out: str | Path | None = None) -> Path:
        """Write figures, tables and report.html; returns the page."""
        return report.build_report(self.folder, None if out is None else Path(out))

    def export(self, to: str, out: str | Path, python: str | Path | None = None) -> Path:
        """Write the study for another program into a folder, or as `evidence` into a file; returns it.

        `to` is `tensorboard`, `wandb`, `mlflow`, `hf` or `evidence`.
        `python` is that of an environment with MLflow. Raises UserError for what can be put right.
        """
        export.export(self.folder, to, Path(out), None if python is None else Path(python))
        return Path(out)

    def save_yaml(self, path: str | Path) -> Path:
        """Write the space that `asyrp-sweep run` takes for the same study, and the file of its family where it has one.

        The file's name is the study's, so keep it for the same results folder to be found.
        """
        target, space = Path(path), self._planned.space
        target.write_text(space.text, encoding="utf-8")
        if isinstance(space.family, FunctionFamily):
            target.with_name(f"{space.family.name}_family.py").write_text(
                space.family.file_text(), encoding="utf-8"
            )
        return target

    # How it shows itself

    def _rows(self) -> list[tuple[str, ...]]:
        return [
            (
                self.frames.cell_label(one.name),
                word(self.frames, self.judgement, one),
                number(one.mean, signed=True),
                f"[{number(one.interval.low, signed=True)}, {number(one.interval.high, signed=True)}]",
                p_value(one.p_holm).removeprefix("p ").removeprefix("= "),
                str(one.n),
            )
            for one in self.contrasts
        ]

    def _title(self) -> str:
        done = int((self.trials["status"] == "done").sum())
        metric = self.frames.primary_metric
        return f"{self.name}: {metric} against {self.frames.reference_label}; {done} of {len(self.trials)} trials done"

    def __repr__(self) -> str:
        if not (self.folder / "study.json").is_file():
            return f"<Study {self.name}: {len(self._planned.plan.trials)} trials planned, none has run>"
        return "\n".join([self._title(), *(f"  {sentence}" for sentence in self.verdicts)])

    def __rich__(self) -> Table | Text:
        if not (self.folder / "study.json").is_file():
            return Text(repr(self))
        table = Table(*COLUMNS, title=self._title())
        for row in self._rows():
            table.add_row(*map(Text, row))
        return table

    def _repr_html_(self) -> str:
        if not (self.folder / "study.json").is_file():
            return f"<p>{escape(repr(self))}</p>"
        head = "".join(f"<th>{name}</th>" for name in COLUMNS)
        rows = "".join(
            f"<tr>{''.join(f'<td>{escape(value)}</td>' for value in row)}</tr>" for row in self._rows()
        )
        return f"<table><caption>{escape(self._title())}</caption><tr>{head}</tr>{rows}</table>"
