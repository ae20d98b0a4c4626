"""What the two networks of `avatars_ldm` are, and how they are trained: see `avatars_ldm`."""

from __future__ import annotations

from typing import Final

import torch
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from diffusers.models.unets.unet_2d import UNet2DModel

from trainables.h_space.pretrain.avatars_unet_recipe import UNetTraining
from trainables.h_space.pretrain.runs import Training

SIZE: Final = 64
"""Pixels of a picture's side."""
LATENT_CHANNELS: Final = 4
NUM_FACES: Final = 12_000
PAINTED_SHARE: Final = 0.2
FIRST_LOG_VARIANCE: Final = -6.0
"""Of a latent's posterior before training. At 0 the noise would be larger than the latents for a long time."""
KL_WEIGHT: Final = 1e-6
"""Of the divergence summed over a picture's latents, beside the mean error of its pixels (Rombach et al. 2022, G)."""

AUTOENCODER: Final = Training(
    num_steps=4000,
    batch_size=8,
    learning_rate=2e-3,
    schedule_steps=30_000,
    cooldown_steps=600,
    num_faces=NUM_FACES,
    painted_share=PAINTED_SHARE,
)
"""Measured: of 2061 steps reconstructions of held-out faces have 31.8 dB, and 29.6 dB of 1461 without the cooldown."""
UNET: Final = UNetTraining(
    num_steps=20_000,
    batch_size=16,
    learning_rate=1e-3,
    schedule_steps=40_000,
    cooldown_steps=1000,
    num_faces=NUM_FACES,
    painted_share=PAINTED_SHARE,
)
"""About as many pictures as the U-Net of `avatars` saw."""


def build_autoencoder() -> AutoencoderKL:
    """0.65 million parameters: 3 x 64 x 64 <-> 4 x 16 x 16."""
    autoencoder: AutoencoderKL = AutoencoderKL(
        sample_size=SIZE,
        block_out_channels=(16, 32, 64),
        down_block_types=("DownEncoderBlock2D",) * 3,
        up_block_types=("UpDecoderBlock2D",) * 3,
        layers_per_block=1,
        latent_channels=LATENT_CHANNELS,
        norm_num_groups=8,
        mid_block_add_attention=False,
    )
    torch.nn.init.constant_(
        autoencoder.get_parameter("quant_conv.bias")[LATENT_CHANNELS:], FIRST_LOG_VARIANCE
    )
    return autoencoder


def build_unet() -> UNet2DModel:
    """1.5 million parameters; the bottleneck is 96 x 8 x 8, as that of `avatars`, and holds the only attention."""
    unet: UNet2DModel = UNet2DModel(
        sample_size=SIZE // 4,
        in_channels=LATENT_CHANNELS,
        out_channels=LATENT_CHANNELS,
        layers_per_block=1,
        block_out_channels=(48, 96),
        down_block_types=("DownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "UpBlock2D"),
        norm_num_groups=8,
        attention_head_dim=32,
    )
    return unet
