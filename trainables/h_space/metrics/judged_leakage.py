"""How much the edit moves what a judge reads of the labels that the true edit leaves."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trainables.h_space.metrics._base import EditBatch, ImageMetric

if TYPE_CHECKING:
    from torch import Tensor


def _compute(batch: EditBatch) -> Tensor | None:
    import torch

    judge, kept = batch.judge, labels_left(batch)
    before, after = batch.reconstruction.judged, batch.edit.judged
    if judge is None or kept is None or before is None or after is None:
        return None
    pairs = zip(judge.odds(before).values(), judge.odds(after).values(), strict=True)
    moved = torch.stack([(one - other).abs().sum(dim=1) / 2 for one, other in pairs], dim=1)
    return mean_where(moved, kept)


def labels_left(batch: EditBatch) -> Tensor | None:
    """Which labels the judge reads alike in original and true edit, (B, K) booleans."""
    import torch

    goal = batch.counterfactual
    if batch.judge is None or goal is None or goal.judged is None or batch.original.judged is None:
        return None
    read = (batch.judge.odds(seen).values() for seen in (batch.original.judged, goal.judged))
    pairs = zip(*read, strict=True)
    return torch.stack([one.argmax(dim=1) == other.argmax(dim=1) for one, other in pairs], dim=1)


def mean_where(values: Tensor, is_meant: Tensor) -> Tensor:
    """Mean over labels of (B, K) where (B, K) booleans say so: (B,). 0 where they never do."""
    return (values * is_meant).sum(dim=1) / is_meant.sum(dim=1).clamp(min=1)


METRIC = ImageMetric(
    name="judged_leakage",
    label="Leakage, judge",
    unit="change of probability",
    higher_is_better=False,
    description="How far the judge's probabilities of a label move from reconstruction to edit (total variation, 0 to "
    "1), mean over the labels that the true edit leaves as they are: glasses for a smile, not the hair that a robot "
    "lacks. The true edit gives nearly 0, doing nothing 0.",
    reference="reconstruction",
    needs=("counterfactual", "judge"),
    compute=_compute,
)
