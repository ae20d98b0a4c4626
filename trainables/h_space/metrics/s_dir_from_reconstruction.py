"""S_dir measured from the reconstruction, which leaves the model's own drift out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trainables.h_space.losses import directional_loss
from trainables.h_space.metrics._base import EditBatch, ImageMetric

if TYPE_CHECKING:
    from torch import Tensor


def _compute(batch: EditBatch) -> Tensor:
    return 1 - directional_loss(batch.edit.embedding, batch.reconstruction.embedding, batch.text_direction)


METRIC = ImageMetric(
    name="s_dir_from_reconstruction",
    label="S_dir from reconstruction",
    unit="cosine",
    higher_is_better=True,
    description="As s_dir, but from the unedited reconstruction to the edit. At strength 0 nothing moves and it is 0.",
    reference="reconstruction",
    is_of_trainer=True,
    compute=_compute,
)
