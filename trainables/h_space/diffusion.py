"""The diffusion maths of Asyrp: timesteps, one reverse step, inversion and generation.

Letters: B images, C channels, H and W pixels. A timestep t runs from 0 (almost clean) to `t_max` (noise);
-1 stands for the clean image, whose alpha_bar is 1. Timestep sequences are ascending lists; a reverse process
walks them backwards. Sources: Kwon et al. 2023 (Asyrp), Song et al. 2021 (DDIM), and the published code where
a docstring says so.
"""

import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from trainables.h_space.backbones.unet import FrozenDiffusion
from trainables.h_space.timesteps import reverse_steps

Editor = Callable[[Tensor, Tensor, int], Tensor]
"""f_t: maps h (B, C, H, W), the time embedding (B, E) and the timestep itself to Delta-h, shaped like h."""
Watch = Callable[[int, Tensor], None]
"""Sees t and the edited P_t (B, C, H, W)."""


class TrajectoryPoint(NamedTuple):
    """The unedited process at `t`: its image, the noise predicted in it and the clean image that implies.

    Tensors are (B, C, H, W).
    """

    t: int
    x_t: Tensor
    eps: Tensor
    p_t: Tensor


def predicted_x0(x_t: Tensor, eps: Tensor, alpha_bar_t: Tensor) -> Tensor:
    """P_t, the clean image that `x_t` and its noise imply (Asyrp, section 3; DDIM, "predicted x_0").

        P_t(eps) = (x_t - sqrt(1 - alpha_bar_t) eps) / sqrt(alpha_bar_t)

    Not clamped. Images are (B, C, H, W); alpha_bar_t broadcasts against them.
    """
    return (x_t - (1 - alpha_bar_t).sqrt() * eps) / alpha_bar_t.sqrt()


def direction_to_x_t(eps: Tensor, alpha_bar_prev: Tensor) -> Tensor:
    """D_t, the direction pointing to x_t, without noise (eta = 0): sqrt(1 - alpha_bar_prev) eps."""
    return (1 - alpha_bar_prev).sqrt() * eps


def asymmetric_step(
    x_t: Tensor, eps: Tensor, eps_edit: Tensor, alpha_bar_t: Tensor, alpha_bar_prev: Tensor
) -> Tensor:
    """One deterministic Asyrp step (Kwon et al. 2023, section 3.2).

        x_prev = sqrt(alpha_bar_prev) P_t(eps_edit) + D_t(eps)

    Only P_t sees the edited noise; editing D_t too cancels the edit (Theorem 1). With eps_edit = eps it is
    the DDIM step. Images are (B, C, H, W); the alpha_bars broadcast against them.
    """
    p_edit = predicted_x0(x_t, eps_edit, alpha_bar_t)
    return alpha_bar_prev.sqrt() * p_edit + direction_to_x_t(eps, alpha_bar_prev)


def reverse_step(
    x_t: Tensor,
    eps: Tensor,
    eps_edit: Tensor,
    alpha_bar_t: Tensor,
    alpha_bar_prev: Tensor,
    eta: float = 0.0,
    noise: Tensor | None = None,
) -> Tensor:
    """One Asyrp step with noise (quality boosting, section 3.3; DDIM's sigma_t is c1).

        x_prev = sqrt(alpha_bar_prev) P_t(eps_edit) + c2 eps + c1 noise
        c1 = eta sqrt((1 - alpha_bar_t / alpha_bar_prev) (1 - alpha_bar_prev) / (1 - alpha_bar_t))
        c2 = sqrt(1 - alpha_bar_prev - c1^2)

    eta = 0 is `asymmetric_step`; at the last step (alpha_bar_prev = 1) no noise is left whatever eta.
    Raises ValueError when eta > 0 and no noise, shaped like x_t, is given.
    """
    if eta == 0:
        return asymmetric_step(x_t, eps, eps_edit, alpha_bar_t, alpha_bar_prev)
    if noise is None:
        raise ValueError(f"a reverse step with eta {eta} needs a noise tensor")
    variance = (1 - alpha_bar_t / alpha_bar_prev) * (1 - alpha_bar_prev) / (1 - alpha_bar_t)
    c1 = eta * variance.sqrt()
    c2 = (1 - alpha_bar_prev - c1**2).clamp(min=0).sqrt()  # rounding can leave it just below zero
    return alpha_bar_prev.sqrt() * predicted_x0(x_t, eps_edit, alpha_bar_t) + c2 * eps + c1 * noise


