"""How much of the way to the true edit was gone, to a judge that trained no editor."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trainables.h_space.metrics._base import EditBatch, ImageMetric, Pictures

if TYPE_CHECKING:
    from torch import Tensor


def _to_true_edit(batch: EditBatch, pictures: Pictures) -> Tensor | None:
    """d(pictures, true edit), (B,)."""
    goal = batch.counterfactual
    if batch.judge is None or goal is None or goal.judged is None or pictures.judged is None:
        return None
    return batch.judge.distance(pictures.judged, goal.judged)


def _before(batch: EditBatch) -> Tensor | None:
    """d(reconstruction, true edit): how far there is to go."""
    return _to_true_edit(batch, batch.reconstruction)


def _compute(batch: EditBatch) -> Tensor | None:
    before, left = _before(batch), _to_true_edit(batch, batch.edit)
    return None if before is None or left is None else 1 - left / before


METRIC = ImageMetric(
    name="judged_gain",
    label="Gain towards the true edit, judge",
    unit="share of the distance",
    higher_is_better=True,
    description="1 - d(edit, true edit) / d(reconstruction, true edit) in the features of the domain's judge, a "
    "network that trained no editor. 1 is the true edit, 0 is doing nothing; destroying the image is negative. Over "
    "images it is the ratio of the mean distances, as for counterfactual_gain.",
    reference="reconstruction",
    needs=("counterfactual", "judge"),
    compute=_compute,
    weight=_before,
)
