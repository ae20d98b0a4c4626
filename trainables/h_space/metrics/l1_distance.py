"""How many pixels changed, whatever for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trainables.h_space.metrics._base import EditBatch, ImageMetric

if TYPE_CHECKING:
    from torch import Tensor


def _compute(batch: EditBatch) -> Tensor:
    return (batch.edit.pixels - batch.reconstruction.pixels).abs().mean(dim=(1, 2, 3))


METRIC = ImageMetric(
    name="l1_distance",
    label="L1 to reconstruction",
    unit="pixel value, range [-1, 1]",
    higher_is_better=False,
    description="Mean absolute difference between edit and unedited reconstruction. Doing nothing gives 0, "
    "so it is read beside a metric of success, never alone.",
    reference="reconstruction",
    compute=_compute,
)