@torch.no_grad()
def invert(model: FrozenDiffusion, x_0: Tensor, timesteps: Sequence[int], num_refinements: int = 0) -> Tensor:
    """x_T of real images by DDIM inversion: `timesteps` climbed with eta = 0 and no edit.

    The image counts as x at the first timestep, and each move uses eps at the step it leaves, as in the
    published code. (B, C, H, W) in and out.

    The way back uses eps at the step it leaves, which here is the step arrived at. With refinements, a move starts
    from a guess of eps there, the line through the eps of the last two steps, and each refinement repeats it with the
    model's eps there, at the image the last try arrived at: a fixed-point iteration (Pan et al. 2023, AIDI) for the
    image that the way back returns from exactly. It costs a U-Net pass each, and none at the step that is left
    (docs/design/008).
    """
    x_t = x_0
    last_two: list[Tensor] = []
    for t, t_next in itertools.pairwise(timesteps):
        alpha_bar_t, alpha_bar_next = model.alpha_bar_at(t), model.alpha_bar_at(t_next)
        if num_refinements == 0 or not last_two:
            eps = model.eps(x_t, t)
            last_two = [eps]
        else:
            eps = 2 * last_two[1] - last_two[0]
        x_next = asymmetric_step(x_t, eps, eps, alpha_bar_t, alpha_bar_next)
        for _ in range(num_refinements):
            eps = model.eps(x_next, t_next)
            x_next = asymmetric_step(x_t, eps, eps, alpha_bar_t, alpha_bar_next)
        x_t, last_two = x_next, [last_two[-1], eps]
    return x_t


def num_inversion_passes(num_steps: int, num_refinements: int) -> int:
    """Passes of the U-Net that `invert` takes an image, for a sequence of so many timesteps."""
    moves = num_steps - 1
    return 1 + moves * num_refinements if num_refinements else moves


@torch.no_grad()
def unedited_trajectory(
    model: FrozenDiffusion, x_T: Tensor, timesteps: Sequence[int]
) -> Iterator[TrajectoryPoint]:
    """Walk `timesteps` down from `x_T` without edit or noise, for caching.

    The last point's `p_t` is the reconstruction: the step to the clean image ends exactly there.
    """
    x_t = x_T
    for t, t_prev in reverse_steps(timesteps):
        eps = model.eps(x_t, t)
        alpha_bar_t, alpha_bar_prev = model.alpha_bar_at(t), model.alpha_bar_at(t_prev)
        yield TrajectoryPoint(t, x_t, eps, predicted_x0(x_t, eps, alpha_bar_t))
        x_t = asymmetric_step(x_t, eps, eps, alpha_bar_t, alpha_bar_prev)


@torch.no_grad()
def generate(
    model: FrozenDiffusion,
    x_T: Tensor,
    timesteps: Sequence[int],
    editor: Editor | None = None,
    *,
    strength_scale: float = 1.0,
    t_edit: int = 0,
    t_boost: int = 0,
    noise_generator: torch.Generator | Sequence[torch.Generator] | None = None,
    watch: Watch | None = None,
) -> Tensor:
    """x_0 (B, C, H, W) from x_T in the three phases of Asyrp (section 3.4).

    Editing while t >= t_edit, plain denoising below, and eta = 1 below t_boost. `strength_scale` multiplies
    Delta-h; take it from `delta_h_scale`. Without editor, or at scale 0, this is DDIM exactly.
    Departure: the published code boosts edits but not reconstructions. Here t_boost acts on either, and with
    generators in the same state both receive the same noise, so that a difference of the two is the edit's.
    With a generator for each image, none's noise depends on which others share its batch.
    `watch` is shown t and P_t of every step.
    Raises ValueError when t_boost > 0 comes without a generator.
    """
    if t_boost > 0 and noise_generator is None:
        raise ValueError(f"t_boost {t_boost} adds noise, so it needs a noise_generator")
    x_t = x_T
    for t, t_prev in reverse_steps(timesteps):
        active = editor if t >= t_edit and strength_scale != 0 else None
        eps, eps_edit = _noise_pair(model, x_t, t, active, strength_scale)
        eta = 1.0 if t < t_boost else 0.0
        noise = _noise_like(x_t, noise_generator) if eta and noise_generator else None
        alpha_bar_t, alpha_bar_prev = model.alpha_bar_at(t), model.alpha_bar_at(t_prev)
        if watch is not None:
            watch(t, predicted_x0(x_t, eps_edit, alpha_bar_t))
        x_t = reverse_step(x_t, eps, eps_edit, alpha_bar_t, alpha_bar_prev, eta, noise)
    return x_t


def _noise_pair(
    model: FrozenDiffusion, x_t: Tensor, t: int, editor: Editor | None, scale: float
) -> tuple[Tensor, Tensor]:
    """(eps, eps_edit) of one step; one decoder pass serves both where nothing is edited."""
    encoded = model.encode(x_t, t)
    eps = model.decode(encoded)
    if editor is None:
        return eps, eps
    return eps, model.decode(encoded, encoded.h + scale * editor(encoded.h, encoded.temb, t))


def _noise_like(x_t: Tensor, generator: torch.Generator | Sequence[torch.Generator]) -> Tensor:
    """Unit normal noise, drawn where the generator lives: a CPU generator gives the same on any device."""
    if not isinstance(generator, torch.Generator):
        return torch.cat(
            [_noise_like(own, one) for own, one in zip(x_t.unsqueeze(1), generator, strict=True)]
        )
    return torch.randn(x_t.shape, generator=generator, device=generator.device, dtype=x_t.dtype).to(
        x_t.device
    )
