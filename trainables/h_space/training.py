"""The training loop over batches that share optimizer steps, at the floor price of the published one.

Per image and timestep: one encoder pass, one decoder pass without gradient (eps, for D_t), one with (eps_edit, for
P_t), one CLIP pass. Everything unedited is read from the cache of `trajectories` (design: E + 2D + D against the
published 2E + 3D + D). Two passes more are left out: eps at the first timestep is the same for every editor and
cached, and eps at the lowest is never used. `trajectory: reference` and `direction: cached` leave the pass without
gradient out altogether: E + D + D.

Legend: B images, T trained timesteps, x (C, H, W) pixels in [-1, 1] or latents, D CLIP width.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from trainables.h_space.backbones.unet import Encoded, FrozenDiffusion
from trainables.h_space.config import TrainingConfig
from trainables.h_space.diffusion import asymmetric_step, predicted_x0
from trainables.h_space.losses import clip_loss, directional_loss, reconstruction_loss
from trainables.h_space.timesteps import Step
from trainables.h_space.trajectories import CachedBatch, unedited_states

Embed = Callable[[Tensor], Tensor]
"""Pictures (B, C, H, W) to their CLIP embeddings (B, D); gradients flow."""
Decode = Callable[[Tensor], Tensor]
"""x (B, *x) to its pictures (B, C, H, W); gradients flow."""


def as_it_is(x: Tensor) -> Tensor:
    """The `Decode` of a model of pixels."""
    return x


class Losses(NamedTuple):
    """Losses of one batch at one timestep; direction and recon are unweighted."""

    total: float
    direction: float
    recon: float


@dataclass(frozen=True)
class Objective:
    """What an editor is trained towards: L = lambda_clip L_clip + recon_weight L_1 (method.md section 7)."""

    text_direction: Tensor
    """(D,) unit."""
    recon_weight: float
    """lambda_recon, times the guarded prompt cosine where `prompt_cosine` is on."""
    settings: TrainingConfig
    decode: Decode = as_it_is

    def __call__(
        self, embed: Embed, p_edit: Tensor, p_source: Tensor, reference: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """(total, direction, recon) of predicted clean x, both (B, *x); `embed` takes pictures to CLIP (B, D).

        `reference` (B, D) is each image's own, as `clip_reference` says. Departure: the published code compared the
        whole batch with its last image.
        """
        pictures = self.decode(p_edit)
        direction = directional_loss(embed(pictures), reference, self.text_direction).mean()
        if self.settings.recon_in == "x":
            recon = reconstruction_loss(p_edit, p_source)
        else:
            with torch.no_grad():
                source = self.decode(p_source)
            recon = reconstruction_loss(pictures, source)
        wrapped = clip_loss(direction, self.settings.clip_loss)
        return self.settings.lambda_clip * wrapped + self.recon_weight * recon, direction, recon


class _Walk:
    """One batch on its way through the trained timesteps: where x_t, P_t, the CLIP reference and eps come from."""

    def __init__(
        self,
        diffusion: FrozenDiffusion,
        batch: CachedBatch,
        timesteps: Sequence[Step],
        settings: TrainingConfig,
    ) -> None:
        assert batch.p_t is not None
        assert batch.eps_first is not None
        self._diffusion = diffusion
        self._timesteps = timesteps
        self._device = diffusion.alpha_bar.device
        self._p_t, self._eps_first = batch.p_t, batch.eps_first.to(self._device)
        self._references = batch.p_embedding if settings.clip_reference == "unedited" else batch.embedding
        self._x_t = batch.x_T.to(self._device)
        states = unedited_states(self._eps_first, self._p_t, timesteps, diffusion)
        self._fixed_x_t = [x_t for x_t, _ in states] if settings.trajectory == "reference" else None
        self._fixed_eps = (eps for _, eps in states) if settings.direction == "cached" else None

    def x_t(self, position: int) -> Tensor:
        """The image (B, C, H, W) that the timestep at this position starts from."""
        return self._x_t if self._fixed_x_t is None else self._fixed_x_t[position]

    def p_source(self, position: int) -> Tensor:
        """The unedited P_t (B, C, H, W)."""
        return self._p_t[:, position].to(self._device)

    def reference(self, position: int) -> Tensor:
        """The CLIP embedding (B, D) that each image's direction starts from."""
        assert self._references is not None, "prepared for another CLIP reference"
        at_t = self._references if self._references.dim() == 2 else self._references[:, position]
        return at_t.to(self._device)

    @torch.no_grad()
    def leave(self, position: int, encoded: Encoded, eps_edit: Tensor) -> None:
        """Take the asymmetric step from this position to the next; every position in turn, from the first."""
        if self._fixed_x_t is not None or position == len(self._timesteps) - 1:
            return
        t, t_prev = self._timesteps[position]
        alpha_bar_t, alpha_bar_prev = self._diffusion.alpha_bar_at(t), self._diffusion.alpha_bar_at(t_prev)
        eps = self._eps(position, encoded)
        self._x_t = asymmetric_step(self._x_t, eps, eps_edit.detach(), alpha_bar_t, alpha_bar_prev)

    def _eps(self, position: int, encoded: Encoded) -> Tensor:
        """eps of D_t."""
        if self._fixed_eps is not None:
            return next(self._fixed_eps)
        return self._eps_first if position == 0 else self._diffusion.decode(encoded)


