"""Attention between positions, then between channels."""

from typing import ClassVar, Literal

from trainables.h_space.editors._tokens import TokenAxis
from trainables.h_space.editors._transformer import TransformerSettings


class Config(TransformerSettings):
    """A pixel encoder followed by a channel encoder, as in-layer and again as out-layer."""

    AXES: ClassVar[tuple[TokenAxis, ...]] = ("pixel", "channel")

    kind: Literal["pixel_channel"]
