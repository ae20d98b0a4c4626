"""What the avatars' diffusion model is and how it is trained, phase by phase: two hours or so on a CPU.

It sees kind "person" in style "plain" and nothing else, so goblins and sketches stay unseen domains. From the second
phase on a fifth of the persons wears face paint of any colour, without which the decoder could not colour a face at
all.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import torch
from diffusers.models.unets.unet_2d import UNet2DModel
from diffusers.schedulers.scheduling_ddim import DDIMScheduler

from trainables.h_space.domains.avatars.drawing import SIZE
from trainables.h_space.domains.avatars.faces import TRAIN_SEEDS, Face, paint, sample_face


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
    """Share of the faces that wear face paint."""
    middle_share: float = 0.0
    """Share of the timesteps that are drawn from MIDDLE only: the others are uniform over all."""
    exchanged_share: float = 0.0
    """Share of the pictures that see the coarse part of another one in the skip connections (see `exchanged`)."""
    seed: int = 0
    seconds_between_saves: float = 300.0


LAST_FACTOR: Final = 0.02
"""Factor of the learning rate at the end of every phase."""
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


def seeded_unet(seed: int) -> UNet2DModel:
    """An untrained model; the global generator is left alone."""
    with torch.random.fork_rng():  # diffusers initialises from the global generator
        torch.manual_seed(seed)
        return build_unet()


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


def learning_rate_factor(step: int, settings: UNetTraining) -> float:
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
