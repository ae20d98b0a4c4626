"""Do the parts of the face stay where the reconstruction has them?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from trainables.h_space.metrics._base import EditBatch, ImageMetric
from trainables.h_space.metrics.segmentation_consistency import mean_iou

if TYPE_CHECKING:
    from torch import Tensor


def _compute(batch: EditBatch) -> Tensor | None:
    if batch.edit.parts is None or batch.reconstruction.parts is None:
        return None
    return mean_iou(batch.reconstruction.parts, batch.edit.parts)


METRIC = ImageMetric(
    name="segmentation_consistency_from_reconstruction",
    label="Segmentation consistency, from reconstruction",
    unit="mean intersection over union",
    higher_is_better=True,
    description="As segmentation_consistency, between the unedited reconstruction and the edit, both as the segmenter "
    "sees them. Doing nothing gives 1.",
    reference="reconstruction",
    needs=("segmenter",),
    is_optional=True,
    compute=_compute,
)
