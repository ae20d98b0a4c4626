"""Training curves as lines: smoothing, means over seeds with their interval, and thinning that keeps extremes."""

from collections.abc import Sequence

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from analysis.stats import FloatArray, t_quantile

LEVEL = 0.95
"""Of the interval around a mean curve."""


def usual_window(num_points: int) -> int:
    """Points of the moving average where nothing else is asked: a twentieth of the curve."""
    return max(1, num_points // 20)


def trailing_mean(values: FloatArray, window: int) -> FloatArray:
    """Means of the (n - window + 1,) full windows; NaN for a window that holds one.

    Full windows only: a shrinking one at the ends would mix smoothings in one line.
    """
    return np.asarray(sliding_window_view(values, window).mean(axis=1))


def at_shared_places(curves: Sequence[tuple[FloatArray, FloatArray]]) -> tuple[FloatArray, FloatArray]:
    """Places (points,) from where all curves have begun to where one ends, and the curves there (seeds, points).

    Curves are (x ascending, y). The places are those of all; between two of its own a curve is a straight line. Scripts
    log where they like: an evaluation every hundred steps falls into another epoch with every seed.
    """
    first = curves[0][0]
    if all(np.array_equal(x, first) for x, _ in curves):  # the usual case, at a tenth of the time
        return first, np.stack([y for _, y in curves])
    begin, end = max(x[0] for x, _ in curves), min(x[-1] for x, _ in curves)
    places = np.unique(np.concatenate([x for x, _ in curves]))
    places = places[(begin <= places) & (places <= end)]
    return places, np.stack([np.interp(places, x, y) for x, y in curves])


def mean_with_interval(seeds: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Mean, low and high, each (points,), of (seeds, points): the t interval of the mean, NaN for one seed."""
    count = len(seeds)
    mean = seeds.mean(axis=0)
    half = t_quantile(LEVEL, count) * seeds.std(axis=0, ddof=1) / count**0.5 if count > 1 else np.nan
    return mean, mean - half, mean + half


def extremes(values: FloatArray, num_points: int) -> NDArray[np.int64]:
    """(buckets, 2) indices of the lowest and highest value of each of `num_points // 2` stretches, in ascending order.

    A line through these points looks like the line through all: no peak is lost. A stretch of NaN gives its first value
    twice. Raises ValueError where there are fewer values than stretches.
    """
    buckets = num_points // 2
    if len(values) < buckets:
        raise ValueError(f"expected at least {buckets} values; found {len(values)}")
    width = -(-len(values) // buckets)
    # Stretches overlap a little where the length is no multiple, so that all have one width and one array holds them.
    starts = np.linspace(0, len(values) - width, buckets).round().astype(np.int64)
    stretches = values[starts[:, None] + np.arange(width)]
    lowest = np.where(np.isnan(stretches), np.inf, stretches).argmin(axis=1)
    highest = np.where(np.isnan(stretches), -np.inf, stretches).argmax(axis=1)
    return np.asarray(starts[:, None] + np.sort(np.stack([lowest, highest], axis=1), axis=1))
