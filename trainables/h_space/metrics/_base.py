"""What every metric declares and what it is given.

Legend: B images, N images of a whole set, C channels, H x W pixels in [-1, 1], D CLIP width, E width of another CLIP,
F width of the features of a set, K texts, L + F what a judge sees.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal

from trainables.registry import wrong_call

if TYPE_CHECKING:
    from torch import Tensor

    from trainables.h_space.judges import Judge

Need = Literal[
    "counterfactual", "labels", "second_clip", "segmenter", "judge", "inception", "lpips", "identity"
]
"""What a metric needs beyond pictures and the training CLIP. The first two depend on the attribute as well."""
WEIGHT = "_weight"
"""Ends the name of the column that holds each image's weight in a metric's mean."""
NEEDS: dict[Need, str] = {
    "counterfactual": "drawn true edits",
    "labels": "labelled images",
    "second_clip": "a second CLIP model (`clip_eval` in the domain's file)",
    "segmenter": "a segmenter (`segmenter` in the domain's file)",
    "judge": "a judge (`judge` in the domain's file)",
    "inception": "Inception's weights (`inception` in the domain's file)",
    "lpips": "AlexNet's weights for LPIPS (`lpips` in the domain's file)",
    "identity": "a network of identities (`identity` in the domain's file)",
}


@dataclass(frozen=True)
class Pictures:
    """The same B images in pixels and in whatever else they are measured by."""

    pixels: Tensor  # (B, C, H, W)
    embedding: Tensor  # (B, D), unit, in the training CLIP
    second: Tensor | None = None  # (B, E), unit, in the domain's second CLIP
    parts: Tensor | None = None  # (B, H, W): which part each pixel shows, where a metric asks for it
    judged: Tensor | None = None  # (B, L + F), what the domain's judge sees: logits, then features
    identity: Tensor | None = None  # (B, F), unit: who they show, where a metric asks for it
    inception: Tensor | None = None  # (B, F), the domain's Inception features, where they are known already


@dataclass(frozen=True)
class EditBatch:
    """Edits of B held-out images at one strength, and everything they are compared with."""

    original: Pictures
    reconstruction: Pictures
    edit: Pictures
    counterfactual: Pictures | None
    """The true edits, where the domain can draw them."""
    text_direction: Tensor
    """(D,) unit, from source to target text."""
    rival_texts: Tensor
    """(K, D) unit: the target text first, then the source and the attributes it could be mistaken for."""
    distance: Callable[[Tensor, Tensor], Tensor]
    """Perceptual distance of two (B, C, H, W): (B,)."""
    second_direction: Tensor | None = None
    """(E,) unit: the bare texts in the second CLIP."""
    other_directions: Tensor | None = None
    """(K, D) unit: text directions of the attributes of other families."""
    probe: Callable[[Tensor], Tensor] | None = None
    """Score of the attribute's label, above 0 where it is present: (B, D) -> (B,)."""
    judge: Judge | None = None
    """What `judged` means."""
    redraw: Mapping[str, object] = field(default_factory=dict)
    """Labels that the true edit changes, and to what."""
    lpips: Callable[[Tensor, Tensor], Tensor] | None = None
    """LPIPS of two (B, C, H, W): (B,)."""


@dataclass(frozen=True, kw_only=True)
class Metric:
    """What a metric is called and how it is read."""

    name: str
    label: str
    unit: str
    higher_is_better: bool
    description: str
    reference: Literal["original", "reconstruction"] = "original"
    """What edits are measured against: the image itself, or the cell's own unedited reconstruction of it."""
    needs: tuple[Need, ...] = ()
    """What it cannot be computed without."""
    is_of_trainer: bool = False
    """Whether it is told by the CLIP that the editor was trained with, which an editor may please and nothing else."""
    is_optional: bool = False
    """Measured only where `evaluation.metrics` names it, because it costs."""

    @property
    def row_columns(self) -> tuple[str, ...]:
        """Names of its values in the rows of an evaluation."""
        return (self.name,)

    @property
    def summary_columns(self) -> tuple[str, ...]:
        """Names of its values in a trial's summary."""
        return (self.name,)


@dataclass(frozen=True, kw_only=True)
class ImageMetric(Metric):
    """One number per edited image."""

    compute: Callable[[EditBatch], Tensor | None]
    """(B,), or None where what it needs is absent."""
    weight: Callable[[EditBatch], Tensor | None] | None = None
    """(B,) weight of each image in the mean over images; equal weights when left out."""

    @property
    def row_columns(self) -> tuple[str, ...]:
        """Its value and, where images weigh differently, its weight."""
        return (self.name,) if self.weight is None else (self.name, f"{self.name}{WEIGHT}")

    @property
    def summary_columns(self) -> tuple[str, ...]:
        """Its mean over images and their standard deviation."""
        return (self.name, f"{self.name}_std")


@dataclass(frozen=True, kw_only=True)
class SetMetric(Metric):
    """One number per set of edited images: how far it is from another set."""

    features: Literal["chosen", "clip"] = "chosen"
    """What sets are compared in: what `evaluation.fid_features` chooses, or always the domain's CLIP."""
    compute: Callable[[Tensor, Tensor], float]
    """Metric from the features of reference and edits, (N, F) each. Raises ValueError for fewer than two images."""


def fault(metric: Metric) -> str:
    """What is wrong with a metric from outside the package, or nothing."""
    if isinstance(metric, SetMetric):
        return wrong_call(metric.compute, ("reference", "edits"), "compute")
    if not isinstance(metric, ImageMetric):
        return "expected an ImageMetric or a SetMetric; found Metric"
    of_weight = "" if metric.weight is None else wrong_call(metric.weight, ("batch",), "weight")
    return wrong_call(metric.compute, ("batch",), "compute") or of_weight


def only_where_named(metric: Metric) -> Metric:
    """A metric of an installed package is measured where a space names it: installing it changes no trial."""
    return replace(metric, is_optional=True)
