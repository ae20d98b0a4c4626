"""What every metric declares and what it is given.

Legend: B images, C channels, H x W pixels in [-1, 1], D CLIP width.
"""

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Pictures:
    """The same B images in pixels and in the training CLIP's space."""

    pixels: Tensor  # (B, C, H, W)
    embedding: Tensor  # (B, D), unit


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


@dataclass(frozen=True)
class Metric:
    """One number per edited image."""

    name: str
    label: str
    unit: str
    higher_is_better: bool
    description: str
    compute: Callable[[EditBatch], Tensor | None]
    """(B,), or None where the domain cannot tell (no counterfactual)."""
    weight: Callable[[EditBatch], Tensor | None] | None = None
    """(B,) weight of each image in the mean over images; equal weights when left out."""
