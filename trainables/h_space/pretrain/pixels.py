"""What happens to pictures before a model in training sees them.

Legend: B pictures of C x H x W pixels in [-1, 1].
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from trainables.h_space.domains.avatars.drawing import Picture


def to_unit_range(faces: Picture) -> Tensor:
    """(N, H, W, 3) uint8 -> (N, 3, H, W) in [-1, 1]."""
    return torch.from_numpy(np.ascontiguousarray(faces.transpose(0, 3, 1, 2))).float() / 127.5 - 1


def augment(x: Tensor, generator: torch.Generator) -> Tensor:
    """Noise, blur and a shift of colours, since the CLIP model also judges the soft P_t of a trajectory.

    (B, 3, H, W) in [-1, 1]; each picture has its own strength, and a third stays as it was.
    """
    size = (x.shape[0], 1, 1, 1)
    strength = (torch.rand(size, generator=generator) * 1.5 - 0.5).clamp(min=0)
    blurred = F.avg_pool2d(F.pad(x, (2, 2, 2, 2), mode="reflect"), 5, stride=1)
    amount = torch.rand(size, generator=generator) * strength
    x = x + amount * (blurred - x)
    colour = 1 + 0.1 * strength * torch.randn((x.shape[0], 3, 1, 1), generator=generator)
    brightness = 0.1 * strength * torch.randn(size, generator=generator)
    noise_level = 0.25 * strength * torch.rand(size, generator=generator)
    noise = noise_level * torch.randn(x.shape, generator=generator)
    return x * colour + brightness + noise


def hardened(
    x: Tensor, loss_of: Callable[[Tensor], Tensor], radius: float, generator: torch.Generator
) -> Tensor:
    """The pictures with a small change that raises the loss: one step from a random start.

    Wong et al. 2020, section 4.1 (the one-step adversary), with L2 in place of the largest value:

        δ_0 = b/2 · r / |r|,  δ = δ_0 + b · g / |g|,  g = the gradient of the loss at x + δ_0

    with r normal and δ cut back to length b, which is uniform in [0, `radius`] for each picture.

    An editor climbs this model's gradient. Where a model has never met its own adversaries, that gradient leads to
    specks that no person sees; where it has, to what the words mean (Tsipras et al. 2019, section 3).

    x: (B, C, H, W); `loss_of` maps such pictures to a scalar. The gradient of nothing else is touched.
    """
    size = (x.shape[0], 1, 1, 1)
    bound = radius * torch.rand(size, generator=generator)
    start = (x + _of_length(torch.randn(x.shape, generator=generator), bound / 2)).requires_grad_(True)
    (gradient,) = torch.autograd.grad(loss_of(start), start)
    change = start.detach() - x + _of_length(gradient, bound)
    return x + _of_length(change, torch.minimum(bound, _lengths(change)))


def _of_length(x: Tensor, length: Tensor) -> Tensor:
    return x * length / _lengths(x).clamp(min=1e-12)


def _lengths(x: Tensor) -> Tensor:
    lengths: Tensor = torch.linalg.vector_norm(x, dim=(1, 2, 3), keepdim=True)
    return lengths
