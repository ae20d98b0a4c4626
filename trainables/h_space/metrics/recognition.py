"""Is the attribute recognised in the edit?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from trainables.h_space.metrics._base import EditBatch, ImageMetric

if TYPE_CHECKING:
    from torch import Tensor


def _compute(batch: EditBatch) -> Tensor:
    similarity = batch.edit.embedding @ batch.rival_texts.T  # (B, K)
    return (similarity.argmax(dim=1) == 0).float()


METRIC = ImageMetric(
    name="recognition",
    label="Recognised, training CLIP",
    unit="share of images",
    higher_is_better=True,
    description="Zero-shot CLIP picks the target text over the source text and over the attributes of the same "
    "family (the other emotions, the other kinds, ...).",
    is_of_trainer=True,
    compute=_compute,
)
