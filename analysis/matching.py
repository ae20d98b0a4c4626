"""Comparing changes of the same size: a metric where another one reaches a given value, along a sweep.

Leaving an item as it is wins every distance, so FID, L1 and the like mean something only between changes that
do equally much. Along the sweep of a coordinate both the size of the change and its distances are known at a few
places; between them they are interpolated.
"""

from dataclasses import dataclass

import numpy as np

from analysis.stats import FloatArray


@dataclass(frozen=True)
class Match:
    """A metric at a matched place; all NaN where the sweep does not reach it."""

    value: float
    at: float
    """Where on the sweep it is."""
    interpolation_error: float
    """How far a smooth interpolation (monotone cubic) is from the linear one: NaN below three places."""


def match(
    sweep: FloatArray, size: FloatArray, metric: FloatArray, target: float, start: float = 0.0
) -> Match:
    """`metric` where `size` first reaches `target`, going up from the smallest place of the sweep from `start` on.

    All three (n,); linear between measured places, so that a metric that is linear in `size` is recovered
    exactly.
    """
    nowhere = Match(np.nan, np.nan, np.nan)
    usable = np.isfinite(size) & np.isfinite(metric) & (sweep >= start)
    order = np.argsort(sweep[usable])
    s, x, y = (values[usable][order] for values in (sweep, size, metric))
    hit = np.flatnonzero(x == target)
    crossed = np.flatnonzero((x[:-1] < target) & (x[1:] >= target)) if len(x) > 1 else hit[:0]
    if len(hit) and (not len(crossed) or hit[0] <= crossed[0]):
        return Match(float(y[hit[0]]), float(s[hit[0]]), 0.0)
    if not len(crossed):
        return nowhere
    k = int(crossed[0])
    part = (target - x[k]) / (x[k + 1] - x[k])
    value = float(y[k] + part * (y[k + 1] - y[k]))
    return Match(value, float(s[k] + part * (s[k + 1] - s[k])), _smooth_gap(s, x, y, k, target, value))


def reach(sweep: FloatArray, size: FloatArray, start: float = 0.0) -> tuple[float, float]:
    """(size at the smallest place of the sweep from `start` on, largest size from there on); NaN without any."""
    usable = np.isfinite(size) & (sweep >= start)
    if not usable.any():
        return np.nan, np.nan
    own = size[usable][np.argsort(sweep[usable])]
    return float(own[0]), float(own.max())


def _smooth_gap(s: FloatArray, x: FloatArray, y: FloatArray, k: int, target: float, linear: float) -> float:
    """|linear - smooth| at the target, between places k and k + 1."""
    from scipy.interpolate import PchipInterpolator  # Both take long, and a plan imports this module.
    from scipy.optimize import brentq

    if len(s) < 3:
        return np.nan
    size, metric = PchipInterpolator(s, x), PchipInterpolator(s, y)
    if x[k + 1] == target:
        return 0.0
    place = float(brentq(lambda place: float(size(place)) - target, s[k], s[k + 1]))
    gap = abs(float(metric(place)) - linear)
    return gap if gap > 1e-12 * float(np.abs(y).max()) else 0.0  # Rounding is no curvature.
