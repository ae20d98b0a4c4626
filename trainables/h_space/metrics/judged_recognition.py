"""Does a judge that trained no editor read the attribute's labels in the edit?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from trainables.h_space.metrics._base import EditBatch, ImageMetric

if TYPE_CHECKING:
    from torch import Tensor


def _compute(batch: EditBatch) -> Tensor | None:
    judge, seen = batch.judge, batch.edit.judged
    if judge is None or seen is None or not batch.redraw or not batch.redraw.keys() <= judge.labels.keys():
        return None
    odds = judge.odds(seen)
    is_read = [
        odds[name].argmax(dim=1) == judge.place_of(name, value) for name, value in batch.redraw.items()
    ]
    found = is_read[0]
    for one in is_read[1:]:
        found = found & one
    return found.float()


METRIC = ImageMetric(
    name="judged_recognition",
    label="Recognised, judge",
    unit="share of images",
    higher_is_better=True,
    description="The domain's judge, a network that trained no editor, reads the attribute's labels in the edit: of "
    "all emotions the wanted one, of all kinds the wanted one.",
    needs=("labels", "judge"),
    compute=_compute,
)