def train_batches(
    diffusion: FrozenDiffusion,
    embed: Embed,
    editor: nn.Module,
    objective: Objective,
    batches: Sequence[CachedBatch],
    timesteps: Sequence[Step],
    optimizer_step: Callable[[], None],
    order: Sequence[int] | None = None,
    gradient_scale: float = 1.0,
) -> list[list[Losses]]:
    """Walk batches side by side through the timesteps; returns the losses of each, by position in `timesteps`.

    A batch's `embedding` is what the image directions start from, except with `clip_reference: unedited`.
    `optimizer_step` moves the weights by the gradients gathered and forgets these; it is called after every
    timestep, or once at the end (`steps_per: batch`). What is gathered for it is averaged over the images of all
    batches, and over the timesteps in the latter case. With `clip_loss: plain` k batches so act as one that is k times
    as large; the published wrap is the logarithm of a batch's mean, which is another one for the large batch.
    Losses are multiplied by `gradient_scale` before their backward pass, and gradients divided by it after it.
    `order` holds the positions in the order they are trained; only the reference trajectory may change it.
    The gradient never crosses timesteps: each starts from the detached image the last one left.
    """
    settings = objective.settings
    positions = range(len(timesteps)) if order is None else order
    at_the_end = settings.steps_per == "batch"
    num_images = sum(len(batch.x_T) for batch in batches) * (len(timesteps) if at_the_end else 1)
    walks = [_Walk(diffusion, batch, timesteps, settings) for batch in batches]
    found: list[dict[int, Tensor]] = [{} for _ in batches]
    for number, position in enumerate(positions, start=1):
        t = timesteps[position].t
        for walk, losses in zip(walks, found, strict=True):
            x_t = walk.x_t(position)
            encoded = diffusion.encode(x_t, t)
            eps_edit = diffusion.decode(encoded, encoded.h + editor(encoded.h, encoded.temb, t))
            p_edit = predicted_x0(x_t, eps_edit, diffusion.alpha_bar_at(t))

            parts = objective(embed, p_edit, walk.p_source(position), walk.reference(position))
            torch.autograd.backward(parts[0] * (gradient_scale * len(x_t) / num_images))
            losses[position] = torch.stack(parts).detach()  # read once at the end: a GPU need not wait here
            walk.leave(position, encoded, eps_edit)
        if not at_the_end or number == len(timesteps):
            for weight in editor.parameters() if gradient_scale != 1 else ():
                if weight.grad is not None:
                    weight.grad /= gradient_scale
            optimizer_step()
    return [_read(losses) for losses in found]


def _read(losses: Mapping[int, Tensor]) -> list[Losses]:
    """The losses by position, as numbers."""
    return [Losses(*row) for row in torch.stack([losses[position] for position in sorted(losses)]).tolist()]
