"""A transformer encoder over the tokens of a feature map, and its dropout.

Letters: B images, C channels, H and W positions, N tokens, D token width.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from trainables.h_space.backbones.shapes import BottleneckShape
from trainables.h_space.editors._initial import OwnParameters
from trainables.h_space.editors._tokens import TokenAxis, TokenSettings, tokens_of

POSITION_STD = 0.02
"""What learned positions start from, as in ViT (Dosovitskiy et al. 2021)."""


class TokenEncoder(OwnParameters):
    """A transformer encoder over a feature map's tokens."""

    positions: Tensor | None

    def __init__(self, axis: TokenAxis, shape: BottleneckShape, settings: TokenSettings) -> None:
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
