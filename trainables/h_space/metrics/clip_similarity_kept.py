"""How alike original and edit are to the training CLIP, apart from the attribute's text direction."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trainables.h_space.metrics._base import EditBatch, ImageMetric

if TYPE_CHECKING:
    from torch import Tensor


def _compute(batch: EditBatch) -> Tensor:
    from torch.nn import functional

    edit, original = (
        without(pictures.embedding, batch.text_direction) for pictures in (batch.edit, batch.original)
    )
    return functional.cosine_similarity(edit, original, dim=1)


def without(embedding: Tensor, direction: Tensor) -> Tensor:
    """The embeddings (B, D) less their part along a unit direction (D,)."""
    return embedding - (embedding @ direction)[:, None] * direction


METRIC = ImageMetric(
    name="clip_similarity_kept",
    label="CLIP similarity kept, beside the attribute",
    unit="cosine",
    higher_is_better=True,
    description="Cosine between the CLIP embeddings of original and edit once the attribute's text direction is "
    "projected out of both. No face recognition is involved: all that the CLIP sees beyond that one "
    "direction counts. Doing nothing gives the model's own reconstruction.",
    is_of_trainer=True,
    compute=_compute,
)
