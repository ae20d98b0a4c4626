"""Attention between channels, then between positions."""

from typing import ClassVar, Literal

from trainables.h_space.editors._tokens import TokenAxis
from trainables.h_space.editors._transformer import TransformerSettings


class Config(TransformerSettings):
    """A channel encoder followed by a pixel encoder, as in-layer and again as out-layer."""

    AXES: ClassVar[tuple[TokenAxis, ...]] = ("channel", "pixel")

    kind: Literal["channel_pixel"]
