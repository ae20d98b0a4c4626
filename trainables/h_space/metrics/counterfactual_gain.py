"""How much of the way to the true edit was gone, perceptually."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trainables.h_space.metrics._base import EditBatch, ImageMetric

if TYPE_CHECKING:
    from torch import Tensor


def _before(batch: EditBatch) -> Tensor | None:
    """d(reconstruction, true edit): how far there is to go."""
    if batch.counterfactual is None:
        return None
    return batch.distance(batch.reconstruction.pixels, batch.counterfactual.pixels)


def _compute(batch: EditBatch) -> Tensor | None:
    before = _before(batch)
    if batch.counterfactual is None or before is None:
        return None
    return 1 - batch.distance(batch.edit.pixels, batch.counterfactual.pixels) / before


METRIC = ImageMetric(
    name="counterfactual_gain",
    label="Counterfactual gain, training CLIP",
    unit="share of the distance",
    higher_is_better=True,
    description="1 - d(edit, true edit) / d(reconstruction, true edit) in the features of the domain's CLIP. "
    "1 is the true edit, 0 is doing nothing; destroying the image is negative. Over images it is the ratio of the "
    "mean distances, that is, each gain weighs as much as there was to go: a face that needs hardly any edit would "
    "otherwise outweigh all others.",
    reference="reconstruction",
    needs=("counterfactual",),
    is_of_trainer=True,
    compute=_compute,
    weight=_before,
)
