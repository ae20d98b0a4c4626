"""S_dir in a second CLIP, measured from the reconstruction."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trainables.h_space.metrics._base import EditBatch, ImageMetric
from trainables.h_space.metrics.s_dir_second import along_second

if TYPE_CHECKING:
    from torch import Tensor


def _compute(batch: EditBatch) -> Tensor | None:
    return along_second(batch.edit, batch.reconstruction, batch.second_direction)


METRIC = ImageMetric(
    name="s_dir_second_from_reconstruction",
    label="S_dir from reconstruction, second CLIP",
    unit="cosine",
    higher_is_better=True,
    description="As s_dir_second, but from the unedited reconstruction to the edit.",
    reference="reconstruction",
    needs=("second_clip",),
    compute=_compute,
)
