"""Importance: how much of the spread of a metric over all trials each axis explains, by one of two measures.

`ped_anova` is what `asyrp-sweep tune` prints: Optuna's PED-ANOVA (Watanabe et al. 2023), read from the search's
`tuning.json`: how much each axis decides whether a trial is among the best tenth. Shares of all axes add up to one.

`anova` is a plain analysis of variance over what has run. The share of an axis is epsilon squared (Kelley 1935),
(SS_between - (k - 1) MS_within) / SS_total over its k values: the share of the variance between values, less what
chance alone would show. Pairs of axes that were crossed get what they explain beyond their own two shares. The
seed is a factor like any other. Numbers with more than six values are cut at their quartiles. It describes the
values that were tried, and replaces no paired contrast.
"""

from itertools import combinations
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd

from analysis.figures._base import Axes, FigureConfig, FigureKind, Problems, unknown_metric
from analysis.figures._text import TextTable
from analysis.frames import StudyFrames
from analysis.labels import axis_label, metric_info, number, plural
from analysis.measurements import finished_trials, values_over
from analysis.stats import FloatArray

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SEED = "seed"
_MANY = 6
"""Different numbers up to which each one is a value of its own."""
_COLUMNS = ["factor", "label", "kind", "share", "num_values", "num_trials", "metric", "measure"]
_NAMES = {"anova": "Analysis of variance (epsilon squared)", "ped_anova": "PED-ANOVA"}


class Config(FigureConfig):
    """One bar per axis, per crossed pair of axes, and for the seed."""

    kind: Literal["importance"]
    metric: str | None = None
    """The primary metric when left out."""
    measure: Literal["auto", "anova", "ped_anova"] = "auto"
    """auto: ped_anova where a search has told it for this metric, else anova."""

    def problems(self, axes: Axes) -> Problems:
        """A metric that does not exist."""
        return unknown_metric(("metric",), self.metric)

    def default_name(self) -> str:
        """`importance`."""
        return "importance"

    def heading(self) -> str:
        """`Importance of the axes`."""
        return "Importance of the axes"


def compute(frames: StudyFrames, config: Config) -> pd.DataFrame:
    """A row per factor (kind axis, pair or seed), largest share first; of anova one for the rest, last."""
    metric = config.metric or frames.primary_metric
    told = {} if config.measure == "anova" else _of_search(frames, metric)
    if told or config.measure == "ped_anova":
        return _table(
            [
                [name, axis_label(name), "axis", share, len(frames.study.axes.get(name, ()))]
                for name, share in sorted(told.items(), key=lambda entry: -entry[1])
            ],
            len(finished_trials(frames)),
            metric,
            "ped_anova",
        )
    return _of_variance(frames, metric)


def _table(rows: list[list[Any]], num_trials: int, metric: str, measure: str) -> pd.DataFrame:
    return pd.DataFrame([[*row, num_trials, metric, measure] for row in rows], columns=_COLUMNS)


def _of_search(frames: StudyFrames, metric: str) -> dict[str, float]:
    """Axis -> share, as the search left it; nothing where there was none, or too few trials to tell."""
    return dict(frames.search_results.get("importance", {}).get(metric, {}))


def _of_variance(frames: StudyFrames, metric: str) -> pd.DataFrame:
    values = values_over(frames, metric, ["cell"])
    values = values[values["value"].notna()]
    points = {entry.cell: dict(entry.axis_values) for entry in frames.study.cells}
    y = values["value"].to_numpy(dtype=float)
    if len(y) < 3 or np.all(y == y[0]):
        return pd.DataFrame(columns=_COLUMNS)
    levels = {
        axis: _levels([points[cell].get(axis) for cell in values["at_cell"]]) for axis in frames.study.axes
    }
    levels[SEED] = values["seed"].astype(str).to_numpy()
    levels = {name: found for name, found in levels.items() if len(set(found)) > 1}
    own = {name: variance_share(y, found) for name, found in levels.items()}
    rows: list[list[Any]] = [
        [name, axis_label(name), SEED if name == SEED else "axis", share, len(set(levels[name]))]
        for name, share in own.items()
    ]
    for first, second in combinations([name for name in levels if name != SEED], 2):
        joint = np.array([f"{a}|{b}" for a, b in zip(levels[first], levels[second], strict=True)])
        # Without a crossing, a pair has only the values of its two axes, and says nothing new.
        if len(set(joint)) > len(set(levels[first])) + len(set(levels[second])) - 1:
            share = max(0.0, variance_share(y, joint) - own[first] - own[second])
            label = f"{axis_label(first)} × {axis_label(second)}"
            rows.append([f"{first} x {second}", label, "pair", share, len(set(joint))])
    rows.sort(key=lambda row: -row[3])
    rest = max(0.0, 1 - sum(row[3] for row in rows))
    rows.append(["rest", "rest", "rest", rest, 0])
    return _table(rows, len(y), metric, "anova")


