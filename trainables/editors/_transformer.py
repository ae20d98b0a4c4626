"""Settings shared by the editors whose in- and out-layer are transformer encoders."""

from collections.abc import Mapping
from typing import ClassVar

from pydantic import Field
from torch import nn

from trainables.backbones.shapes import BottleneckShape
from trainables.editors._base import EditorSettings
from trainables.editors._layers import (
    DeltaBlock,
    TokenAxis,
    TokenEncoder,
    in_series,
    make_activation,
    make_norm,
    make_temporal,
)


class TransformerSettings(EditorSettings):
    """In- and out-layer are transformer encoders over tokens; a kind names their axes, in order."""

    AXES: ClassVar[tuple[TokenAxis, ...]]

    num_heads: int = Field(default=1, ge=1)
    """Attention heads of every encoder; must divide the width of its tokens."""
    num_layers: int = Field(default=1, ge=1)
    """Layers of every encoder."""
    feedforward_width: int = Field(default=2048, ge=1)
    final_norm: bool = True
    """A layer norm at the end of every encoder. It fixes the size of Delta-h up to its learned scale, which a
    convolutional editor has no counterpart of."""

    def check(self, shape: BottleneckShape) -> list[str]:
        """What does not fit bottlenecks of this shape, one sentence each; empty when all fits."""
        return super().check(shape) + [
            f"num_heads {self.num_heads} does not divide the width {width} of the {axis} tokens"
            for axis, width in token_widths(shape).items()
            if axis in self.AXES and width % self.num_heads
        ]

    def network(self, shape: BottleneckShape) -> nn.Module:
        """The network for bottlenecks of this shape, its weights not yet set."""
        norm = make_norm(self.norm, shape.channels, self.num_groups)
        return DeltaBlock(
            in_layer=self._encoders(shape),
            temporal=make_temporal(self.temporal, shape, norm, self.num_groups),
            activation=make_activation(self.activation, shape.channels),
            out_layer=self._encoders(shape),
        )

    def _encoders(self, shape: BottleneckShape) -> nn.Module:
        widths = token_widths(shape)
        return in_series(**{axis: self._encoder(axis, widths[axis]) for axis in self.AXES})

    def _encoder(self, axis: TokenAxis, width: int) -> TokenEncoder:
        return TokenEncoder(
            axis, width, self.num_heads, self.num_layers, self.feedforward_width, self.final_norm
        )


def token_widths(shape: BottleneckShape) -> Mapping[TokenAxis, int]:
    """A pixel token holds every channel of a position, a channel token every position of a channel."""
    return {"pixel": shape.channels, "channel": shape.height * shape.width}
