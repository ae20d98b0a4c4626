"""Metrics of an edit: one file each, found by their names."""

from trainables.metrics._base import EditBatch, Metric, Pictures
from trainables.registry import discover

METRICS: dict[str, Metric] = discover(__name__, "METRIC", Metric)

__all__ = ["METRICS", "EditBatch", "Metric", "Pictures"]
