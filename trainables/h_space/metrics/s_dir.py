"""S_dir: does the image move the way the text says?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from trainables.h_space.losses import directional_loss
from trainables.h_space.metrics._base import EditBatch, ImageMetric

if TYPE_CHECKING:
    from torch import Tensor


def _compute(batch: EditBatch) -> Tensor:
    return 1 - directional_loss(batch.edit.embedding, batch.original.embedding, batch.text_direction)


METRIC = ImageMetric(
    name="s_dir",
    label="S_dir",
    unit="cosine",
    higher_is_better=True,
    description="Cosine between the CLIP image direction, original to edit, and the text direction "
    "(Kwon et al. 2023, section 5.2). A similarity: the published Table 2 printed its complement.",
    is_of_trainer=True,
    compute=_compute,
)
