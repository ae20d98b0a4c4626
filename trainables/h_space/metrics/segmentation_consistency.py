"""Do the parts of the face stay where they were?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from trainables.h_space.metrics._base import EditBatch, ImageMetric

if TYPE_CHECKING:
    from torch import Tensor


def mean_iou(a: Tensor, b: Tensor) -> Tensor:
    """Intersection over union of two (B, H, W) of parts, averaged over the parts that either shows: (B,)."""
    import torch

    parts = torch.arange(int(max(a.max(), b.max())) + 1, device=a.device).view(-1, 1, 1, 1)
    in_a, in_b = a == parts, b == parts  # (K, B, H, W)
    intersection, union = (in_a & in_b).sum((2, 3)), (in_a | in_b).sum((2, 3))
    shown = union > 0
    return (intersection / union.clamp(min=1)).sum(0) / shown.sum(0)


def _compute(batch: EditBatch) -> Tensor | None:
    if batch.edit.parts is None or batch.original.parts is None:
        return None
    return mean_iou(batch.original.parts, batch.edit.parts)


METRIC = ImageMetric(
    name="segmentation_consistency",
    label="Segmentation consistency",
    unit="mean intersection over union",
    higher_is_better=True,
    description="Mean intersection over union of the parts (skin, hair, mouth, ...) of original and edit (Kwon et al. "
    "2023, SC). The edit's parts are what the domain's segmenter finds; the original's are the true ones "
    "where they can be drawn, so that a perfect reconstruction scores the segmenter's own accuracy.",
    needs=("segmenter",),
    is_optional=True,
    compute=_compute,
)
