"""The losses an editor is trained with (Kwon et al. 2023, section 3.3; as coded in the published repository).

Letters: B images, D width of the CLIP space, K prompt templates, C channels, H and W pixels.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:  # Plans know the metrics that are told from these losses, and do without torch.
    from torch import Tensor

DIRECTION_EPS = 1e-7
"""Added to the length of an image direction by the published code: an unmoved image has direction 0."""
LOG_FLOOR = 1e-6
"""Keeps the logarithm of `clip_loss` finite for a direction exactly opposite to the text's."""


def image_direction(edit_embedding: Tensor, reference_embedding: Tensor) -> Tensor:
    """Unit direction (B, D) in CLIP space from each image's own reference to its edit, both (B, D)."""
    difference = _unit(edit_embedding) - _unit(reference_embedding)
    return difference / (_length(difference) + DIRECTION_EPS)


def text_direction(target: Tensor, source: Tensor) -> Tensor:
    """Unit direction (D,) from source to target text.

        unit( mean over templates of [ unit(target_k) - unit(source_k) ] )

    Both are embeddings (K, D) of the same K templates.
    """
    return _unit((_unit(target) - _unit(source)).mean(dim=0))


def directional_loss(edit_embedding: Tensor, reference_embedding: Tensor, text_direction: Tensor) -> Tensor:
    """L_direction = 1 - cos(image direction, text direction), per image: (B,), each in [0, 2].

    Embeddings are (B, D), the text direction (D,). The reference of an image is its own original.
    Departure: texts on the method name P_t of the unedited process as reference; the published code takes the
    real image, and so do we. Departure: in a batch the published code takes the last image for all of them.
    """
    from torch.nn import functional

    moved = image_direction(edit_embedding, reference_embedding)
    return 1 - functional.cosine_similarity(moved, text_direction.expand_as(moved), dim=-1)


def clip_loss(l_direction: Tensor, kind: Literal["log", "plain"]) -> Tensor:
    """The term that is optimised for L_direction, of any shape.

    "plain" is L_direction itself, as in the paper. Departure: "log" is the published code's
    -ln((2 - L_direction) / 2), which pushes harder the further the direction is off.
    """
    if kind == "plain":
        return l_direction
    return -((2 - l_direction).clamp(min=LOG_FLOOR) / 2).log()


def reconstruction_loss(p_edit: Tensor, p_source: Tensor) -> Tensor:
    """L_recon = mean |P_t(edited) - P_t(unedited)|, a scalar, of two (B, C, H, W)."""
    return (p_edit - p_source).abs().mean()


def guarded_cosine(cosine: float, floor: float) -> tuple[float, bool]:
    """(max(cosine, floor), whether the floor was needed), for the cosine of two prompts that weighs L_recon.

    Departure: the published code uses the cosine as it is; negative, it would reward leaving the image.
    """
    return max(cosine, floor), cosine < floor


def _unit(embedding: Tensor) -> Tensor:
    return embedding / _length(embedding)


def _length(embedding: Tensor) -> Tensor:
    """(..., D) to (..., 1)."""
    from torch import linalg

    length: Tensor = linalg.vector_norm(embedding, dim=-1, keepdim=True)
    return length
