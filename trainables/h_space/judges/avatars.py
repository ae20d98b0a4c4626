"""The judge of avatars: a small convolutional network that reads every label of a face; its weights are shipped.

It shares nothing with the CLIP that trains editors: another kind of network, no texts, other faces, no edits.
`asyrp-sweep pretrain avatars` reproduces the weights; MODEL_CARD_JUDGE.md beside them says how well it reads.

Legend: B images, C channels, H x W pixels in [-1, 1], L values of all labels together, F features.
"""

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Final

import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor, nn

from trainables.h_space.judges._base import Judge

WEIGHTS_FILE: Final = Path(__file__).with_name("avatars.safetensors")
HIDDEN: Final = "hidden"
"""What a picture shows of a label that is drawn over: a robot has no hair."""
LABELS: Final = {
    "kind": ("person", "goblin", "zombie", "robot", "clown"),
    "style": ("plain", "pixel_art", "sketch"),
    "gender": ("man", "woman", HIDDEN),
    "age": ("young", "old", HIDDEN),
    "emotion": ("neutral", "smiling", "sad", "angry", "surprised", HIDDEN),
    "skin": ("pale", "light", "tanned", "dark", HIDDEN),
    "hair": ("short", "long", "curly", "bald", HIDDEN),
    "hair_colour": ("black", "brown", "blond", "red", "grey", HIDDEN),
    "beard": ("no", "yes", HIDDEN),
    "glasses": ("no", "yes", HIDDEN),
    "background": ("0", "1", "2", "3", "4"),
}
WIDTHS: Final = (48, 96, 128)
SIZE: Final = 32
"""Pixels of a side of the pictures that it was trained on. Larger ones are averaged down to them."""
CELLS: Final = 4
"""Rows and columns of the grid in which maps are compared."""
WIDTH: Final = 96


class AvatarLabels(nn.Module):
    """Logits and features, (B, 3, 32, 32) -> (B, L + F): maps of 16, 8 and 4 pixels, a layer of 96, a head per label.

    The features are the three maps, averaged over a grid of 4 x 4 cells and made unit in each (as LPIPS does it, Zhang
    et al. 2018, section 3, without learned weights), and the unit layer before the heads: the squared distance of two
    pictures is the mean over the four.
    """

    def __init__(self) -> None:
        super().__init__()
        self.stem = _block(3, 24)
        widths = (24, *WIDTHS)
        self.stages = nn.ModuleList(
            nn.Sequential(_block(num_in, num_out, stride=2), _block(num_out, num_out))
            for num_in, num_out in pairwise(widths)
        )
        self.last = nn.Linear(WIDTHS[-1] * CELLS**2, WIDTH)
        self.heads = nn.Linear(WIDTH, sum(map(len, LABELS.values())))

    def forward(self, x: Tensor) -> Tensor:
        """Logits, then features."""
        x, found = self.stem(x), []
        for stage in self.stages:
            x = stage(x)
            cells = F.normalize(F.adaptive_avg_pool2d(x, CELLS), dim=1)
            found.append(cells.flatten(1) / CELLS)
        last = F.silu(self.last(x.flatten(1)))
        features = torch.cat([*found, F.normalize(last, dim=1)], dim=1) / (len(found) + 1) ** 0.5
        return torch.cat([self.heads(last), features], dim=1)


def _block(num_in: int, num_out: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(num_in, num_out, 3, stride=stride, padding=1), nn.GroupNorm(8, num_out), nn.SiLU()
    )


def load(device: torch.device, file: Path = WEIGHTS_FILE) -> Callable[[Tensor], Tensor]:
    """The network with the weights of a file, as a `Judge` wants it."""
    model = AvatarLabels().eval().requires_grad_(False)
    model.load_state_dict({name: value.float() for name, value in load_file(file).items()})
    model.to(device)

    @torch.no_grad()
    def look(pictures: Tensor) -> Tensor:
        seen: Tensor = model(F.adaptive_avg_pool2d(pictures.clamp(-1, 1), SIZE))
        return seen

    return look


JUDGE = Judge(name="avatars", labels=LABELS, load=load)
