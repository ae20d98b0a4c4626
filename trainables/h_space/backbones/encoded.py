"""What a diffusion model is at its bottleneck. Letters: B images, C channels, H and W positions, E time embedding."""

from typing import NamedTuple

from torch import Tensor

from trainables.h_space.precision import Precision


class SkipPart(NamedTuple):
    """What a skip adds in a residual block of the decoder, whatever the bottleneck (`decoder`)."""

    conv: Tensor
    """(B, C, H, W), or what broadcasts to it, to the first convolution."""
    shortcut: Tensor | None
    """(B, C, H, W), to the shortcut."""
    scale: Tensor | None
    shift: Tensor | None
    """(B, C, 1, 1), by the time embedding, where it scales."""
    borrowed: Tensor | None
    """(B, c, H, W), the channels whose group reaches over the border."""


class Encoded(NamedTuple):
    """A noisy image at the bottleneck, with all that the decoder needs to go on from there."""

    h: Tensor
    """(B, C, H, W), the output of the middle block."""
    skips: tuple[Tensor, ...]
    """The encoder's feature maps, in the order they were made. Shared, never copied."""
    temb: Tensor
    """(B, E)"""
    x_t: Tensor
    """The image itself: v- and sample-prediction need it to give epsilon."""
    timesteps: Tensor
    """(B,)"""
    context: Tensor | None = None
    """(B, L, d), the prompt, of a model that attends to one; (2B, L, d) with guidance, the empty prompt first."""
    unprompted_h: Tensor | None = None
    """(B, C, H, W) with guidance, `skips` then being of 2B: the bottleneck under the empty prompt, never edited."""
    skip_parts: tuple[SkipPart, ...] | None = None
    """In the order that the decoder reads them; None where it runs as diffusers wrote it."""
    precision: Precision = "float32"
    """What it was computed in, and the decoder's answer to it is."""
