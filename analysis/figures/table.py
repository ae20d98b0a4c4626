"""Cells against metrics: mean over seeds with the half width of its t interval. Markdown, CSV and LaTeX."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd

from analysis.figures._base import Axes, FigureConfig, FigureKind, Names, Problems, nearest
from analysis.frames import StudyFrames, primary_values, summary_metrics
from analysis.labels import MetricInfo, decimals_for, metric_info, number
from analysis.stats import t_interval

_COLUMNS = ["cell", "label", "metric", "mean", "half_width", "n", "num_planned", "num_failed", "is_best"]


class Config(FigureConfig):
    """One row per cell, one column per metric."""

    kind: Literal["table"]
    metrics: Names | None = None
    """Summary metrics, in this order; all that any trial has, primary first, when left out."""

    def problems(self, axes: Axes) -> Problems:
        """Metrics that do not exist."""
        from trainables.metrics import METRICS  # Imports torch: only where a space names metrics.

        known = [*METRICS, "loss_direction", "loss_total"]
        return [
            (
                ("metrics", index),
                f"expected a metric ({', '.join(known)}); found {name!r}{nearest(name, known)}",
            )
            for index, name in enumerate(self.metrics or ())
            if name not in known
        ]

    def default_name(self) -> str:
        """`table`."""
        return "table"

    def heading(self) -> str:
        """`All metrics by cell`."""
        return "All metrics by cell"


def compute(frames: StudyFrames, config: Config) -> pd.DataFrame:
    """A row per cell and metric: mean, half width of the 95 % t interval (NaN below two seeds), counts.

    `is_best` marks the best mean of a metric that doing nothing cannot win. Failed trials are counted, not
    averaged.
    """
    metrics = config.metrics or _present(frames)
    rows = []
    for cell in frames.cells:
        own = frames.trials[frames.trials["cell"] == cell]
        done = own[own["status"] == "done"]
        for metric in metrics:
            values = primary_values(done, metric).dropna().to_numpy()
            interval = t_interval(values)
            mean = float(values.mean()) if len(values) else np.nan
            failed = int(own["status"].isin(["failed", "skipped"]).sum())
            row = [cell, frames.cell_label(cell), metric, mean, (interval.high - interval.low) / 2]
            rows.append([*row, len(values), len(own), failed])
    table = pd.DataFrame(rows, columns=_COLUMNS[:-1])
    signed = table["mean"] * table["metric"].map(lambda name: metric_info(name).sign)
    best = signed.groupby(table["metric"]).transform("max")
    is_judged = table["metric"].map(lambda name: _can_be_best(name, frames.primary_metric))
    return table.assign(is_best=(signed == best) & table["mean"].notna() & is_judged.astype(bool))


def caption(table: pd.DataFrame, config: Config) -> str:
    """What the numbers and marks mean."""
    return (
        "Mean over seeds ± half width of its 95 % t interval. The best mean is bold, which is not a test: "
        "the verdicts are the paired contrasts. Distances from the unedited picture have no best, because "
        "doing nothing would win them. n counts finished trials of those planned."
    )


def write(table: pd.DataFrame, config: Config, stem: Path) -> list[Path]:
    """Write `<stem>.md` and `<stem>.tex`."""
    texts = {".md": markdown(table), ".tex": latex(table, caption(table, config), f"tab:{stem.name}")}
    paths = []
    for ending, text in texts.items():
        paths.append(stem.with_name(stem.name + ending))
        paths[-1].write_text(text, encoding="utf-8")
    return paths


def grid(
    table: pd.DataFrame, mean_and_half: Callable[[str, str], str], bold: Callable[[str], str]
) -> list[list[str]]:
    """The rows of the printed table: label, one entry per metric, n. The two callables do the typesetting."""
    rows = []
    for _, own in table.groupby("cell", sort=False, observed=True):
        entries = [_entry(row, mean_and_half, bold) for _, row in own.iterrows()]
        n, planned = int(own["n"].max()), int(own["num_planned"].iloc[0])
        failed = int(own["num_failed"].iloc[0])
        count = f"{n}" if n == planned else f"{n} of {planned}" + (f" ({failed} failed)" if failed else "")
        rows.append([str(own["label"].iloc[0]), *entries, count])
    return rows


def header(table: pd.DataFrame) -> list[MetricInfo]:
    """The metrics of the columns, in order."""
    return [metric_info(name) for name in dict.fromkeys(table["metric"])]


def markdown(table: pd.DataFrame) -> str:
    """A pipe table."""
    titles = ["", *(f"{info.label} {info.arrow}" for info in header(table)), "n"]
    rows = grid(table, lambda mean, half: f"{mean} ± {half}" if half else mean, lambda text: f"**{text}**")
    rule = [":--", *["--:"] * (len(titles) - 1)]
    return "\n".join("| " + " | ".join(row) + " |" for row in [titles, rule, *rows]) + "\n"


def latex(table: pd.DataFrame, caption_text: str, label: str) -> str:
    """A booktabs table."""
    arrows = {"↑": r"$\uparrow$", "↓": r"$\downarrow$"}
    titles = ["", *(f"{_tex(info.label)} {arrows[info.arrow]}" for info in header(table)), "$n$"]
    rows = grid(table, _tex_number, lambda text: rf"\textbf{{{text}}}")
    body = [[_tex(row[0]), *row[1:-1], _tex(row[-1])] for row in rows]
    lines = [
        r"\begin{table}[t]",
        r"\centering",
        rf"\caption{{{_tex(caption_text)}}}",
        rf"\label{{{label}}}",
        rf"\begin{{tabular}}{{l{'r' * (len(titles) - 1)}}}",
        r"\toprule",
        _tex_row(titles),
        r"\midrule",
        *map(_tex_row, body),
        r"\bottomrule",
        r"\end{tabular}",
        r"\end{table}",
    ]
    return "\n".join(lines) + "\n"


def _present(frames: StudyFrames) -> list[str]:
    """All summary metrics known to the registry, the primary one first."""
    from trainables.metrics import METRICS

    found = [name for name in summary_metrics(frames.trials) if name in METRICS or name == "loss_direction"]
    first = frames.primary_metric
    return [first, *(name for name in found if name != first)]


def _can_be_best(metric: str, primary: str) -> bool:
    """Lower-is-better metrics of an edit are distances from the picture, and zero for no edit at all."""
    return metric == primary or metric_info(metric).higher_is_better or metric.startswith("loss_")


def _entry(row: pd.Series, mean_and_half: Callable[[str, str], str], bold: Callable[[str], str]) -> str:
    if np.isnan(row["mean"]):
        return "–"
    decimals = decimals_for(row["half_width"])
    half = "" if decimals is None else number(row["half_width"], decimals=decimals)
    text = mean_and_half(number(row["mean"], decimals=decimals), half)
    return bold(text) if row["is_best"] else text


def _tex_number(mean: str, half: str) -> str:
    mean = mean.replace("−", "$-$")
    return rf"{mean} $\pm$ {half}" if half else mean


def _tex(text: str) -> str:
    """Escape what LaTeX would read as a command."""
    for plain, escaped in {"\\": r"\textbackslash ", "&": r"\&", "%": r"\%", "_": r"\_", "#": r"\#"}.items():
        text = text.replace(plain, escaped)
    for plain, escaped in {
        "±": r"$\pm$",
        "−": "$-$",
        "–": "--",
        "↑": r"$\uparrow$",
        "×": r"$\times$",
    }.items():
        text = text.replace(plain, escaped)
    return text


def _tex_row(cells: Sequence[str]) -> str:
    return " & ".join(cells) + r" \\"


FIGURE = FigureKind(config=Config, compute=compute, caption=caption, write=write)
