"""Parts of avatars: a small convolutional network whose weights ship with the package.

`h_space.pretrain.avatars_segmenter` reproduces the weights from drawn (face, mask) pairs; its docstring says how
well they do on held-out drawings.

Legend: B images, H x W pixels in [-1, 1], K parts.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Final

import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor, nn

from trainables.h_space.domains.avatars.masks import PARTS
from trainables.h_space.segmenters._base import Segmenter

WEIGHTS_FILE: Final = Path(__file__).with_name("avatars.safetensors")
SIZE: Final = 32
"""Pixels of a side of the pictures that it was trained on. Larger ones are averaged down to them."""


class AvatarParts(nn.Module):
    """Logits of the parts, (B, 3, H, W) -> (B, K, H, W): two halvings, two doublings, with skips."""

    def __init__(self, width: int = 16) -> None:
        super().__init__()
        self.fine = _block(3, width)
        self.middle = _block(width, 2 * width)
        self.coarse = nn.Sequential(_block(2 * width, 3 * width), _block(3 * width, 3 * width))
        self.to_middle = _block(5 * width, 2 * width)
        self.to_fine = _block(3 * width, width)
        self.logits = nn.Conv2d(width, len(PARTS), 1)

    def forward(self, x: Tensor) -> Tensor:
        """Logits."""
        fine = self.fine(x)
        middle = self.middle(F.avg_pool2d(fine, 2))
        coarse = self.coarse(F.avg_pool2d(middle, 2))
        middle = self.to_middle(torch.cat([middle, F.interpolate(coarse, scale_factor=2.0)], dim=1))
        fine = self.to_fine(torch.cat([fine, F.interpolate(middle, scale_factor=2.0)], dim=1))
        logits: Tensor = self.logits(fine)
        return logits


def _block(num_in: int, num_out: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(num_in, num_out, 3, padding=1), nn.GroupNorm(4, num_out), nn.SiLU())


def _load(device: torch.device) -> Callable[[Tensor], Tensor]:
    model = AvatarParts().eval().requires_grad_(False)
    model.load_state_dict({name: value.float() for name, value in load_file(WEIGHTS_FILE).items()})
    model.to(device)

    @torch.no_grad()
    def segment(pictures: Tensor) -> Tensor:
        logits = model(F.adaptive_avg_pool2d(pictures.clamp(-1, 1), SIZE))
        parts: Tensor = F.interpolate(logits, pictures.shape[2:], mode="bilinear").argmax(dim=1)
        return parts

    return segment


SEGMENTER = Segmenter(name="avatars", parts=PARTS, load=_load)
