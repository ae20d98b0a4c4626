"""How much of the way to the true edit was gone, in pixels."""

from torch import Tensor

from trainables.metrics._base import EditBatch, Metric


def _compute(batch: EditBatch) -> Tensor | None:
    if batch.counterfactual is None:
        return None
    before = (batch.reconstruction.pixels - batch.counterfactual.pixels).abs().mean(dim=(1, 2, 3))
    after = (batch.edit.pixels - batch.counterfactual.pixels).abs().mean(dim=(1, 2, 3))
    return 1 - after / before


METRIC = Metric(
    name="counterfactual_gain_pixels",
    label="Counterfactual gain, pixels",
    unit="share of the distance",
    higher_is_better=True,
    description="As counterfactual_gain, with the mean absolute pixel difference as the distance.",
    compute=_compute,
)
