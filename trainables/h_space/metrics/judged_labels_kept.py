"""Is it still the same face in all that the true edit leaves as it is?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from trainables.h_space.metrics._base import EditBatch, ImageMetric
from trainables.h_space.metrics.judged_leakage import labels_left, mean_where

if TYPE_CHECKING:
    from torch import Tensor


def _compute(batch: EditBatch) -> Tensor | None:
    import torch

    judge, kept = batch.judge, labels_left(batch)
    original, edit = batch.original.judged, batch.edit.judged
    if judge is None or kept is None or original is None or edit is None:
        return None
    pairs = zip(judge.odds(original).values(), judge.odds(edit).values(), strict=True)
    is_same = torch.stack([one.argmax(dim=1) == other.argmax(dim=1) for one, other in pairs], dim=1)
    return mean_where(is_same.float(), kept)


METRIC = ImageMetric(
    name="judged_labels_kept",
    label="Identity: labels kept, judge",
    unit="share of labels",
    higher_is_better=True,
    description="Of the labels that the true edit leaves as they are (gender, hair, glasses, ...), the share that the "
    "domain's judge reads in the edit as in the original. Doing nothing gives that of the reconstruction.",
    needs=("counterfactual", "judge"),
    compute=_compute,
)
