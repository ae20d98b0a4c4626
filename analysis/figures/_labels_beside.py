"""Names beside points that cover neither points nor each other."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import pandas as pd

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.transforms import Bbox

_PLACES = [(5, 4, "left", "bottom"), (-5, 4, "right", "bottom"), (5, -4, "left", "top"), (-5, -4, "right", "top"),
           (0, 9, "center", "bottom"), (0, -9, "center", "top"), (5, 14, "left", "bottom"), (-5, 14, "right", "bottom"),
           (5, -14, "left", "top"), (-5, -14, "right", "top")]  # fmt: skip
"""Points from a dot, and how a name is aligned there, in the order of preference."""


def label_points(figure: "Figure", panel: "Axes", x: pd.Series, y: pd.Series, labels: Sequence[str]) -> None:
    """Write each label at the first place around its point where it overlaps nothing already placed."""
    from matplotlib.transforms import Bbox

    figure.canvas.draw()  # Positions are known only after a layout.
    inside = panel.get_window_extent()
    dots = panel.transData.transform(list(zip(x.astype(float), y.astype(float), strict=True)))
    taken = [Bbox.from_extents(px - 5, py - 5, px + 5, py + 5) for px, py in dots]
    for (px, py), label in zip(zip(x, y, strict=True), labels, strict=True):
        best, least = None, None
        for dx, dy, ha, va in _PLACES:
            text = panel.annotate(
                label, (px, py), (dx, dy), textcoords="offset points", ha=ha, va=va, fontsize=7.5
            )
            box = text.get_window_extent()
            overlap = sum(_overlap(box, other) for other in taken) + 4 * (
                box.width * box.height - _overlap(box, inside)
            )
            if least is None or overlap < least:
                if best is not None:
                    best.remove()
                best, least = text, overlap
            else:
                text.remove()
            if overlap == 0:
                break
        assert best is not None
        taken.append(best.get_window_extent())


def _overlap(first: "Bbox", second: "Bbox") -> float:
    width = min(first.x1, second.x1) - max(first.x0, second.x0)
    height = min(first.y1, second.y1) - max(first.y0, second.y0)
    return max(0.0, float(width)) * max(0.0, float(height))
