"""Editors whose in- and out-layer are transformer encoders over the bottleneck's tokens."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from trainables.h_space.backbones.shapes import BottleneckShape
from trainables.h_space.editors._tokens import TokenAxis, TokenSettings, tokens_of

if TYPE_CHECKING:
    from torch import nn


class TransformerSettings(TokenSettings):
    """In- and out-layer are transformer encoders over tokens; a kind names their axes, in order.

    Departure: dropout, positions and pre-norm are ours; the published editor has none of them.
    """

    AXES: ClassVar[tuple[TokenAxis, ...]]

    def check(self, shape: BottleneckShape) -> list[str]:
        """What does not fit bottlenecks of this shape, one sentence each; empty when all fits."""
        return super().check(shape) + [
            f"num_heads {self.num_heads} does not divide the width {width} of the {axis} tokens"
            for axis, (_, width) in tokens_of(shape).items()
            if axis in self.AXES and width % self.num_heads
        ]

    def network(self, shape: BottleneckShape, timesteps: tuple[int, ...]) -> nn.Module:
        """The network for bottlenecks of this shape, its weights not yet set."""
        from trainables.h_space.editors._layers import DeltaBlock, make_activation, make_norm, make_temporal

        norm = make_norm(self.norm, shape.channels, self.num_groups)
        return DeltaBlock(
            in_layer=self._encoders(shape),
            temporal=make_temporal(self.temporal, shape, norm, self.num_groups),
            activation=make_activation(self.activation, shape.channels),
            out_layer=self._encoders(shape),
        )

    def _encoders(self, shape: BottleneckShape) -> nn.Module:
        from trainables.h_space.editors._layers import in_series
        from trainables.h_space.editors._token_encoder import TokenEncoder

        return in_series(**{axis: TokenEncoder(axis, shape, self) for axis in self.AXES})
