"""How far the picture moved in the domain's perceptual features."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trainables.h_space.metrics._base import EditBatch, ImageMetric

if TYPE_CHECKING:
    from torch import Tensor


def _compute(batch: EditBatch) -> Tensor:
    return batch.distance(batch.edit.pixels, batch.reconstruction.pixels)


METRIC = ImageMetric(
    name="feature_distance",
    label="Feature distance to reconstruction",
    unit="squared distance of unit features",
    higher_is_better=False,
    description="Perceptual distance between edit and unedited reconstruction in the features of the domain's "
    "CLIP. Not LPIPS. Doing nothing gives 0.",
    reference="reconstruction",
    is_of_trainer=True,
    compute=_compute,
)
