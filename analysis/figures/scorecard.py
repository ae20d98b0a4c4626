"""The claims of the space, each with its published numbers, ours, and the verdict."""

from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd

from analysis.claims import ClaimResult
from analysis.contrasts import judge_study
from analysis.figures._base import FigureConfig, FigureKind
from analysis.figures._text import TextTable
from analysis.frames import StudyFrames
from analysis.labels import metric_info, number, place_label, with_interval
from analysis.measurements import values_over

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_AS_A_VERDICT = {"supported": "helps", "contradicted": "hurts", "undecided": "undecided"}
"""Whose colour a claim's verdict has."""
_MARKS = {"supported": "✓", "contradicted": "✗", "undecided": "?"}
_COLUMNS = [
    *["claim", "source", "metric", "comparison", "at", "verdict", "published_metric"],
    *["published_better", "published_worse", "better", "worse", "difference", "low", "high", "n", "p_holm"],
    *["same_direction", "note"],
]


class Config(FigureConfig):
    """All claims of the space."""

    kind: Literal["scorecard"]

    def default_name(self) -> str:
        """`scorecard`."""
        return "scorecard"

    def heading(self) -> str:
        """`Published claims`."""
        return "Published claims beside these results"


def compute(frames: StudyFrames, config: Config) -> pd.DataFrame:
    """A row per claim: published numbers of both sides, our means over seeds, our paired difference, the verdict.

    `difference` is positive where the side that is claimed to be better is better. `same_direction` compares
    signs only, and is None where one of the two is not known.
    """
    rows = [_row(frames, claim) for claim in judge_study(frames).claims]
    return pd.DataFrame(rows, columns=_COLUMNS)


def draw(table: pd.DataFrame, config: Config) -> "Figure":
    """A line per claim: its mark, published numbers, ours, the paired difference and the verdict."""
    from analysis import style

    with style.styled():
        if table.empty:
            return style.nothing_to_draw("The space makes no claims.")
        lines = [_wrapped(str(claim)) for claim in table["claim"]]
        heights = [0.135 * max(2, line.count("\n") + 1) + 0.1 for line in lines]
        height = sum(heights) + 0.3
        figure = style.new_figure(style.TEXT_WIDTH, height, w_pad=None)
        axes = figure.add_axes((0, 0, 1, 1))
        axes.set_axis_off()
        axes.set_xlim(0, style.TEXT_WIDTH)
        axes.set_ylim(height, 0)
        for x, title in (
            (0.22, "claim"),
            (2.2, "published"),
            (3.2, "here"),
            (4.05, "difference [interval]"),
        ):
            axes.text(x, 0.13, title, fontsize=7, color=style.MUTED, style="italic", va="center")
        y = 0.26
        for line, row, tall in zip(lines, table.to_dict("records"), heights, strict=True):
            middle = y + tall / 2
            axes.plot([0, style.TEXT_WIDTH], [y, y], color=style.HAIRLINE, linewidth=0.5)
            colour = style.VERDICT_COLOURS[_AS_A_VERDICT[row["verdict"]]]
            mark = axes.text(
                0.1, middle, _MARKS[row["verdict"]], ha="center", va="center", color=colour, fontsize=9
            )
            mark.set_fontfamily("DejaVu Sans")
            axes.text(0.22, middle, line, va="center", fontsize=7.5, linespacing=1.25)
            axes.text(2.2, middle, _published(row), va="center", fontsize=7.5, linespacing=1.25)
            axes.text(3.2, middle, _ours(row), va="center", fontsize=7.5, linespacing=1.25)
            shown = f"{_difference(row)}\n{_verdict(row)}"
            axes.text(4.05, middle, shown, va="center", fontsize=7.5, linespacing=1.25, color=colour)
            y += tall
        return figure


