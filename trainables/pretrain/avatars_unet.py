"""Pretrain the avatars' diffusion model: plain faces of persons, v-prediction, on a CPU in two hours or so.

It sees kind "person" in style "plain" and nothing else, so goblins and sketches stay unseen domains. In the second
phase a fifth of the persons wears face paint of any colour, without which the decoder could not colour a face at all.

Legend: B pictures of 3 x 32 x 32 pixels in [-1, 1].
"""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import numpy as np
import torch
import torch.nn.functional as F
from diffusers.models.unets.unet_2d import UNet2DModel
from diffusers.schedulers.scheduling_ddim import DDIMScheduler
from torch import Tensor, nn

from trainables.backbones.unet import SplitUNet
from trainables.domains.avatars.drawing import SIZE, Picture, draw_faces
from trainables.domains.avatars.faces import TRAIN_SEEDS, Face, paint, sample_face

Log = Callable[[str], None]


@dataclass(frozen=True)
class UNetTraining:
    """How long and how the U-Net is trained, in one phase."""

    num_steps: int = 5400
    batch_size: int = 32
    learning_rate: float = 1e-3
    num_warmup_steps: int = 100
    schedule_steps: int | None = None
    """Length of the cosine that the learning rate follows; `num_steps` when left out."""
    cooldown_steps: int = 0
    """The last steps, in which the rate falls straight to its floor."""
    ema_decay: float = 0.999
    num_faces: int = 24_000
    painted_share: float = 0.0
    """Of the faces, how many wear face paint."""
    middle_share: float = 0.0
    """Of the timesteps, how many are drawn from MIDDLE only: the others are uniform over all."""
    exchanged_share: float = 0.0
    """Of the pictures, how many see the coarse part of another one in the skip connections (see `exchanged`)."""
    seed: int = 0
    seconds_between_saves: float = 300.0


BOTTLENECK_SIZE: Final = 8
"""Height and width of h, in pixels."""
LAST_FACTOR: Final = 0.02
"""Of the learning rate, at the end of every phase."""
MIDDLE: Final = (400, 900)
"""Where hair and skin are decided. Measured: of the error of a reconstruction, what a second look at the same face
could mend arises here."""
PHASES: Final = (
    UNetTraining(),
    UNetTraining(
        num_steps=2000,
        schedule_steps=2800,
        cooldown_steps=300,
        batch_size=64,
        learning_rate=7e-4,
        painted_share=0.2,
        middle_share=0.5,
        seed=1,
    ),
    UNetTraining(
        num_steps=900,
        batch_size=64,
        learning_rate=7e-4,
        painted_share=0.2,
        middle_share=0.5,
        exchanged_share=0.5,
        seed=2,
    ),
)
"""The recipe of the shipped weights: each phase starts from the averaged weights of the one before."""


