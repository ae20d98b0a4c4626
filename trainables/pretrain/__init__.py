"""Rebuild the built-in avatars' models from scratch: `asyrp-sweep pretrain avatars`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from diffusers.models.unets.unet_2d import UNet2DModel

from trainables.pretrain.avatars_clip import ClipTraining, train_clip
from trainables.pretrain.avatars_unet import PHASES, train_unet


def pretrain_avatars(
    out: Path,
    *,
    unet_steps: int | None = None,
    clip_steps: int | None = None,
    log: Callable[[str], None] = print,
) -> None:
    """Train the CLIP model, then the U-Net, into `out/clip`, `out/unet` and `out/scheduler`.

    Left out, the numbers of steps are those of the shipped weights: about two hours on two CPU cores. `unet_steps`
    holds for each phase of the U-Net. An interrupted U-Net run goes on from its `out/unet_phase_*.pt`, which are
    removed at the end.
    """
    clip = ClipTraining() if clip_steps is None else replace(ClipTraining(), num_steps=clip_steps)
    out.mkdir(parents=True, exist_ok=True)
    train_clip(out, clip, log=lambda line: log(f"clip {line}"))
    unet: UNet2DModel | None = None
    checkpoints = [out / f"unet_phase_{number}.pt" for number in range(1, len(PHASES) + 1)]
    for phase, checkpoint in zip(PHASES, checkpoints, strict=True):
        settings = phase if unet_steps is None else replace(phase, num_steps=unet_steps)
        log(f"unet {checkpoint.stem.replace('_', ' ')}: {settings}")
        unet = train_unet(
            out, settings, start=unet, checkpoint=checkpoint, log=lambda line: log(f"unet {line}")
        )
    for checkpoint in checkpoints:
        checkpoint.unlink(missing_ok=True)
