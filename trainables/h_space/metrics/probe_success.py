"""Does a probe trained on labels find the attribute in the edit?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from trainables.h_space.metrics._base import EditBatch, ImageMetric

if TYPE_CHECKING:
    from torch import Tensor


def _compute(batch: EditBatch) -> Tensor | None:
    if batch.probe is None:
        return None
    return (batch.probe(batch.edit.embedding) > 0).float()


METRIC = ImageMetric(
    name="probe_success",
    label="Found by the label probe",
    unit="share of images",
    higher_is_better=True,
    description="A linear probe on the image embeddings of the domain's CLIP, fitted in closed form to labelled or "
    "drawn training images, finds the attribute. Unlike recognition it asks no text.",
    needs=("labels",),
    is_of_trainer=True,
    compute=_compute,
)
