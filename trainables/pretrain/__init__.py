"""Rebuild the built-in avatars' models from scratch: `asyrp-sweep pretrain avatars`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from trainables.pretrain.avatars_clip import ClipTraining, train_clip
from trainables.pretrain.avatars_unet import UNetTraining, train_unet


def pretrain_avatars(
    out: Path,
    *,
    unet_steps: int | None = None,
    clip_steps: int | None = None,
    log: Callable[[str], None] = print,
) -> None:
    """Train the CLIP model, then the U-Net, into `out/clip`, `out/unet` and `out/scheduler`.

    Left out, the numbers of steps are those of the shipped weights: about an hour on two
    CPU cores. An interrupted U-Net run goes on from `out/unet_checkpoint.pt`, which is removed at the end.
    """
    clip = ClipTraining() if clip_steps is None else replace(ClipTraining(), num_steps=clip_steps)
    unet = UNetTraining() if unet_steps is None else replace(UNetTraining(), num_steps=unet_steps)
    out.mkdir(parents=True, exist_ok=True)
    train_clip(out, clip, log=lambda line: log(f"clip {line}"))
    checkpoint = out / "unet_checkpoint.pt"
    train_unet(out, unet, checkpoint=checkpoint, log=lambda line: log(f"unet {line}"))
    checkpoint.unlink(missing_ok=True)
