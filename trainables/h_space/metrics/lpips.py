"""How far the picture moved, by LPIPS."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trainables.h_space.metrics._base import EditBatch, ImageMetric

if TYPE_CHECKING:
    from torch import Tensor


def _compute(batch: EditBatch) -> Tensor | None:
    if batch.lpips is None:
        return None
    return batch.lpips(batch.edit.pixels.clamp(-1, 1), batch.reconstruction.pixels.clamp(-1, 1))


METRIC = ImageMetric(
    name="lpips",
    label="LPIPS to reconstruction",
    unit="LPIPS, AlexNet",
    higher_is_better=False,
    description="LPIPS (Zhang et al. 2018) with AlexNet between edit and unedited reconstruction. Domains without its "
    "weights have feature_distance instead. Doing nothing gives 0.",
    reference="reconstruction",
    needs=("lpips",),
    is_optional=True,
    compute=_compute,
)
