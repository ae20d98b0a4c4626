"""What the avatars' diffusion model is and how it is trained, phase by phase: two hours or so on a CPU.

It sees kind "person" in style "plain" and nothing else, so goblins and sketches stay unseen domains. From the second
phase on a fifth of the persons wears face paint of any colour, without which the decoder could not colour a face at
all.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from diffusers.models.unets.unet_2d import UNet2DModel
from diffusers.schedulers.scheduling_ddim import DDIMScheduler

from trainables.h_space.domains.avatars.drawing import SIZE
from trainables.h_space.domains.avatars.faces import TRAIN_SEEDS, Face, paint, sample_face
from trainables.h_space.pretrain.runs import Training


@dataclass(frozen=True)
class UNetTraining(Training):
    """How long and how the U-Net is trained, in one phase."""

    num_steps: int = 5400
    batch_size: int = 32
    learning_rate: float = 1e-3
    middle_share: float = 0.0
    """Share of the timesteps that are drawn from MIDDLE only: the others are uniform over all."""
    exchanged_share: float = 0.0
    """Share of the pictures that see the coarse part of another one in the skip connections (see `exchanged`)."""


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


def training_faces(settings: Training) -> list[Face]:
    """The faces of a phase, the painted ones spread evenly."""
    return faces_of(TRAIN_SEEDS[: settings.num_faces], settings.painted_share)


def faces_of(seeds: Sequence[int], painted_share: float) -> list[Face]:
    """The faces of these seeds; a share of them wears face paint."""
    faces = [sample_face(seed) for seed in seeds]
    return [
        paint(face, seed) if (n + 1) * painted_share % 1 < painted_share else face
        for n, (face, seed) in enumerate(zip(faces, seeds, strict=True))
    ]
