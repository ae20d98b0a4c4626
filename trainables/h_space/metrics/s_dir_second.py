"""S_dir in a CLIP that the editor was not trained with."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trainables.h_space.losses import directional_loss
from trainables.h_space.metrics._base import EditBatch, ImageMetric, Pictures

if TYPE_CHECKING:
    from torch import Tensor


def along_second(edit: Pictures, start: Pictures, direction: Tensor | None) -> Tensor | None:
    """Cosine of the second CLIP's image direction, start to edit, and its text direction: (B,)."""
    if edit.second is None or start.second is None or direction is None:
        return None
    return 1 - directional_loss(edit.second, start.second, direction)


def _compute(batch: EditBatch) -> Tensor | None:
    return along_second(batch.edit, batch.original, batch.second_direction)


METRIC = ImageMetric(
    name="s_dir_second",
    label="S_dir, second CLIP",
    unit="cosine",
    higher_is_better=True,
    description="As s_dir, in the domain's second CLIP, which no editor was trained with, and with the bare texts: the "
    "published evaluation (ViT-L/14, no templates).",
    needs=("second_clip",),
    compute=_compute,
)
