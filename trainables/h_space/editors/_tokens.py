"""The tokens of a feature map, and the settings of a transformer encoder over them."""

from collections.abc import Mapping
from typing import Literal

from pydantic import Field

from trainables.h_space.backbones.shapes import BottleneckShape
from trainables.h_space.editors._block import BlockSettings

TokenAxis = Literal["pixel", "channel"]


class TokenSettings(BlockSettings):
    """What is set of every encoder of an editor."""

    num_heads: int = Field(default=1, ge=1)
    """Attention heads of every encoder; must divide the width of its tokens."""
    num_layers: int = Field(default=1, ge=1)
    """Layers of every encoder."""
    feedforward_width: int = Field(default=2048, ge=1)
    """Width of the hidden layer of each feed-forward block."""
    norm_first: bool = False
    """Norms before attention and feed-forward (pre-norm) instead of after them."""
    final_norm: bool = True
    """A layer norm at the end of every encoder. It fixes the size of Delta-h up to its learned scale, which a
    convolutional editor has no counterpart of."""
    positional: Literal["none", "learned", "sinusoidal"] = "none"
    """Added to the tokens of every encoder. Without it attention does not know where a token stands."""
    dropout: float = Field(default=0.0, ge=0, lt=1)
    """Dropout of attention, feed-forward and their outputs, while training only."""


def tokens_of(shape: BottleneckShape) -> Mapping[TokenAxis, tuple[int, int]]:
    """(number, width) of the tokens: one per position holding its channels, or one per channel its positions."""
    positions = shape.height * shape.width
    return {"pixel": (positions, shape.channels), "channel": (shape.channels, positions)}
