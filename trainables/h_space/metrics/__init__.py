"""Metrics of an edit: one file each, found by their names; those of plugins too."""

from trainables.h_space.metrics._base import (
    NEEDS,
    WEIGHT,
    EditBatch,
    ImageMetric,
    Metric,
    Need,
    Pictures,
    SetMetric,
    fault,
    only_where_named,
)
from trainables.registry import Registry

METRICS: Registry[Metric] = Registry(
    "metric", __name__, "METRIC", Metric, fault=fault, when_installed=only_where_named
)

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
