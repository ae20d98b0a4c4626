"""Pretrain the avatars' diffusion model: v-prediction on drawn faces.

Legend: B pictures of 3 x 32 x 32 pixels in [-1, 1].
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Final

import torch
import torch.nn.functional as F
from diffusers.models.unets.unet_2d import UNet2DModel
from torch import Tensor, nn

from trainables.h_space.backbones.unet import SplitUNet
from trainables.h_space.domains.avatars.drawing import Picture, draw_faces
from trainables.h_space.pretrain.avatars_unet_recipe import (
    MIDDLE,
    UNetTraining,
    build_scheduler,
    learning_rate_factor,
    seeded_unet,
    training_faces,
)
from trainables.h_space.pretrain.pixels import to_unit_range

Log = Callable[[str], None]

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
    if checkpoint is not None and checkpoint.is_file():
        run.load(checkpoint)
    build_scheduler().save_pretrained(out / "scheduler")
    saved_at = started_at = time.monotonic()
    first_step = run.step
    while run.step < settings.num_steps:
        loss = run.train_step(faces)
        now = time.monotonic()
        if run.step % 50 == 0:
            per_step = (now - started_at) / (run.step - first_step)
            log(f"step {run.step}/{settings.num_steps} loss {loss:.4f} {per_step:.3f} s/step")
        if now - saved_at > settings.seconds_between_saves or run.step == settings.num_steps:
            saved_at = now
            save_unet(run.ema, out / "unet")
            if checkpoint is not None:
                run.save(checkpoint)
    return run.ema


def save_unet(unet: UNet2DModel, folder: Path) -> None:
    """Write the weights in diffusers' own layout; a reader never meets half a file."""
    scratch = folder.with_name(folder.name + ".part")
    unet.save_pretrained(scratch)
    folder.mkdir(parents=True, exist_ok=True)
    for path in sorted(scratch.iterdir()):
        path.chmod(0o644)  # safetensors writes files that only their owner can read
        path.replace(folder / path.name)
    scratch.rmdir()


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


class UNetRun:
    """The changing parts of a training run: weights, their moving average, optimiser, step, stream."""

    def __init__(self, settings: UNetTraining, start: UNet2DModel | None = None) -> None:
        self.settings = settings
        self.generator = torch.Generator().manual_seed(settings.seed)
        self.unet = _channels_last(seeded_unet(settings.seed))
        if start is not None:
            self.unet.load_state_dict(start.state_dict())
        self.split = SplitUNet(self.unet)
        self.ema = copy.deepcopy(self.unet).requires_grad_(False).eval()
        self.optimizer = torch.optim.AdamW(
            self.unet.parameters(), lr=settings.learning_rate, weight_decay=1e-4
        )
        self.alpha_bars = build_scheduler().alphas_cumprod
        self.step = 0

    def train_step(self, faces: Picture) -> float:
        """One optimiser step on a random batch; returns the loss."""
        for group in self.optimizer.param_groups:
            group["lr"] = self.settings.learning_rate * learning_rate_factor(self.step, self.settings)
        loss = self.loss(_random_batch(faces, self.settings.batch_size, self.generator))
        self.optimizer.zero_grad()
        torch.autograd.backward(loss)
        torch.nn.utils.clip_grad_norm_(self.unet.parameters(), 1.0)
        self.optimizer.step()
        self.step += 1
        self._update_average()
        return float(loss.detach())

    def save(self, path: Path) -> None:
        """Write all that changes; a reader never meets half a file."""
        state = {
            "settings": asdict(self.settings),
            "step": self.step,
            "unet": self.unet.state_dict(),
            "ema": self.ema.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "generator": self.generator.get_state(),
        }
        torch.save(state, path.with_suffix(".part"))
        path.with_suffix(".part").replace(path)

    def load(self, path: Path) -> None:
        """Go on where the run stood that was saved there."""
        state = torch.load(path, weights_only=True)
        self.step = state["step"]
        self.unet.load_state_dict(state["unet"])
        self.ema.load_state_dict(state["ema"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.generator.set_state(state["generator"])

    def loss(self, x_0: Tensor) -> Tensor:
        """Mean squared error of v for pictures x_0, (B, 3, 32, 32), at random t: a scalar.

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

    @torch.no_grad()
    def _update_average(self) -> None:
        """Exponential moving average whose horizon grows with the run, so early weights do not linger."""
        decay = min(self.settings.ema_decay, (1 + self.step) / (10 + self.step))
        for average, value in zip(self.ema.parameters(), self.unet.parameters(), strict=True):
            average.lerp_(value, 1 - decay)


def _channels_last(unet: UNet2DModel) -> UNet2DModel:
    # a fifth to a third faster on CPU, same numbers to rounding
    nn.Module.to(unet, memory_format=torch.channels_last)
    return unet


def _random_batch(faces: Picture, size: int, generator: torch.Generator) -> Tensor:
    """(size, 3, 32, 32) in [-1, 1]."""
    rows = torch.randint(0, len(faces), (size,), generator=generator).numpy()
    return to_unit_range(faces[rows])