def build_unet() -> UNet2DModel:
    """1.4 million parameters; the bottleneck is 96 x 8 x 8 and holds the only attention."""
    unet: UNet2DModel = UNet2DModel(
        sample_size=SIZE,
        in_channels=3,
        out_channels=3,
        layers_per_block=1,
        block_out_channels=(24, 48, 96),
        down_block_types=("DownBlock2D", "DownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "UpBlock2D", "UpBlock2D"),
        norm_num_groups=8,
        attention_head_dim=32,
        act_fn="silu",
    )
    return unet


def build_scheduler() -> DDIMScheduler:
    """The noise schedule of Ho et al. 2020 (section 4), with v-prediction (Salimans & Ho 2022)."""
    scheduler: DDIMScheduler = DDIMScheduler(
        num_train_timesteps=1000,
        beta_start=1e-4,
        beta_end=2e-2,
        beta_schedule="linear",
        prediction_type="v_prediction",
        clip_sample=False,
        set_alpha_to_one=True,
    )
    return scheduler


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
    run = _Run(settings, start)
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


def training_faces(settings: UNetTraining) -> list[Face]:
    """The faces of a phase, the painted ones spread evenly."""
    return faces_of(TRAIN_SEEDS[: settings.num_faces], settings.painted_share)


def faces_of(seeds: Sequence[int], painted_share: float) -> list[Face]:
    """The faces of these seeds; a share of them wears face paint."""
    faces = [sample_face(seed) for seed in seeds]
    return [
        paint(face, seed) if (n + 1) * painted_share % 1 < painted_share else face
        for n, (face, seed) in enumerate(zip(faces, seeds, strict=True))
    ]


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
    skips: each (B, C, H, W), at least as fine as the bottleneck.
    """
    if count == 0:
        return tuple(skips)
    return tuple(torch.cat([_coarse_part_moved_on(skip[:count]), skip[count:]]) for skip in skips)


def _coarse_part_moved_on(x: Tensor) -> Tensor:
    coarse = F.adaptive_avg_pool2d(x, BOTTLENECK_SIZE)
    return x + F.interpolate(coarse.roll(1, dims=0) - coarse, size=x.shape[2:], mode="bilinear")


class _Run:
    """The changing parts of a training run: weights, their moving average, optimiser, step, stream."""

    def __init__(self, settings: UNetTraining, start: UNet2DModel | None = None) -> None:
        self.settings = settings
        self.generator = torch.Generator().manual_seed(settings.seed)
        self.unet = _channels_last(_seeded_unet(settings.seed))
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
            group["lr"] = self.settings.learning_rate * _learning_rate_factor(self.step, self.settings)
        loss = self._loss(_random_batch(faces, self.settings.batch_size, self.generator))
        self.optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self.unet.parameters(), 1.0)
        self.optimizer.step()
        self.step += 1
        self._update_average()
        return float(loss.detach())

    def save(self, path: Path) -> None:
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
        state = torch.load(path, weights_only=True)
        self.step = state["step"]
        self.unet.load_state_dict(state["unet"])
        self.ema.load_state_dict(state["ema"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.generator.set_state(state["generator"])

    def _loss(self, x_0: Tensor) -> Tensor:
        t = self._timesteps(x_0.shape[0])
        noise = torch.randn(x_0.shape, generator=self.generator)
        alpha_bar = self.alpha_bars[t].view(-1, 1, 1, 1)
        x_t = alpha_bar.sqrt() * x_0 + (1 - alpha_bar).sqrt() * noise
        encoded = self.split.encode(x_t.contiguous(memory_format=torch.channels_last), t)
        num_exchanged = round(x_0.shape[0] * self.settings.exchanged_share)
        predicted = self.split.decode(encoded._replace(skips=exchanged(encoded.skips, num_exchanged)))
        return F.mse_loss(predicted, velocity(x_0, noise, alpha_bar))

    def _timesteps(self, count: int) -> Tensor:
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


def _seeded_unet(seed: int) -> UNet2DModel:
    # diffusers initialises from the global generator: fork it, so that nobody else's stream moves.
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return build_unet()


def _channels_last(unet: UNet2DModel) -> UNet2DModel:
    # a fifth to a third faster on CPU, same numbers to rounding
    nn.Module.to(unet, memory_format=torch.channels_last)
    return unet


def _random_batch(faces: Picture, size: int, generator: torch.Generator) -> Tensor:
    """(size, 3, 32, 32) in [-1, 1]."""
    rows = torch.randint(0, len(faces), (size,), generator=generator).numpy()
    return to_unit_range(faces[rows])


def to_unit_range(faces: Picture) -> Tensor:
    """(N, H, W, 3) uint8 -> (N, 3, H, W) in [-1, 1]."""
    return torch.from_numpy(np.ascontiguousarray(faces.transpose(0, 3, 1, 2))).float() / 127.5 - 1


def _learning_rate_factor(step: int, settings: UNetTraining) -> float:
    """Linear warmup, half a cosine down to a fiftieth, and a straight cooldown to it where the cosine is cut short."""
    if step < settings.num_warmup_steps:
        return (step + 1) / settings.num_warmup_steps
    cooled_for = step - (settings.num_steps - settings.cooldown_steps)
    if cooled_for > 0:
        share = cooled_for / settings.cooldown_steps
        return (1 - share) * _cosine_factor(step - cooled_for, settings) + share * LAST_FACTOR
    return _cosine_factor(step, settings)


def _cosine_factor(step: int, settings: UNetTraining) -> float:
    length = (settings.schedule_steps or settings.num_steps) - settings.num_warmup_steps
    done = (step - settings.num_warmup_steps) / max(1, length)
    return LAST_FACTOR + (1 - LAST_FACTOR) * 0.5 * (1 + math.cos(math.pi * min(1.0, done)))
