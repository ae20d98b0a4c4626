"""How much the edit moves every other attribute."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trainables.h_space.metrics._base import EditBatch, ImageMetric

if TYPE_CHECKING:
    from torch import Tensor


def _compute(batch: EditBatch) -> Tensor | None:
    if batch.other_directions is None or len(batch.other_directions) == 0:
        return None
    return attribute_shifts(batch, batch.other_directions).abs().mean(dim=1)


def attribute_shifts(batch: EditBatch, directions: Tensor) -> Tensor:
    """Cosine with each text direction (K, D) of the edit minus that of the reconstruction: (B, K)."""
    return (batch.edit.embedding - batch.reconstruction.embedding) @ directions.T


METRIC = ImageMetric(
    name="leakage",
    label="Leakage, training CLIP",
    unit="change of cosine",
    higher_is_better=False,
    description="Mean absolute change, reconstruction to edit, of the cosine between the CLIP embedding and the text "
    "directions of the domain's attributes of other families (not the other emotions for an emotion). The shift along "
    "each attribute is in the column `attribute_shifts`. Text directions are not orthogonal, so the true edit leaks "
    "too; doing nothing gives 0.",
    reference="reconstruction",
    is_of_trainer=True,
    compute=_compute,
)
