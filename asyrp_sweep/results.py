"""What a study has brought, as an object: read it, judge it, draw it."""

from functools import cached_property
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
from rich.table import Table
from rich.text import Text

from analysis import export, figures, report
from analysis.contrasts import Judgement, judge_study, verdict_sentence
from analysis.forming import word
from analysis.frames import StudyFrames, load_frames
from analysis.labels import number, p_value
from analysis.stats import Contrast
from orchestrator.cli.reporting import known_study
from orchestrator.ledger.copies import reading_copy
from orchestrator.ledger.objects import is_url
from orchestrator.space.config import ConfigError, Problem
from trainables.errors import UserError
from trainables.wording import did_you_mean

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLUMNS = ("cell", "verdict", "effect", "interval", "p", "pairs")


def open_study(study: str | Path, *, results: str | Path = "results") -> "Results":
    """Read what a results folder holds of a study, its space or not; nothing is planned and nothing runs.

    `study` is the study's name in `results`, or its own folder: a path, or a URL (`s3://`, `gs://`, `abfs://`), of
    which this machine gets a copy. Raises UserError where there is no study.
    """
    if is_url(str(study)):
        results, _, study = str(study).rstrip("/").rpartition("/")
    if not is_url(str(results)):
        return Results(known_study(str(study), Path(results)))
    copy = reading_copy(str(results))
    if (name := str(study)) not in (names := copy.studies()):
        raise UserError(f"{results} holds no study {name}{did_you_mean(name, names)}")
    copy.refresh(name)
    return Results(copy.root / name)


class Results:
    """The results of a study, as they are in its folder now."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        """Where the results are."""

    @property
    def name(self) -> str:
        """Name of the study and of its folder."""
        return self.folder.name

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
        return "\n".join([self._title(), *(f"  {sentence}" for sentence in self.verdicts)])

    def __rich__(self) -> Table | Text:
        table = Table(*COLUMNS, title=self._title())
        for row in self._rows():
            table.add_row(*map(Text, row))
        return table

    def _repr_html_(self) -> str:
        head = "".join(f"<th>{name}</th>" for name in COLUMNS)
        rows = "".join(
            f"<tr>{''.join(f'<td>{escape(value)}</td>' for value in row)}</tr>" for row in self._rows()
        )
        return f"<table><caption>{escape(self._title())}</caption><tr>{head}</tr>{rows}</table>"
