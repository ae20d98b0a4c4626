"""Any metric by a label of the images, or by groups of image ids: does a trial serve all items alike?

A metric of single images is averaged over a group's images, which are its sample. A metric of whole sets, such as FID,
was measured within each group by the trials whose `evaluation.subgroups` names the label; its sample are the seeds.
"""

from textwrap import fill
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
import pandas as pd
from pydantic import Field

from analysis.figures._base import (
    Axes,
    AxisValue,
    FigureConfig,
    FigureKind,
    Names,
    Problems,
    unknown_axis,
    unknown_fixed,
    unknown_metrics,
)
from analysis.figures._groups import groups_of, image_summary, set_summary
from analysis.figures._panels import legend_above, legend_height
from analysis.figures._text import TextTable
from analysis.frames import StudyFrames
from analysis.labels import (
    axis_label,
    decimals_for,
    is_of_sets,
    metric_info,
    number,
    places,
    plural,
    value_label,
)
from analysis.measurements import image_rows, subgroup_rows

if TYPE_CHECKING:
    from matplotlib.axes import Axes as PlotAxes
    from matplotlib.figure import Figure

_COLUMNS = [
    *["metric", "value", "label", "order", "group", "mean", "low", "high", "n", "num_seeds", "features"],
]
"""`features`: what a metric of sets was measured in; empty for one of single images."""
_WIDE = 3
"""Panels up to which each has room for a label of one line."""
_NARROW_LETTERS = 18
_FEW = 10
"""Images of a group below which its row is warned about."""


class Config(FigureConfig):
    """Groups down, one mark per value of `by`, one panel per metric."""

    kind: Literal["subgroups"]
    metrics: Annotated[Names, Field(min_length=1)]
    """A panel each."""
    label: str | None = None
    """A label of the images (`skin`, `gender`, `glasses`), or the column of `file` that names the group."""
    file: str | None = None
    """A CSV with a column `image_id` and a column `label` (`group` when left out); relative to the study's folder or to
    the working directory."""
    by: str = "cell"
    """`cell` or an axis."""
    fixed: dict[str, AxisValue] = Field(default_factory=dict)
    """Values of other axes, `epoch` or a coordinate."""

    def problems(self, axes: Axes) -> Problems:
        """Axes and metrics that do not exist, and no way to tell groups."""
        problems = unknown_axis(("by",), self.by, [*axes, "cell"])
        if self.label is None and self.file is None:
            problems.append(
                (("label",), "expected a label of the images, or a `file` of groups; found nothing")
            )
        return problems + unknown_fixed(self.fixed, axes, places()) + unknown_metrics("metrics", self.metrics)

    @property
    def group_name(self) -> str:
        """What tells the groups apart."""
        return self.label or "group"

    def default_name(self) -> str:
        """`subgroups_skin`."""
        return f"subgroups_{self.group_name}"

    def heading(self) -> str:
        """`S_dir by skin`."""
        return (
            f"{', '.join(metric_info(name).label for name in self.metrics)} by {axis_label(self.group_name)}"
        )


def compute(frames: StudyFrames, config: Config) -> pd.DataFrame:
    """A row per metric, value of `by` and group: mean, 95 % t interval, n images, seeds.

    Of a metric of single images, each image is first averaged over seeds: the question is whether other images would
    give the same, so images are the sample. One of whole sets has a value per seed and group, and seeds are the sample.
    Raises FileNotFoundError or ValueError for a file of groups that cannot be used.
    """
    groups = groups_of(frames, config.label, config.file)
    held = {name: value for name, value in config.fixed.items() if name in frames.study.axes}
    cells = frames.cells_along([config.by], held)
    named = {
        value: frames.cell_label(str(value)) if config.by == "cell" else value_label(value)
        for value in frames.axis_values(config.by)
    }
    rows = []
    for metric in config.metrics:
        if is_of_sets(metric):
            measured, summary = subgroup_rows(frames, metric, config.group_name, config.fixed), set_summary
        else:
            images = image_rows(frames, metric, config.fixed)
            measured, summary = images.assign(group=images["image_id"].map(groups)), image_summary
        for order, (value, label) in enumerate(named.items()):
            own = measured[measured["cell"] == cells.get((value,))]
            for group, members in own.groupby("group", sort=True):
                place = {"metric": metric, "value": value, "label": label, "order": order}
                rows.append(place | {"group": str(group)} | summary(members, metric))
    return pd.DataFrame(rows, columns=_COLUMNS)


def draw(table: pd.DataFrame, config: Config) -> "Figure":
    """Groups as rows with their n, marks with intervals; a panel per metric."""
    from analysis import style

    with style.styled():
        if table.empty:
            return style.nothing_to_draw("No images of any group measured yet.")
        metrics = list(dict.fromkeys(table["metric"]))
        groups = list(dict.fromkeys(table.sort_values("group")["group"]))
        lines = table.drop_duplicates("order").sort_values("order")
        values = list(lines["value"])
        looks = {o: style.markers(values)[v] for o, v in zip(lines["order"], values, strict=True)}
        width = style.TEXT_WIDTH if len(metrics) > 1 else 4.2
        height = (
            0.55 + len(groups) * max(0.24, 0.1 * len(values)) + legend_height(list(lines["label"]), width)
        )
        figure = style.new_figure(width, height, w_pad=0.06)
        panels = list(figure.subplots(1, len(metrics), sharey=True, squeeze=False).ravel())
        for panel, metric in zip(panels, metrics, strict=True):
            _draw_panel(panel, table[table["metric"] == metric], groups, looks, len(panels) > _WIDE)
        named = [f"{value_label(g)} (n = {_sizes(table[table['group'] == g])})" for g in groups]
        panels[0].set_yticks(range(len(groups)), named)
        legend_above(figure, panels)
        return figure


