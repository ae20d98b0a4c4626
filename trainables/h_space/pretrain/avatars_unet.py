"""Pretrain the avatars' diffusion model: v-prediction on drawn faces.

Legend: B pictures of 3 x 32 x 32 pixels in [-1, 1].
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import torch
import torch.nn.functional as F
from diffusers.models.unets.unet_2d import UNet2DModel
from torch import Tensor

from trainables.h_space.backbones.unet import SplitUNet
from trainables.h_space.domains.avatars.drawing import Picture, draw_faces
from trainables.h_space.pretrain.avatars_unet_recipe import (
    MIDDLE,
    UNetTraining,
    build_scheduler,
    build_unet,
    training_faces,
)
from trainables.h_space.pretrain.runs import Data, Log, Run, random_faces, save_diffusers, seeded

BOTTLENECK_SIZE: Final = 8
"""Height and width of h, in pixels."""


def train_unet(
    out: Path,
    settings: UNetTraining,
    *,
    start: UNet2DModel | None = None,
    faces: Picture | None = None,
    checkpoint: Path | None = None,
    log: Log = print,
) -> UNet2DModel:
    """Train from scratch or from the weights of `start`, or go on from `checkpoint` if it exists.

    Writes `out/unet` and `out/scheduler`. `faces` are the training pictures if they are drawn already, (N, 32, 32, 3).
    """
    if faces is None:
        faces = draw_faces(training_faces(settings), num_processes=2)
    run = UNetRun(settings, start)
    build_scheduler().save_pretrained(out / "scheduler")
    run.train(
        faces,
        checkpoint=checkpoint,
        save=lambda: save_diffusers(run.ema, out / "unet", torch.float32),
        log=log,
    )
    return run.ema


def velocity(x_0: Tensor, noise: Tensor, alpha_bar: Tensor) -> Tensor:
    """What the U-Net learns (Salimans & Ho 2022, section 4): v = sqrt(ᾱ) ε - sqrt(1 - ᾱ) x_0.

    Pictures are (B, 3, 32, 32); alpha_bar is (B, 1, 1, 1).
    """
    return alpha_bar.sqrt() * noise - (1 - alpha_bar).sqrt() * x_0


def exchanged(skips: Sequence[Tensor], count: int) -> tuple[Tensor, ...]:
    """Skip connections whose first `count` pictures have exchanged their coarse parts among each other.

    A U-Net is free to carry colours past its bottleneck, and an edit of h then cannot change them. Here the skips
    contradict h about everything that the bottleneck can resolve, so the decoder learns to believe h.

        skip_n + up(pool(skip_{n-1}) - pool(skip_n)),  n modulo `count`

    with pool the means over the bottleneck's pixels and up bilinear: fine parts and the group's mean stay.
    skips: each (B, C, H, W), at least as fine as the bottleneck. With `count` 0 they are returned as they are.
    """
    if count == 0:
        return tuple(skips)
    return tuple(torch.cat([_coarse_part_moved_on(skip[:count]), skip[count:]]) for skip in skips)


def _coarse_part_moved_on(x: Tensor) -> Tensor:
    coarse = F.adaptive_avg_pool2d(x, BOTTLENECK_SIZE)
    return x + F.interpolate(coarse.roll(1, dims=0) - coarse, size=x.shape[2:], mode="bilinear")


class DiffusionRun(Run[UNet2DModel, Data]):
    """A run of a U-Net that learns v."""

    settings: UNetTraining

    def __init__(self, unet: UNet2DModel, settings: UNetTraining) -> None:
        super().__init__(unet, settings)
        self.split = SplitUNet(unet)
        self.alpha_bars = build_scheduler().alphas_cumprod

    def loss(self, x_0: Tensor) -> Tensor:
        """Mean squared error of v for x_0, (B, C, H, W), at random t: a scalar.

        The first of a batch are those whose skips are exchanged, and those whose t is not kept to MIDDLE.
        """
        t = self.draw_timesteps(x_0.shape[0])
        noise = torch.randn(x_0.shape, generator=self.generator)
        alpha_bar = self.alpha_bars[t].view(-1, 1, 1, 1)
        x_t = alpha_bar.sqrt() * x_0 + (1 - alpha_bar).sqrt() * noise
        encoded = self.split.encode(x_t.contiguous(memory_format=torch.channels_last), t)
        num_exchanged = round(x_0.shape[0] * self.settings.exchanged_share)
        predicted = self.split.decode(encoded._replace(skips=exchanged(encoded.skips, num_exchanged)))
        return F.mse_loss(predicted, velocity(x_0, noise, alpha_bar))

    def draw_timesteps(self, count: int) -> Tensor:
        """(count,), the share that the settings ask for from MIDDLE."""
        num_middle = round(count * self.settings.middle_share)
        anywhere = torch.randint(len(self.alpha_bars), (count - num_middle,), generator=self.generator)
        return torch.cat([anywhere, torch.randint(*MIDDLE, (num_middle,), generator=self.generator)])


class UNetRun(DiffusionRun[Picture]):
    """A phase of the U-Net of pixels: faces are (N, 32, 32, 3) bytes."""

    def __init__(self, settings: UNetTraining, start: UNet2DModel | None = None) -> None:
        unet = seeded(build_unet, settings.seed)
        if start is not None:
            unet.load_state_dict(start.state_dict())
        super().__init__(unet, settings)

    def batch(self, data: Picture) -> Tensor:
        """(B, 3, 32, 32) in [-1, 1]."""
        return random_faces(data, self.settings.batch_size, self.generator)
