"""Trained editors applied to images: at any strength and number of steps, one editor or several at once.

Every editor sees the unedited bottleneck (they act side by side, never one on the other's result), and at each t

    Delta-h = sum over the editors i active at t of  k_i f_i(h, temb, t)
    k_i     = strength c_i num_train_steps_i / num_sample_steps          c_i: 1/sqrt(n) unless given

(Kwon et al. 2023, section 5.2 "multiple attributes"; method.md sections 6.6 and 9.)

Legend: B images, C channels, H x W pixels in [-1, 1], E width of the time embedding.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor

from trainables.h_space.diffusion import Editor, Watch, generate
from trainables.h_space.timesteps import delta_h_scale, timestep_sequence

if TYPE_CHECKING:
    from trainables.h_space.backbones.unet import FrozenDiffusion

Window = Literal["own", "widest", "narrowest"]
"""Where each of several editors acts. own: in the window [t_edit, T] it was trained in; widest: all in the union of
their windows; narrowest: all where every one of them was trained, as in the published code, which takes t_edit from
the attribute of the largest prompt cosine. Departure: own is the default here, for it asks of no editor what it never
saw and takes away nothing that it learned."""


@dataclass(frozen=True)
class Part:
    """One of the editors that act together."""

    editor: Editor
    num_train_steps: int
    t_edit: int
    coefficient: float = 1.0


def equal_coefficients(num_editors: int) -> list[float]:
    """1/sqrt(n) each: independent edits then add up to the size of one."""
    return [1 / math.sqrt(num_editors)] * num_editors


@dataclass(frozen=True)
class CombinedEditor:
    """Several editors as one. Its Delta-h is complete: it wants no further scale."""

    parts: Sequence[Part]
    strength: float
    num_sample_steps: int
    window: Window = "own"

    def __call__(self, h: Tensor, temb: Tensor, t: int) -> Tensor:
        """Delta-h (B, C, H, W) from h, the time embedding (B, E) and t."""
        delta_h = torch.zeros_like(h)
        for part, t_edit in zip(self.parts, self._t_edits(), strict=True):
            if t >= t_edit:
                strength = self.strength * part.coefficient
                scale = delta_h_scale(strength, part.num_train_steps, self.num_sample_steps)
                delta_h = delta_h + scale * part.editor(h, temb, t)
        return delta_h

    @property
    def t_edit(self) -> int:
        """The lowest t at which any of them acts."""
        return min(self._t_edits())

    def _t_edits(self) -> list[int]:
        own = [part.t_edit for part in self.parts]
        chosen = {"own": own, "widest": [min(own)] * len(own), "narrowest": [max(own)] * len(own)}
        return chosen[self.window]


@torch.no_grad()
def apply_editors(
    model: "FrozenDiffusion",
    x_T: Tensor,
    parts: Sequence[Part],
    strength: float,
    num_sample_steps: int,
    *,
    window: Window = "own",
    t_boost: int = 0,
    noise_generator: torch.Generator | None = None,
    watch: Watch | None = None,
) -> Tensor:
    """Edits (B, C, H, W) of the images that x_T stands for; at strength 0, or without parts, their reconstruction.

    With t_boost (quality boosting) give edits and reconstruction generators in the same state: both then receive the
    same noise. `watch` is shown t and P_t of every step. Raises ValueError when t_boost > 0 comes without one.
    """
    timesteps = timestep_sequence(num_sample_steps, model.t_max)
    if strength == 0 or not parts:
        return generate(model, x_T, timesteps, t_boost=t_boost, noise_generator=noise_generator, watch=watch)
    combined = CombinedEditor(parts, strength, num_sample_steps, window)
    return generate(
        model,
        x_T,
        timesteps,
        combined,
        t_edit=combined.t_edit,
        t_boost=t_boost,
        noise_generator=noise_generator,
        watch=watch,
    )