def caption(table: pd.DataFrame, config: Config) -> str:
    """What the bars are a sample of."""
    what = ", ".join(metric_info(name).label for name in config.metrics)
    parts = [f"{what} by {axis_label(config.group_name)} of the image."]
    if table.empty:
        parts.append("No images of any group measured yet.")
    else:
        of_images, of_sets = (table[table["features"].isna() == is_image] for is_image in (True, False))
        small = int(table["n"].min())
        parts += [
            *([_about_images(of_images)] if len(of_images) else []),
            *([_about_sets(of_sets)] if len(of_sets) else []),
            "n counts images."
            + (
                f" The smallest group has {plural(small, 'image')}: read it with care."
                if small < _FEW
                else ""
            ),
        ]
    untold = [name for name in config.metrics if is_of_sets(name) and name not in set(table["metric"])]
    if untold:
        parts.append(
            f"{', '.join(metric_info(name).label for name in untold)}: not measured within groups of "
            f"{config.group_name}; the space asks for that with evaluation: {{subgroups: [{config.group_name}]}}."
        )
    return " ".join(parts)


def _about_images(table: pd.DataFrame) -> str:
    seeds = plural(int(table["num_seeds"].max()), "seed")
    return (
        f"{_labels(table)}: means over the images of a group, each averaged over {seeds} first; bars are 95 % t "
        "intervals over images (none below two)."
    )


def _about_sets(table: pd.DataFrame) -> str:
    """In which features, over which seeds, and what depends on the size of a group."""
    seeds, features = plural(int(table["num_seeds"].max()), "seed"), sorted(set(table["features"]))
    said = (
        f"{_labels(table)}: measured within each group (features: {', '.join(features)}), means of {seeds}; bars are "
        "95 % t intervals over seeds."
    )
    if any(name.startswith(("frechet", "fid")) for name in table["metric"]):
        said += (
            " A Fréchet distance is larger in a smaller group for its size alone; a kernel distance is not."
        )
    return said


def _labels(table: pd.DataFrame) -> str:
    return ", ".join(metric_info(str(name)).label for name in dict.fromkeys(table["metric"]))


def _sizes(table: pd.DataFrame) -> str:
    """How many images a group has; from to where cells are measured on different ones."""
    least, most = int(table["n"].min()), int(table["n"].max())
    return str(least) if least == most else f"{least}–{most}"


def text(table: pd.DataFrame, config: Config) -> TextTable:
    """Groups down, values of `by` across, mean and half width; metrics as rows of their own where several."""
    lines = list(dict.fromkeys(table.sort_values("order")["label"]))
    several = table["metric"].nunique() > 1
    rows = []
    for (metric, group), own in table.groupby(["metric", "group"], sort=False):
        info = metric_info(str(metric))
        at = own.set_index("label")
        entries = [_entry(at.loc[label]) if label in at.index else "–" for label in lines]
        rows.append(
            [
                value_label(group),
                *([f"{info.label} {info.arrow}"] if several else []),
                *entries,
                _sizes(own),
            ]
        )
    return TextTable(
        [axis_label(config.group_name), *(["metric"] if several else []), *lines, "n"],
        rows,
        2 if several else 1,
    )


def _draw_panel(
    panel: "PlotAxes",
    table: pd.DataFrame,
    groups: list[str],
    looks: dict[Any, dict[str, Any]],
    is_narrow: bool,
) -> None:
    from analysis import style

    step = 0.7 / max(len(looks), 1)
    for place, (order, own) in enumerate(table.groupby("order")):
        look = looks[order]
        y = np.array([groups.index(group) for group in own["group"]]) + (place - (len(looks) - 1) / 2) * step
        mean = own["mean"].to_numpy(dtype=float)
        bars = np.nan_to_num(np.vstack([mean - own["low"], own["high"] - mean]).astype(float))
        panel.errorbar(mean, y, xerr=bars, fmt=look["marker"], color=look["color"], markersize=4,
                       markeredgewidth=0, elinewidth=0.9, capsize=0, label=own["label"].iloc[0])  # fmt: skip
    label = metric_info(str(table["metric"].iloc[0])).plot_label
    bound = "\N{NO-BREAK SPACE}".join(label.rsplit(" ", 1))  # The arrow stays with its word.
    panel.set_xlabel(
        fill(bound, _NARROW_LETTERS, break_long_words=False) if is_narrow else label, **style.MATH
    )
    panel.set_ylim(len(groups) - 0.5, -0.5)
    panel.tick_params(axis="y", length=0)
    panel.locator_params(axis="x", nbins=3 if is_narrow else 5)
    style.light_grid(panel, "x")


def _entry(row: pd.Series) -> str:
    half = (row["high"] - row["low"]) / 2
    decimals = decimals_for(half)
    return number(row["mean"], decimals=decimals) + (
        "" if decimals is None else f" ± {number(half, decimals=decimals)}"
    )


FIGURE = FigureKind(config=Config, compute=compute, draw=draw, caption=caption, text=text)
