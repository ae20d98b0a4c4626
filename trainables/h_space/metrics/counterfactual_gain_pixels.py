"""How much of the way to the true edit was gone, in pixels."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trainables.h_space.metrics._base import EditBatch, ImageMetric

if TYPE_CHECKING:
    from torch import Tensor


def _before(batch: EditBatch) -> Tensor | None:
    """d(reconstruction, true edit): how far there is to go."""
    if batch.counterfactual is None:
        return None
    return (batch.reconstruction.pixels - batch.counterfactual.pixels).abs().mean(dim=(1, 2, 3))


def _compute(batch: EditBatch) -> Tensor | None:
    before = _before(batch)
    if batch.counterfactual is None or before is None:
        return None
    return 1 - (batch.edit.pixels - batch.counterfactual.pixels).abs().mean(dim=(1, 2, 3)) / before


METRIC = ImageMetric(
    name="counterfactual_gain_pixels",
    label="Counterfactual gain, pixels",
    unit="share of the distance",
    higher_is_better=True,
    description="As counterfactual_gain, with the mean absolute pixel difference as the distance.",
    reference="reconstruction",
    needs=("counterfactual",),
    compute=_compute,
    weight=_before,
)
