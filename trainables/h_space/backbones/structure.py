"""What the weights of a published U-Net tell of its build, and the published models that are built so."""

from dataclasses import dataclass
from typing import Any, Literal

BetaSchedule = Literal["linear", "cosine"]


@dataclass(frozen=True)
class Structure:
    """A U-Net of residual blocks with attention at some levels, level 0 being the finest."""

    channels: tuple[int, ...]
    """Width of each level."""
    num_res_blocks: int
    """Residual blocks of a level on the way down; one more on the way up."""
    attention_levels: frozenset[int]
    resampling: Literal["conv", "resnet"]
    """What halves and doubles the image: a convolution, or a residual block."""
    scale_shift: bool
    """Whether the time scales and shifts the second norm of a residual block, in place of being added before it."""
    in_channels: int = 3
    out_channels: int = 3

    @property
    def attention_widths(self) -> set[int]:
        """Widths of every attention, the middle block's included."""
        return {self.channels[level] for level in self.attention_levels} | {self.channels[-1]}

    def config(self, image_size: int) -> dict[str, Any]:
        """The part of a diffusers configuration that follows from the build."""
        blocks = [self._block(level) for level in range(len(self.channels))]
        return {
            "sample_size": image_size,
            "in_channels": self.in_channels,
            "out_channels": self.out_channels,
            "block_out_channels": list(self.channels),
            "layers_per_block": self.num_res_blocks,
            "down_block_types": [block.format("Down") for block in blocks],
            "up_block_types": [block.format("Up") for block in reversed(blocks)],
            "downsample_type": self.resampling,
            "upsample_type": self.resampling,
            "resnet_time_scale_shift": "scale_shift" if self.scale_shift else "default",
            "norm_num_groups": 32,
            "dropout": 0.0,
        }

    def _block(self, level: int) -> str:
        if level in self.attention_levels:
            return "Attn{}Block2D"
        return "Resnet{}sampleBlock2D" if self.resampling == "resnet" else "{}Block2D"


@dataclass(frozen=True)
class Published:
    """What the weights of a published model do not tell."""

    name: str
    image_size: int
    head_channels: int | None = None
    """Width of one attention head; None where an attention has one head."""


_WIDTHS_256 = (1, 1, 2, 2, 4, 4)

PUBLISHED = {
    Structure(
        tuple(128 * factor for factor in _WIDTHS_256), 1, frozenset({4}), "resnet", True, out_channels=6
    ): Published("P2 weighting (AFHQ-dog, FFHQ, MetFaces)", 256, head_channels=64),
    Structure(
        tuple(256 * factor for factor in _WIDTHS_256), 2, frozenset({3, 4, 5}), "resnet", True, out_channels=6
    ): Published("ADM (ImageNet or LSUN at 256 pixels)", 256, head_channels=64),
    Structure(tuple(128 * factor for factor in _WIDTHS_256), 2, frozenset({4}), "conv", False): Published(
        "DDPM (CelebA-HQ or LSUN at 256 pixels)", 256
    ),
    Structure((128, 256, 256, 256), 2, frozenset({1}), "conv", False): Published("DDPM (CIFAR-10)", 32),
}
"""Published models by their build; all have linear betas 1e-4 .. 2e-2 over 1000 steps."""
