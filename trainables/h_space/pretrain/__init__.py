"""Rebuild the built-in domains' models from scratch: `asyrp-sweep pretrain avatars`, and `avatars_ldm`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import open_clip
from diffusers.models.unets.unet_2d import UNet2DModel

from trainables.h_space.pretrain import avatars_clip_recipe, avatars_unet_recipe
from trainables.h_space.pretrain.avatars_clip import train_clip
from trainables.h_space.pretrain.avatars_judge import NUM_STEPS, train_judge
from trainables.h_space.pretrain.avatars_ldm import pretrain_avatars_ldm
from trainables.h_space.pretrain.avatars_unet import train_unet

__all__ = ["pretrain_avatars", "pretrain_avatars_ldm"]


def pretrain_avatars(
    out: Path,
    *,
    unet_steps: int | None = None,
    clip_steps: int | None = None,
    judge_steps: int | None = None,
    log: Callable[[str], None] = print,
) -> None:
    """Train the CLIP model, the judge, then the U-Net, into `out/clip`, `out/judge.safetensors`, `out/unet` and
    `out/scheduler`.

    Left out, the numbers of steps are those of the shipped weights: about two and a half to three hours on two CPU
    cores. The numbers given hold for each phase. An interrupted U-Net run goes on from its `out/unet_phase_*.pt`,
    which are removed at the end.
    """
    out.mkdir(parents=True, exist_ok=True)
    clip: open_clip.CLIP | None = None
    for clip_phase in avatars_clip_recipe.PHASES:
        clip_phase = clip_phase if clip_steps is None else replace(clip_phase, num_steps=clip_steps)
        log(f"clip {clip_phase}")
        clip = train_clip(out, clip_phase, start=clip, log=lambda line: log(f"clip {line}"))
    judge_steps = NUM_STEPS if judge_steps is None else judge_steps
    train_judge(out / "judge.safetensors", num_steps=judge_steps, log=lambda line: log(f"judge {line}"))
    unet: UNet2DModel | None = None
    checkpoints = [out / f"unet_phase_{n}.pt" for n in range(1, len(avatars_unet_recipe.PHASES) + 1)]
    for phase, checkpoint in zip(avatars_unet_recipe.PHASES, checkpoints, strict=True):
        phase = phase if unet_steps is None else replace(phase, num_steps=unet_steps)
        log(f"unet {phase}")
        unet = train_unet(out, phase, start=unet, checkpoint=checkpoint, log=lambda line: log(f"unet {line}"))
    for checkpoint in checkpoints:
        checkpoint.unlink(missing_ok=True)
