"""Forest plot: each cell's paired difference to what it is compared with, its interval, its seeds, and the verdict."""

from collections.abc import Hashable, Mapping, Sequence
from textwrap import wrap
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd

from analysis.contrasts import Judgement, judge_study
from analysis.figures._base import FigureConfig, FigureKind
from analysis.forming import is_forming, word
from analysis.frames import StudyFrames
from analysis.labels import MetricInfo, metric_info, plural, with_interval
from analysis.stats import FloatArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_TEXT = 8.0
"""Points."""
_TICK_WIDTH = 0.4
"""Inches that the number of a tick needs."""
_DOTS = 300
"""Pairs of a contrast that are drawn one by one."""
_LABEL_LETTERS = 34
"""Most characters in a line of a label."""
_SHORT = {", by at least the margin": " ≥ margin", ", perhaps by less than matters": ", maybe < margin"}
_COLUMNS = [
    *["cell", "label", "seed", "difference", "low", "high", "level", "n", "num_failed", "num_missing"],
    *["p_holm", "verdict", "word", "seeds_needed", "margin", "metric", "reference"],
    *["exceeds_margin", "ended_early", "seeds_low", "seeds_high"],
    "unit",
]


class Config(FigureConfig):
    """All contrasts of the study on its primary metric."""

    kind: Literal["effects"]

    def default_name(self) -> str:
        """`effects`."""
        return "effects"

    def heading(self) -> str:
        """`Effects`."""
        return "Effects"


def compute(frames: StudyFrames, config: Config) -> pd.DataFrame:
    """A row per contrast (`seed` NaN, `difference` its mean) and one per paired seed; positive is better."""
    return contrast_rows(frames, judge_study(frames))


def contrast_rows(frames: StudyFrames, judgement: Judgement) -> pd.DataFrame:
    """`compute`, of contrasts that are judged already; pairs too many to tell apart have no rows."""
    rows = []
    for contrast in judgement.contrasts:
        shared = {
            "cell": contrast.name,
            "label": frames.cell_label(contrast.name),
            "metric": frames.primary_metric,
            "reference": frames.reference_label,
            "margin": contrast.margin,
            "unit": contrast.sample.unit,
        }
        summary = {
            "seed": np.nan,
            "difference": contrast.mean,
            "low": contrast.interval.low,
            "high": contrast.interval.high,
            "level": contrast.interval.level,
            "n": contrast.n,
            "num_failed": contrast.num_failed,
            "num_missing": contrast.sample.missing,
            "p_holm": contrast.p_holm,
            "verdict": "undecided" if is_forming(frames, judgement, contrast) else contrast.verdict,
            "word": word(frames, judgement, contrast),
            "seeds_needed": contrast.seeds_needed,
            "exceeds_margin": contrast.exceeds_margin,
            "ended_early": contrast.ended_early,
            "seeds_low": None if contrast.seeds_range is None else contrast.seeds_range.low,
            "seeds_high": None if contrast.seeds_range is None else contrast.seeds_range.high,
        }
        rows.append(shared | summary)
        if contrast.n > _DOTS:
            continue
        pairs = zip(contrast.sample.seeds, contrast.sample.differences, strict=True)
        rows += [shared | {"seed": seed, "difference": difference} for seed, difference in pairs]
    return pd.DataFrame(rows, columns=_COLUMNS)


def draw(table: pd.DataFrame, config: Config) -> "Figure":
    """One line per contrast, in the plan's order from the top."""
    from analysis import style

    with style.styled():
        contrasts = table[table["seed"].isna()].reset_index(drop=True)
        if contrasts.empty:
            return style.nothing_to_draw("No contrast: the study has only its baseline.")
        figure, axes = _axes_beside_text(contrasts)
        margin = float(contrasts["margin"].iloc[0])
        axes.axvspan(-margin, margin, color=style.BAND, linewidth=0)
        axes.axvline(0, color=style.MUTED, linewidth=0.6)
        records = contrasts.to_dict("records")
        for row, contrast in enumerate(records):
            seeds = table[(table["cell"] == contrast["cell"]) & table["seed"].notna()]["difference"]
            _draw_contrast(axes, row, contrast, seeds.to_numpy(dtype=float))
        axes.set_yticks(range(len(contrasts)), [_label(record) for record in records])
        axes.set_ylim(len(contrasts) - 0.5, -0.5)
        axes.tick_params(axis="y", length=0, labelsize=_TEXT)
        axes.spines["left"].set_visible(False)
        axes.set_xlabel(_x_label(contrasts), **style.MATH)
        axes.margins(x=0.06)
        _write_columns(figure, axes, records)
        return figure


