"""The network of the `midblock` editor.

Letters: B images, C channels, H and W positions, E width of the time embedding.
"""

from typing import cast

from torch import Tensor, nn

from trainables.h_space.backbones.shapes import BottleneckShape


class MidBlock(nn.Module):
    """diffusers' block behind the editor's call."""

    def __init__(self, shape: BottleneckShape, *, num_heads: int, num_groups: int) -> None:
        from diffusers.models.unets.unet_2d_blocks import UNetMidBlock2DCrossAttn  # seconds

        super().__init__()
        self.block = UNetMidBlock2DCrossAttn(
            in_channels=shape.channels,
            temb_channels=shape.temb_width,
            cross_attention_dim=shape.channels,
            num_attention_heads=num_heads,
            resnet_groups=num_groups,
        )

    def forward(self, h: Tensor, temb: Tensor, t: int) -> Tensor:
        """h (B, C, H, W), temb (B, E) to Delta-h (B, C, H, W); t itself is not read."""
        return cast(Tensor, self.block(h, temb))
