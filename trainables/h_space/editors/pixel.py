"""Attention between the positions of the bottleneck."""

from typing import ClassVar, Literal

from trainables.h_space.editors._tokens import TokenAxis
from trainables.h_space.editors._transformer import TransformerSettings


class Config(TransformerSettings):
    """One token per position, as wide as there are channels."""

    AXES: ClassVar[tuple[TokenAxis, ...]] = ("pixel",)

    kind: Literal["pixel"]