def caption(table: pd.DataFrame, config: Config) -> str:
    """How claims are judged."""
    if table.empty:
        return "The space makes no claims."
    counts = table["verdict"].value_counts()
    said = ", ".join(f"{counts.get(word, 0)} {word}" for word in ("supported", "contradicted", "undecided"))
    text = (
        f"Claims of the space: {said}. Numbers are those of the side that is claimed to be better, then of the other. "
        "Differences are paired by seed, positive where the claim is right. Supported: surely better by at least the "
        "margin; contradicted: surely not."
    )
    if table["published_metric"].ne("").any():
        text += " Published numbers come from other images and models: compare directions, not sizes."
    return text


def text(table: pd.DataFrame, config: Config) -> TextTable:
    """The scorecard as text."""
    titles = ["claim", "source", "verdict", "published", "here", "metric"]
    titles += ["difference [interval]", "same direction", "n"]
    rows = []
    for row in table.to_dict("records"):
        agrees = {True: "yes", False: "no"}.get(row["same_direction"], "–")
        numbers = [_published(row).replace("\n", ", "), _ours(row), _metric(row), _difference(row)]
        rows.append([row["claim"], row["source"] or "–", _verdict(row), *numbers, agrees, str(row["n"])])
    return TextTable(titles, rows, 6)


def _row(frames: StudyFrames, claim: ClaimResult) -> dict[str, Any]:
    published = dict(claim.published or {})
    contrast = claim.contrast
    better, worse = (_mean(frames, claim, index) for index in (0, 1))
    row: dict[str, Any] = {
        "claim": claim.text,
        "source": claim.source,
        "metric": claim.metric,
        "comparison": claim.comparison,
        "at": place_label(claim.at),
        "verdict": claim.verdict,
        "note": claim.note,
        "published_metric": str(published.get("metric", "")) if published else "",
        "published_better": published.get("better", np.nan),
        "published_worse": published.get("worse", np.nan),
        "better": better,
        "worse": worse,
        "difference": np.nan if contrast is None else contrast.mean,
        "low": np.nan if contrast is None else contrast.interval.low,
        "high": np.nan if contrast is None else contrast.interval.high,
        "n": 0 if contrast is None else contrast.n,
        "p_holm": np.nan if contrast is None else contrast.p_holm,
    }
    # The published side that is called better was better in the published numbers, whatever their direction.
    row["same_direction"] = (
        bool(row["difference"] > 0) if np.isfinite(row["difference"]) and published else None
    )
    return row


def _mean(frames: StudyFrames, claim: ClaimResult, index: int) -> float:
    if claim.cells is None:
        return np.nan
    values = values_over(frames, claim.metric, ["cell"], claim.at)
    return float(values.loc[values["at_cell"] == claim.cells[index], "value"].mean())


def _published(row: dict[Any, Any]) -> str:
    if not np.isfinite(row["published_better"]):
        return "–"
    numbers = f"{number(row['published_better'])} / {number(row['published_worse'])}"
    return numbers + (f"\n{row['published_metric']}" if row["published_metric"] else "")


def _ours(row: dict[Any, Any]) -> str:
    return (
        "not measured"
        if not np.isfinite(row["better"])
        else f"{number(row['better'])} / {number(row['worse'])}"
    )


def _metric(row: dict[Any, Any]) -> str:
    info = metric_info(row["metric"])
    return f"{info.label} {info.arrow}" + (f" at {row['at']}" if row["at"] else "")


def _difference(row: dict[Any, Any]) -> str:
    return (
        "–"
        if not np.isfinite(row["difference"])
        else with_interval(row["difference"], row["low"], row["high"])
    )


def _verdict(row: dict[Any, Any]) -> str:
    return f"{row['verdict']}: {row['note']}" if row["note"] else str(row["verdict"])


def _wrapped(claim: str) -> str:
    import textwrap

    return "\n".join(textwrap.wrap(claim, 36))


FIGURE = FigureKind(config=Config, compute=compute, draw=draw, caption=caption, text=text)
