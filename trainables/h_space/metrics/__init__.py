"""Metrics of an edit: one file each, found by their names."""

from trainables.h_space.metrics._base import (
    NEEDS,
    WEIGHT,
    EditBatch,
    ImageMetric,
    Metric,
    Need,
    Pictures,
    SetMetric,
)
from trainables.registry import discover

METRICS: dict[str, Metric] = discover(__name__, "METRIC", Metric)

__all__ = [
    "METRICS",
    "NEEDS",
    "WEIGHT",
    "EditBatch",
    "ImageMetric",
    "Metric",
    "Need",
    "Pictures",
    "SetMetric",
]
