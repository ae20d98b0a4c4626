"""The training loop over one batch, at the floor price of the published one.

Per image and timestep: one encoder pass, one decoder pass without gradient (eps, for D_t), one with (eps_edit, for
P_t), one CLIP pass. Everything unedited is read from the cache of `trajectories` (design: E + 2D + D against the
published 2E + 3D + D). Two passes more are left out: eps at the first timestep is the same for every editor and
cached, and eps at the lowest is never used.

Legend: B images, T trained timesteps, C channels, H x W pixels in [-1, 1], D CLIP width.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from trainables.backbones.unet import FrozenDiffusion
from trainables.clip import ClipModel
from trainables.config import OptimizerConfig, TrainingConfig
from trainables.diffusion import Step, asymmetric_step, predicted_x0
from trainables.losses import clip_loss, directional_loss, reconstruction_loss
from trainables.trajectories import CachedBatch

STEP_DECAY_EPOCHS = 3
"""The published StepLR: a tenfold decay every 3 epochs."""


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
    """lambda_recon times the guarded prompt cosine."""
    settings: TrainingConfig

    def __call__(
        self, clip: ClipModel, p_edit: Tensor, p_source: Tensor, reference: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """(total, direction, recon) of predicted clean images (B, C, H, W).

        `reference` (B, D) is each image's own original. Departure: the published code compared the whole batch
        with its last image.
        """
        direction = directional_loss(clip.image(p_edit), reference, self.text_direction).mean()
        recon = reconstruction_loss(p_edit, p_source)
        wrapped = clip_loss(direction, self.settings.clip_loss)
        return self.settings.lambda_clip * wrapped + self.recon_weight * recon, direction, recon


def build_optimizer(settings: OptimizerConfig, editor: nn.Module) -> torch.optim.Optimizer:
    """The optimizer of an editor's weights; `learning_rate_at` sets its rate before every step."""
    kind = torch.optim.SGD if settings.kind == "sgd" else torch.optim.AdamW
    return kind(editor.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay)


def learning_rate_at(settings: OptimizerConfig, epoch: int, done: float) -> float:
    """The scheduled learning rate, `done` being the share of all optimizer steps taken so far."""
    if settings.schedule == "step":
        return settings.learning_rate * 0.1 ** (epoch // STEP_DECAY_EPOCHS)
    if settings.schedule == "cosine":
        return settings.learning_rate * 0.5 * (1 + math.cos(math.pi * done))
    return settings.learning_rate


def train_batch(
    diffusion: FrozenDiffusion,
    clip: ClipModel,
    editor: nn.Module,
    objective: Objective,
    batch: CachedBatch,
    timesteps: Sequence[Step],
    optimizer_step: Callable[[Tensor], None],
) -> list[Losses]:
    """Walk one batch down the edited trajectory, with an optimizer step at every timestep.

    The gradient never crosses timesteps: each starts from the detached image the last one left.
    """
    device = diffusion.alpha_bar.device
    assert batch.p_t is not None
    assert batch.eps_first is not None
    p_source, reference = batch.p_t.to(device), batch.embedding.to(device)
    x_t, eps_first = batch.x_T.to(device), batch.eps_first.to(device)
    losses: list[Losses] = []
    for position, (t, t_prev) in enumerate(timesteps):
        encoded = diffusion.encode(x_t, t)
        eps_edit = diffusion.decode(encoded, encoded.h + editor(encoded.h, encoded.temb))
        alpha_bar_t = diffusion.alpha_bar_at(t)
        p_edit = predicted_x0(x_t, eps_edit, alpha_bar_t)

        total, direction, recon = objective(clip, p_edit, p_source[:, position], reference)
        optimizer_step(total)
        losses.append(Losses(total.item(), direction.item(), recon.item()))

        if position < len(timesteps) - 1:
            with torch.no_grad():
                eps = eps_first if position == 0 else diffusion.decode(encoded)
                x_t = asymmetric_step(
                    x_t, eps, eps_edit.detach(), alpha_bar_t, diffusion.alpha_bar_at(t_prev)
                )
    return losses
