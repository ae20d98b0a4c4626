"""Is it still the same person?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from trainables.h_space.metrics._base import EditBatch, ImageMetric

if TYPE_CHECKING:
    from torch import Tensor


def _compute(batch: EditBatch) -> Tensor | None:
    edit, original = batch.edit.identity, batch.original.identity
    return None if edit is None or original is None else (edit * original).sum(1)


METRIC = ImageMetric(
    name="identity_similarity",
    label="Identity similarity",
    unit="cosine",
    higher_is_better=True,
    description="Cosine between what a network of identities, such as ArcFace (Deng et al. 2019), sees in original and "
    "edit, as published evaluations of edited faces have it. Doing nothing gives the model's own reconstruction.",
    needs=("identity",),
    is_optional=True,
    compute=_compute,
)
