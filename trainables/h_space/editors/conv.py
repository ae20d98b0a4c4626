"""The editor of the paper: two 1x1 convolutions (Kwon et al. 2023, section 3.2 and figure 3)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from trainables.h_space.backbones.shapes import BottleneckShape
from trainables.h_space.editors._block import BlockSettings

if TYPE_CHECKING:
    from torch import nn


class Config(BlockSettings):
    """In- and out-layer are 1x1 convolutions; positions never see each other."""

    kind: Literal["conv"]

    def network(self, shape: BottleneckShape, timesteps: tuple[int, ...]) -> nn.Module:
        """The network for bottlenecks of this shape, its weights not yet set."""
        from torch import nn

        from trainables.h_space.editors._layers import DeltaBlock, make_activation, make_norm, make_temporal

        norm = make_norm(self.norm, shape.channels, self.num_groups)
        return DeltaBlock(
            in_layer=nn.Conv2d(shape.channels, shape.channels, kernel_size=1),
            temporal=make_temporal(self.temporal, shape, norm, self.num_groups),
            activation=make_activation(self.activation, shape.channels),
            out_layer=nn.Conv2d(shape.channels, shape.channels, kernel_size=1),
        )
