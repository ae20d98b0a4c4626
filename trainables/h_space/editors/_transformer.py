"""Editors whose in- and out-layer are transformer encoders over the bottleneck's tokens.

Letters: B images, C channels, H and W positions, N tokens, D token width.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from trainables.h_space.backbones.shapes import BottleneckShape
from trainables.h_space.editors._block import BlockSettings
from trainables.h_space.editors._initial import OwnParameters
from trainables.h_space.editors._layers import (
    DeltaBlock,
    in_series,
    make_activation,
    make_norm,
    make_temporal,
)

TokenAxis = Literal["pixel", "channel"]

POSITION_STD = 0.02
"""What learned positions start from, as in ViT (Dosovitskiy et al. 2021)."""


class TransformerSettings(BlockSettings):
    """In- and out-layer are transformer encoders over tokens; a kind names their axes, in order.

    Departure: dropout, positions and pre-norm are ours; the published editor has none of them.
    """

    AXES: ClassVar[tuple[TokenAxis, ...]]

    num_heads: int = Field(default=1, ge=1)
    """Attention heads of every encoder; must divide the width of its tokens."""
    num_layers: int = Field(default=1, ge=1)
    """Layers of every encoder."""
    feedforward_width: int = Field(default=2048, ge=1)
    norm_first: bool = False
    """Norms before attention and feed-forward (pre-norm) instead of after them."""
    final_norm: bool = True
    """A layer norm at the end of every encoder. It fixes the size of Delta-h up to its learned scale, which a
    convolutional editor has no counterpart of."""
    positional: Literal["none", "learned", "sinusoidal"] = "none"
    """Added to the tokens of every encoder. Without it attention does not know where a token stands."""
    dropout: float = Field(default=0.0, ge=0, lt=1)
    """Dropout of attention, feed-forward and their outputs, while training only."""

    def check(self, shape: BottleneckShape) -> list[str]:
        """What does not fit bottlenecks of this shape, one sentence each; empty when all fits."""
        return super().check(shape) + [
            f"num_heads {self.num_heads} does not divide the width {width} of the {axis} tokens"
            for axis, (_, width) in tokens_of(shape).items()
            if axis in self.AXES and width % self.num_heads
        ]

    def network(self, shape: BottleneckShape, timesteps: tuple[int, ...]) -> nn.Module:
        """The network for bottlenecks of this shape, its weights not yet set."""
        norm = make_norm(self.norm, shape.channels, self.num_groups)
        return DeltaBlock(
            in_layer=self._encoders(shape),
            temporal=make_temporal(self.temporal, shape, norm, self.num_groups),
            activation=make_activation(self.activation, shape.channels),
            out_layer=self._encoders(shape),
        )

    def _encoders(self, shape: BottleneckShape) -> nn.Module:
        return in_series(**{axis: TokenEncoder(axis, shape, self) for axis in self.AXES})


def tokens_of(shape: BottleneckShape) -> Mapping[TokenAxis, tuple[int, int]]:
    """(number, width) of the tokens: one per position holding its channels, or one per channel its positions."""
    positions = shape.height * shape.width
    return {"pixel": (positions, shape.channels), "channel": (shape.channels, positions)}


class TokenEncoder(OwnParameters):
    """A transformer encoder over a feature map's tokens."""

    positions: Tensor | None

    def __init__(self, axis: TokenAxis, shape: BottleneckShape, settings: TransformerSettings) -> None:
        super().__init__()
        num_tokens, width = tokens_of(shape)[axis]
        self.axis = axis
        self.dropout = settings.dropout
        self.dropout_generator: torch.Generator | None = None
        self.is_sinusoidal = settings.positional == "sinusoidal"
        learned = nn.Parameter(torch.empty(num_tokens, width)) if settings.positional == "learned" else None
        self.register_parameter("positions", learned)
        layer = nn.TransformerEncoderLayer(
            width,
            settings.num_heads,
            settings.feedforward_width,
            dropout=0.0,  # until `dropout_from` lets it act
            batch_first=True,
            norm_first=settings.norm_first,
        )
        norm = nn.LayerNorm(width) if settings.final_norm else None
        self.encoder = nn.TransformerEncoder(
            layer, settings.num_layers, norm=norm, enable_nested_tensor=False
        )

    def initialise_own(self, generator: torch.Generator) -> None:
        """Learned positions: normal and small."""
        if self.positions is not None:
            self.positions.normal_(0, POSITION_STD, generator=generator)

    def forward(self, h: Tensor) -> Tensor:
        """(B, C, H, W) to the same."""
        channels = h.flatten(2)  # (B, C, H*W): a token per channel
        if self.axis == "channel":
            return self._encode(channels).reshape(h.shape)
        pixels = channels.transpose(1, 2)  # (B, H*W, C): a token per position
        return self._encode(pixels).transpose(1, 2).reshape(h.shape)

    def _encode(self, tokens: Tensor) -> Tensor:
        """(B, N, D) to the same."""
        if self.positions is not None:
            tokens = tokens + self.positions
        if self.is_sinusoidal:
            tokens = tokens + sinusoids(tokens.shape[1], tokens.shape[2]).to(tokens)
        if self.dropout_generator is None or self.dropout == 0:
            return torch.as_tensor(self.encoder(tokens))
        with _dropping(self.encoder, self.dropout, self.dropout_generator, tokens.device):
            return torch.as_tensor(self.encoder(tokens))


def sinusoids(num_tokens: int, width: int) -> Tensor:
    """(N, D) positions of Vaswani et al. 2017, section 3.5: sines in the even columns, cosines in the odd.

    PE(n, 2i) = sin(n / 10000^(2i / D)), PE(n, 2i + 1) = cos(n / 10000^(2i / D))

    Pixel tokens are numbered row by row.
    """
    column = torch.arange(width)
    rate = 10000.0 ** (-(column - column % 2) / width)
    angle = torch.arange(num_tokens)[:, None] * rate
    return torch.where(column % 2 == 0, angle.sin(), angle.cos())


@contextmanager
def dropout_from(editor: nn.Module, generator: torch.Generator) -> Iterator[None]:
    """Inside this block the editor's dropout acts, drawn from `generator` (a CPU one); outside there is none."""
    encoders = [part for part in editor.modules() if isinstance(part, TokenEncoder)]
    for encoder in encoders:
        encoder.dropout_generator = generator
    try:
        yield
    finally:
        for encoder in encoders:
            encoder.dropout_generator = None


@contextmanager
def _dropping(
    encoder: nn.TransformerEncoder, dropout: float, generator: torch.Generator, device: torch.device
) -> Iterator[None]:
    """Torch's dropout draws from its global generator alone: that one is lent, seeded by ours, and put back."""
    seed = int(torch.randint(2**62, (), generator=generator))
    _set_dropout(encoder, dropout)
    try:
        with torch.random.fork_rng([device] if device.type == "cuda" else []):
            torch.manual_seed(seed)
            yield
    finally:
        _set_dropout(encoder, 0.0)


def _set_dropout(encoder: nn.TransformerEncoder, dropout: float) -> None:
    for part in encoder.modules():
        if isinstance(part, nn.Dropout):
            part.p = dropout
        elif isinstance(part, nn.MultiheadAttention):
            part.dropout = dropout