def caption(table: pd.DataFrame, config: Config) -> str:
    """What the marks mean, and at which level."""
    contrasts = table[table["seed"].isna()]
    if contrasts.empty:
        return "Effects: the study has no cell to compare with its baseline."
    info = metric_info(str(contrasts["metric"].iloc[0]))
    few, many = int(contrasts["n"].min()), int(contrasts["n"].max())
    pairs = plural(many, "pair") if few == many else f"{few} to {many} pairs"
    lowest, highest = contrasts["level"].min(), contrasts["level"].max()
    levels = f"{100 * lowest:.3g}" if lowest == highest else f"{100 * lowest:.3g} to {100 * highest:.3g}"
    unit = str(contrasts["unit"].iloc[0])
    dots = f"Small dots are {unit}s, large dots their mean" if many <= _DOTS else "Dots are means"
    return (
        f"Effects on {info.label} against {contrasts['reference'].iloc[0]}, paired by {unit} "
        f"({pairs}). {dots}, bars t intervals that all cover "
        f"at once ({levels} % each), the band the margin of ±{contrasts['margin'].iloc[0]:g} below which a difference "
        "does not matter. Right is better."
    )


def _axes_beside_text(contrasts: pd.DataFrame) -> "tuple[Figure, Axes]":
    """Axes between the labels on the left and two columns of text on the right, placed in inches."""
    from analysis import style

    records = contrasts.to_dict("records")
    height = 0.8 + 0.27 * len(contrasts)
    right = (
        style.text_width(map(_numbers, records), _TEXT)
        + style.text_width(map(_verdict, records), _TEXT)
        + 0.3
    )
    left = style.text_width([_label(record) for record in records], _TEXT) + 0.12
    plot = max(1.2, style.TEXT_WIDTH - left - right)
    width = left + plot + right
    figure = style.new_figure(width, height, w_pad=None)
    axes = figure.add_axes((left / width, 0.48 / height, plot / width, (height - 0.7) / height))
    axes.locator_params(axis="x", nbins=min(6, int(plot / _TICK_WIDTH)))
    return figure, axes


def _write_columns(figure: "Figure", axes: "Axes", records: Sequence[Mapping[Hashable, Any]]) -> None:
    """Numbers and verdicts beside the plot, under small headings."""
    from matplotlib.transforms import ScaledTranslation

    from analysis import style

    gap = style.text_width(map(_numbers, records), _TEXT) + 0.22
    for inches, heading, text in ((0.1, "difference [interval]", _numbers), (gap, "verdict", _verdict)):
        shift = ScaledTranslation(inches, 0, figure.dpi_scale_trans)
        beside = axes.get_yaxis_transform() + shift
        for row, record in enumerate(records):
            colour = style.VERDICT_COLOURS[record["verdict"]] if text is _verdict else style.INK
            axes.text(1, row, text(record), transform=beside, va="center", fontsize=_TEXT, color=colour)
        above = axes.text(1, 1.02, heading, transform=axes.transAxes + shift, va="bottom", fontsize=7)
        above.set(color=style.MUTED, style="italic")


def _draw_contrast(axes: "Axes", y: float, contrast: Mapping[Hashable, Any], seeds: FloatArray) -> None:
    from analysis import style

    colour = style.VERDICT_COLOURS[contrast["verdict"]]
    axes.plot(seeds, np.full(len(seeds), y + 0.25), "o", color=colour, alpha=0.45, markersize=2.2, mew=0)
    if contrast["n"]:
        axes.plot([contrast["low"], contrast["high"]], [y, y], color=colour, linewidth=1.4)
        fill = "white" if contrast["verdict"] == "undecided" else colour
        axes.plot([contrast["difference"]], [y], "o", color=colour, markersize=5, markerfacecolor=fill)


def _label(contrast: Mapping[Hashable, Any]) -> str:
    """The cell's label, broken where a single line would leave no room for the plot."""
    return "\n".join(wrap(str(contrast["label"]), _LABEL_LETTERS, break_on_hyphens=False))


def _numbers(contrast: Mapping[Hashable, Any]) -> str:
    if not contrast["n"]:
        return "no pair"
    return with_interval(contrast["difference"], contrast["low"], contrast["high"])


def _verdict(contrast: Mapping[Hashable, Any]) -> str:
    lost = int(contrast["num_failed"])
    word = str(contrast["word"])
    for words, short in _SHORT.items():  # beside the plot there is room for few letters
        word = word.replace(words, short)
    return f"{word}, {lost} failed" if lost else word


def _x_label(contrasts: pd.DataFrame) -> str:
    info = metric_info(str(contrasts["metric"].iloc[0]))
    reference = str(contrasts["reference"].iloc[0]).replace("$", r"\$")  # beside mathematics
    return improvement_label(info, reference, info.plot_label[:-2])


def improvement_label(metric: MetricInfo, reference: str, label: str) -> str:
    """What a difference on the metric, called `label`, is a difference of."""
    turned = "" if metric.higher_is_better else ", lower is better so reference − cell"
    return f"Improvement over {reference}: {label}{turned}"


FIGURE = FigureKind(config=Config, compute=compute, draw=draw, caption=caption)
