"""Attention between the channels of the bottleneck."""

from typing import ClassVar, Literal

from trainables.h_space.editors._tokens import TokenAxis
from trainables.h_space.editors._transformer import TransformerSettings


class Config(TransformerSettings):
    """One token per channel, as wide as there are positions."""

    AXES: ClassVar[tuple[TokenAxis, ...]] = ("channel",)

    kind: Literal["channel"]
