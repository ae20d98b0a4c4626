"""Pretrain the built-in latent diffusion model: first a KL autoencoder of drawn faces, then a U-Net of its latents.

Both stages go on from their checkpoints, and what a finished stage writes is whole by itself.

Legend: N faces, B pictures of 3 x 64 x 64 pixels in [-1, 1], latents of 4 x 16 x 16.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np
import torch
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from torch import Tensor

from trainables.digests import file_digest
from trainables.h_space.backbones._folder import WEIGHTS_NAME
from trainables.h_space.backbones.autoencoder import FrozenAutoencoder
from trainables.h_space.backbones.latents import read_latents
from trainables.h_space.domains.avatars.drawing import Picture, draw_faces
from trainables.h_space.domains.avatars.faces import TRAIN_SEEDS, VALIDATION_SEEDS
from trainables.h_space.domains.images import AvatarImages
from trainables.h_space.pretrain import avatars_ldm_recipe as recipe
from trainables.h_space.pretrain.avatars_unet import DiffusionRun
from trainables.h_space.pretrain.avatars_unet_recipe import UNetTraining, build_scheduler, faces_of
from trainables.h_space.pretrain.pixels import to_unit_range
from trainables.h_space.pretrain.runs import (
    Log,
    Run,
    Training,
    random_faces,
    random_rows,
    save_diffusers,
    seeded,
)

NUM_HELD_OUT: Final = 256
"""Faces that the scaling factor is measured on, and the error of a reconstruction."""
BATCH: Final = 32
"""Of passes without gradient."""


class AutoencoderRun(Run[AutoencoderKL, Picture]):
    """Stage 1: faces are (N, 64, 64, 3) bytes."""

    def __init__(self, settings: Training) -> None:
        super().__init__(seeded(recipe.build_autoencoder, settings.seed), settings)

    def batch(self, data: Picture) -> Tensor:
        """(B, 3, 64, 64) in [-1, 1]."""
        return random_faces(data, self.settings.batch_size, self.generator)

    def loss(self, x_0: Tensor) -> Tensor:
        """Mean absolute error of the pictures decoded from a draw, and the divergence of the draws: a scalar."""
        posterior = self.network.encode(x_0.contiguous(memory_format=torch.channels_last)).latent_dist
        decoded = self.network.decode(posterior.sample(self.generator)).sample
        loss: Tensor = (decoded - x_0).abs().mean() + recipe.KL_WEIGHT * posterior.kl().mean()
        return loss


class LatentRun(DiffusionRun[Tensor]):
    """Stage 2: data are scaled latents (N, 4, 16, 16)."""

    def __init__(self, settings: UNetTraining) -> None:
        super().__init__(seeded(recipe.build_unet, settings.seed), settings)

    def batch(self, data: Tensor) -> Tensor:
        """(B, 4, 16, 16)."""
        return data[random_rows(len(data), self.settings.batch_size, self.generator)]


def train_autoencoder(
    out: Path, settings: Training = recipe.AUTOENCODER, *, log: Log = print
) -> AutoencoderKL:
    """Write `out/vae` in half precision, with its scaling factor; goes on from `out/autoencoder.pt` if it exists."""
    held_out = to_unit_range(_drawn(out, "held_out", VALIDATION_SEEDS[:NUM_HELD_OUT], 0.0))
    faces = _drawn(out, "faces", TRAIN_SEEDS[: settings.num_faces], settings.painted_share)
    run = AutoencoderRun(settings)

    def report() -> None:
        log(f"held-out faces: {psnr(run.ema, held_out[:BATCH]):.2f} dB")

    run.train(faces, checkpoint=out / "autoencoder.pt", save=report, log=log)
    factor = scaling_factor(run.ema, held_out)
    log(f"held-out faces: {psnr(run.ema, held_out):.2f} dB, scaling factor {factor}")
    save_diffusers(run.ema, out / "vae", scaling_factor=factor)
    return run.ema


def train_latent_unet(out: Path, settings: UNetTraining = recipe.UNET, *, log: Log = print) -> None:
    """Write `out/unet` in half precision and `out/scheduler`, for the autoencoder that is in `out/vae`.

    Goes on from the checkpoint of a U-Net of this same autoencoder, if it exists.
    """
    faces = _drawn(out, "faces", TRAIN_SEEDS[: settings.num_faces], settings.painted_share)
    autoencoder = file_digest(out / "vae" / WEIGHTS_NAME)[:12]
    latents = _encoded(out, faces, autoencoder)
    build_scheduler().save_pretrained(out / "scheduler")
    run = LatentRun(settings)
    run.train(
        latents,
        checkpoint=out / f"unet_{autoencoder}.pt",
        save=lambda: save_diffusers(run.ema, out / "unet"),
        log=log,
    )


def pretrain_avatars_ldm(
    out: Path, *, autoencoder_steps: int | None = None, unet_steps: int | None = None, log: Log = print
) -> None:
    """Train the autoencoder, then the U-Net of its latents, into `out/vae`, `out/unet` and `out/scheduler`.

    A finished autoencoder in `out/vae` without a checkpoint beside it is taken as it is. Asked for more steps, both go
    on from `out/autoencoder.pt` and `out/unet_*.pt`, which are kept. An autoencoder that is trained on has other
    latents, and its U-Net begins anew.
    """
    out.mkdir(parents=True, exist_ok=True)
    if (out / "autoencoder.pt").is_file() or not (out / "vae").is_dir():
        stage = replace(recipe.AUTOENCODER, num_steps=autoencoder_steps or recipe.AUTOENCODER.num_steps)
        log(f"autoencoder {stage}")
        train_autoencoder(out, stage, log=lambda line: log(f"autoencoder {line}"))
    settings = replace(recipe.UNET, num_steps=unet_steps or recipe.UNET.num_steps)
    log(f"unet {settings}")
    train_latent_unet(out, settings, log=lambda line: log(f"unet {line}"))


@torch.no_grad()
def psnr(autoencoder: AutoencoderKL, pictures: Tensor) -> float:
    """Peak signal-to-noise ratio of reconstructions of pictures (N, 3, 64, 64), in dB, over all their pixels.

    10 log10(4 / mean squared error), for a range of 2.
    """
    errors = [
        (autoencoder.decode(autoencoder.encode(part).latent_dist.mode()).sample - part)
        .square()
        .mean((1, 2, 3))
        for part in torch.split(pictures, BATCH)
    ]
    return float(10 * torch.log10(4 / torch.cat(errors).mean()))


@torch.no_grad()
def scaling_factor(autoencoder: AutoencoderKL, pictures: Tensor) -> float:
    """1 / standard deviation of the latents of pictures (N, 3, 64, 64), to four digits."""
    modes = [autoencoder.encode(part).latent_dist.mode() for part in torch.split(pictures, BATCH)]
    return float(f"{1 / float(torch.cat(modes).std()):.4g}")


def _drawn(out: Path, name: str, seeds: range, painted_share: float) -> Picture:
    """The faces of these seeds, (N, 64, 64, 3), drawn once and kept under a name that says what they are."""
    path = out / f"{name}_{len(seeds)}_{AvatarImages(recipe.SIZE).fingerprint[:12]}.npy"
    if not path.is_file():
        faces = draw_faces(faces_of(seeds, painted_share), size=recipe.SIZE, num_processes=2)
        _save_array(path, faces)
    drawn: Picture = np.load(path, mmap_mode="r")
    return drawn


def _encoded(out: Path, faces: Picture, name: str) -> Tensor:
    """Scaled latents (N, 4, 16, 16) of faces by the autoencoder in `out/vae`, kept beside it under its name."""
    path = out / f"latents_{len(faces)}_{name}.npy"
    if not path.is_file():
        spec = read_latents(out / "vae", recipe.build_unet().config, None)
        autoencoder = FrozenAutoencoder.load(spec)
        places = np.array_split(np.arange(len(faces)), -(-len(faces) // BATCH))
        _save_array(
            path, np.concatenate([autoencoder.encode(to_unit_range(faces[p])).numpy() for p in places])
        )
    return torch.from_numpy(np.load(path))


def _save_array(path: Path, values: np.ndarray) -> None:
    scratch = path.with_suffix(".part.npy")
    np.save(scratch, values)
    scratch.replace(path)
