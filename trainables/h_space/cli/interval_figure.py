"""The perceptual-distance curves of a domain, with the t_edit and t_boost that they give."""

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from analysis import style
from analysis.labels import value_label

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


COLUMNS = 5
"""Columns of the legend."""
LINE = 0.16
"""Inches; a line of the legend."""
MAX_HUES = 5
"""More attributes than this are told apart by the order of their thresholds, dark to light."""


def draw_interval(
    timesteps: Sequence[int],
    predicted: NDArray[np.float64],
    noisy: NDArray[np.float64],
    t_edits: Mapping[str, tuple[float, int]],
    t_boost: tuple[float, int] | None,
    distance: str,
) -> "Figure":
    """Two panels, P_t and x_t against their image; curves are (images, timesteps), mean and one standard deviation.

    `t_edits` is attribute -> (threshold, t); `t_boost` (threshold, t), or None where the curve never gets there;
    `distance` what all of it is measured by, written above.
    """
    with style.styled():
        figure = style.new_figure(style.TEXT_WIDTH, 2.4 + LINE * math.ceil(len(t_edits) / COLUMNS))
        figure.suptitle(f"Distance by {distance}", fontsize="medium")
        left, right = figure.subplots(1, 2)
        _draw_curve(left, timesteps, predicted, "distance of $P_t$ to its image")
        ranked = sorted(t_edits, key=lambda name: t_edits[name])
        colours = style.line_styles(ranked if len(ranked) <= MAX_HUES else range(len(ranked)))
        for name, colour in zip(ranked, colours.values(), strict=True):
            threshold, t = t_edits[name]
            _mark(left, threshold, t, colour["color"], f"{value_label(name)} {t}")
        figure.legend(*left.get_legend_handles_labels(), loc="outside lower center", ncols=COLUMNS)
        _draw_curve(right, timesteps, noisy, "distance of $x_t$ to its image")
        if t_boost is not None:
            threshold, t = t_boost
            _mark(right, threshold, t, style.CATEGORIES[0], f"$t_{{boost}}$ {t}")
            for text in right.legend(loc="lower right").get_texts():
                text.set_parse_math(True)
    return figure


def _draw_curve(axes: "Axes", timesteps: Sequence[int], distances: NDArray[np.float64], label: str) -> None:
    mean, std = distances.mean(axis=0), distances.std(axis=0)
    axes.fill_between(timesteps, mean - std, mean + std, color=style.BAND, linewidth=0)
    axes.plot(timesteps, mean, color=style.INK)
    axes.set_xlim(0, timesteps[-1])
    axes.set_ylim(bottom=0)
    axes.set_xlabel("t")
    axes.set_ylabel(label, **style.MATH)


def _mark(axes: "Axes", threshold: float, t: int, colour: str, label: str) -> None:
    """A hairline from the axis to the curve, down to t, and a dot where they meet."""
    axes.plot([0, t, t], [threshold, threshold, 0], color=colour, linewidth=0.6)
    axes.plot([t], [threshold], "o", color=colour, markersize=3, label=label)
