"""What every editor kind shares: its settings, its checks, how it is built."""

from abc import abstractmethod
from typing import Self

import torch
from pydantic import Field
from torch import nn

from trainables.backbones.shapes import BottleneckShape
from trainables.editors._layers import ActivationName, NormName, TemporalName, initialise
from trainables.settings import Settings

GROUP_NORM_USERS = ("adaptive_group_norm", "adaptive_group_norm_silu")


class EditorSettings(Settings):
    """Settings of an editor f_t: h and the time embedding to Delta-h (Kwon et al. 2023, section 3.2).

        h -> in-layer -> merge time embedding -> norm -> activation -> out-layer -> Delta-h

    Each kind adds a literal `kind`, what is its own, and `network`.
    """

    kind: str
    temporal: TemporalName = "add"
    """How the time embedding enters. The adaptive norms take the place of `norm`; "adaptive_group_norm" is
    the published code's, which feeds the embedding in without SiLU. "none" leaves time out."""
    norm: NormName = "group"
    num_groups: int = Field(default=32, ge=1)
    """Groups of every group norm; must divide the bottleneck's channels."""
    activation: ActivationName = "silu"
    """Before the out-layer. "swiglu" learns value and gate by a 1x1 convolution and keeps the shape."""

    @abstractmethod
    def network(self, shape: BottleneckShape) -> nn.Module:
        """The network for bottlenecks of this shape, its weights not yet set; call `build` instead."""

    def check(self, shape: BottleneckShape) -> list[str]:
        """What does not fit bottlenecks of this shape, one sentence each. Does no torch work."""
        if not self.uses_group_norm() or shape.channels % self.num_groups == 0:
            return []
        return [
            f"num_groups {self.num_groups} does not divide the {shape.channels} channels of the bottleneck"
        ]

    def uses_group_norm(self) -> bool:
        """Whether `num_groups` means anything."""
        return self.temporal in GROUP_NORM_USERS or self.norm == "group"

    def inactive(self) -> tuple[str, ...]:
        """Settings without any effect beside the others: two editors that differ only there are the same."""
        norm = ("norm",) if self.temporal in GROUP_NORM_USERS else ()
        return norm if self.uses_group_norm() else (*norm, "num_groups")

    def canonical(self) -> Self:
        """The same editor with its inactive settings at their defaults."""
        active = {name: value for name, value in self if name not in self.inactive()}
        return type(self)(**active)

    def notes(self) -> list[str]:
        """What a reader of this editor's results should be told."""
        if self.norm == "instance" and self.temporal == "add":
            return [
                "norm instance removes what temporal add puts in (the same number at every position of a "
                "channel), so this editor does not know the timestep"
            ]
        if self.norm == "instance" and self.temporal == "multiply":
            return ["norm instance leaves only the sign of what temporal multiply puts in"]
        return []

    def build(self, shape: BottleneckShape, generator: torch.Generator) -> nn.Module:
        """The editor on the CPU, initialised from `generator` alone: the same state gives the same weights.

        Raises ValueError naming the settings and sizes that do not fit.
        """
        if problems := self.check(shape):
            raise ValueError(f"editor {self.kind}: {'; '.join(problems)}")
        return initialise(on_meta(self, shape).to_empty(device="cpu"), generator)


def on_meta(settings: EditorSettings, shape: BottleneckShape) -> nn.Module:
    """The editor without memory for its weights: their names and shapes."""
    with torch.device("meta"):
        return settings.network(shape)


def num_parameters(settings: EditorSettings, shape: BottleneckShape) -> int:
    """How many weights the editor learns, without allocating any."""
    return sum(parameter.numel() for parameter in on_meta(settings, shape).parameters())
