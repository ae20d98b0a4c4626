"""How much of the way to the true edit was gone, perceptually."""

from torch import Tensor

from trainables.metrics._base import EditBatch, Metric


def _compute(batch: EditBatch) -> Tensor | None:
    if batch.counterfactual is None:
        return None
    before = batch.distance(batch.reconstruction.pixels, batch.counterfactual.pixels)
    after = batch.distance(batch.edit.pixels, batch.counterfactual.pixels)
    return 1 - after / before


METRIC = Metric(
    name="counterfactual_gain",
    label="Counterfactual gain",
    unit="share of the distance",
    higher_is_better=True,
    description="1 - d(edit, true edit) / d(reconstruction, true edit) in the features of the domain's CLIP. "
    "1 is the true edit, 0 is doing nothing; destroying the image is negative.",
    compute=_compute,
)
