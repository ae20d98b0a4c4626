"""Settings shared by the editors of the published skeleton."""

from typing import Literal

from pydantic import Field

from trainables.h_space.backbones.shapes import BottleneckShape
from trainables.h_space.editors._base import EditorSettings, group_problems

TemporalName = Literal["add", "multiply", "adaptive_group_norm", "adaptive_group_norm_silu", "none"]
NormName = Literal["group", "instance", "layer", "none"]
ActivationName = Literal["silu", "relu", "gelu", "swiglu"]

GROUP_NORM_USERS = ("adaptive_group_norm", "adaptive_group_norm_silu")


class BlockSettings(EditorSettings):
    """The published skeleton; a kind says what its in- and out-layer are.

    h -> in-layer -> merge time embedding -> norm -> activation -> out-layer -> Delta-h
    """

    temporal: TemporalName = "add"
    """How the time embedding enters. The adaptive norms take the place of `norm`; "adaptive_group_norm" is
    the published code's, which feeds the embedding in without SiLU. "none" leaves time out."""
    norm: NormName = "group"
    """The norm before the activation."""
    num_groups: int = Field(default=32, ge=1)
    """Groups of every group norm; must divide the bottleneck's channels."""
    activation: ActivationName = "silu"
    """Before the out-layer. "swiglu" learns value and gate by a 1x1 convolution and keeps the shape."""

    def check(self, shape: BottleneckShape) -> list[str]:
        """What does not fit bottlenecks of this shape, one sentence each; empty when all fits."""
        return group_problems(self.num_groups, shape) if self.uses_group_norm() else []

    def uses_group_norm(self) -> bool:
        """Whether `num_groups` means anything."""
        return self.temporal in GROUP_NORM_USERS or self.norm == "group"

    def inactive(self) -> tuple[str, ...]:
        """Settings without any effect beside the others: two editors that differ only there are the same."""
        norm = ("norm",) if self.temporal in GROUP_NORM_USERS else ()
        return norm if self.uses_group_norm() else (*norm, "num_groups")

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