def variance_share(y: FloatArray, levels: np.ndarray) -> float:
    """Epsilon squared of a factor: y (n,), its value per entry (n,). 0 where there is no repetition to judge by."""
    total = float(np.sum((y - y.mean()) ** 2))
    names = sorted(set(levels))
    groups = [y[levels == name] for name in names]
    within = float(sum(np.sum((group - group.mean()) ** 2) for group in groups))
    freedom = len(y) - len(names)
    if total == 0 or freedom == 0:
        return 0.0
    return max(0.0, (total - within - (len(names) - 1) * within / freedom) / total)


def draw(table: pd.DataFrame, config: Config) -> "Figure":
    """Bars with their shares written beside them; axes filled, pairs hatched, seed and rest grey."""
    from analysis import style

    with style.styled():
        if table.empty:
            return style.nothing_to_draw("Too few finished trials to tell.")
        figure = style.new_figure(4.2, 0.55 + 0.22 * len(table))
        axes = figure.subplots()
        looks = {"axis": (style.CATEGORIES[0], ""), "pair": (style.CATEGORIES[5], "////"),
                 "seed": (style.MUTED, ""), "rest": (style.HAIRLINE, "")}  # fmt: skip
        for place, row in enumerate(table.to_dict("records")):
            colour, hatch = looks[row["kind"]]
            axes.barh(
                place, row["share"], color=colour, hatch=hatch, height=0.62, edgecolor="white", linewidth=0
            )
            axes.text(row["share"] + 0.012, place, f"{100 * row['share']:.0f} %", va="center", fontsize=7.5)
        axes.set_yticks(range(len(table)), list(table["label"]))
        axes.set_ylim(len(table) - 0.4, -0.6)
        axes.set_xlim(0, max(0.3, min(1.1, float(table["share"].max()) * 1.2)))
        axes.tick_params(axis="y", length=0)
        axes.xaxis.set_major_formatter(lambda value, _: f"{100 * value:.0f} %")
        info = metric_info(str(table["metric"].iloc[0]))
        measure = str(table["measure"].iloc[0])
        what = "Share of the variance of" if measure == "anova" else "PED-ANOVA importance for"
        axes.set_xlabel(f"{what} {info.plot_label[:-2]}")
        return figure


def caption(table: pd.DataFrame, config: Config) -> str:
    """What a share is, how it is drawn, and what it is not."""
    return meaning(table, "; hatched: crossed pairs beyond their own axes; grey: the seed and the rest")


def meaning(table: pd.DataFrame, looks: str = "") -> str:
    """What a share is, and what it is not; `looks` says how the shares of a variance are drawn."""
    if table.empty:
        return "Importance of the axes. Too few finished trials to tell."
    info = metric_info(str(table["metric"].iloc[0]))
    count = plural(int(table["num_trials"].iloc[0]), "finished trial")
    name = _NAMES[str(table["measure"].iloc[0])]
    if name == _NAMES["ped_anova"]:
        return (
            f"{name} (Optuna's, as asyrp-sweep tune prints it) of each axis for {info.label} over {count}: how much "
            "the axis decides whether a trial is among the best tenth; all axes add up to 100 %. It describes what the "
            "search has tried, and is no test."
        )
    return (
        f"{name}: share of the variance of {info.label} over {count} that each axis explains, corrected for "
        f"chance{looks}. It describes the values that were tried, and is no test: the contrasts are."
    )


def text(table: pd.DataFrame, config: Config) -> TextTable:
    """Factors with their shares."""
    rows = [
        [row["label"], f"{number(100 * row['share'])} %", str(row["num_values"] or "–")]
        for row in table.to_dict("records")
    ]
    is_anova = table.empty or table["measure"].iloc[0] == "anova"
    return TextTable(["axis", "share of variance" if is_anova else "PED-ANOVA", "values"], rows)


def _levels(values: list[object]) -> np.ndarray:
    """Each entry's value as text, numbers with many values by quarter."""
    numbers = [v for v in values if isinstance(v, (int, float)) and not isinstance(v, bool)]
    if len(numbers) == len(values) and len(set(numbers)) > _MANY:
        quarters = pd.qcut(pd.Series(numbers, dtype=float), 4, labels=False, duplicates="drop")
        return quarters.astype(str).to_numpy()
    return np.array([str(value) for value in values])


FIGURE = FigureKind(config=Config, compute=compute, draw=draw, caption=caption, text=text)
