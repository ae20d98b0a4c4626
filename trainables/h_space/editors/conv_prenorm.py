"""The published editor of improved-DDPM backbones: norm and activation before the in-layer as well."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from trainables.h_space.backbones.shapes import BottleneckShape
from trainables.h_space.editors._block import BlockSettings

if TYPE_CHECKING:
    from torch import nn

NORM_EPS = 1e-5
"""These backbones' own, where the others' editor has 1e-6."""


class Config(BlockSettings):
    """The skeleton of every editor, with norm -> activation -> 1x1 convolution as its in-layer."""

    kind: Literal["conv_prenorm"]

    def network(self, shape: BottleneckShape, timesteps: tuple[int, ...]) -> nn.Module:
        """The network for bottlenecks of this shape, its weights not yet set."""
        from torch import nn

        from trainables.h_space.editors._layers import DeltaBlock, in_series, make_activation, make_temporal

        return DeltaBlock(
            in_layer=in_series(
                norm=self._norm(shape),
                activation=make_activation(self.activation, shape.channels),
                conv=nn.Conv2d(shape.channels, shape.channels, kernel_size=1),
            ),
            temporal=make_temporal(self.temporal, shape, self._norm(shape), self.num_groups),
            activation=make_activation(self.activation, shape.channels),
            out_layer=nn.Conv2d(shape.channels, shape.channels, kernel_size=1),
        )

    def inactive(self) -> tuple[str, ...]:
        """Settings without effect. The first norm is always there, so `norm` always counts."""
        return () if self.uses_group_norm() else ("num_groups",)

    def _norm(self, shape: BottleneckShape) -> nn.Module:
        from trainables.h_space.editors._layers import make_norm

        return make_norm(self.norm, shape.channels, self.num_groups, eps=NORM_EPS)
