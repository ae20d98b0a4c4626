"""The middle block of text-to-image U-Nets as an editor (an option of the ablation study, method.md section 6.5)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from trainables.h_space.backbones.shapes import BottleneckShape
from trainables.h_space.editors._base import EditorSettings, group_problems

if TYPE_CHECKING:
    from torch import nn


class Config(EditorSettings):
    """Residual block with time, attention block, residual block with time. Its cross-attention sees h alone.

    No text or other context is given, as in the published code: "cross"-attention then takes keys and values from
    h as well, a second self-attention. Being residual, it answers with about h itself when it starts.
    """

    kind: Literal["midblock"]
    num_heads: int = Field(default=1, ge=1)
    """Attention heads; must divide the bottleneck's channels."""
    num_groups: int = Field(default=32, ge=1)
    """Groups of every group norm; must divide the bottleneck's channels."""

    def check(self, shape: BottleneckShape) -> list[str]:
        """What does not fit bottlenecks of this shape, one sentence each; empty when all fits."""
        problems = group_problems(self.num_groups, shape)
        if shape.channels % self.num_heads:
            problems.append(
                f"num_heads {self.num_heads} does not divide the {shape.channels} channels of the bottleneck"
            )
        return problems

    def network(self, shape: BottleneckShape, timesteps: tuple[int, ...]) -> nn.Module:
        """The network for bottlenecks of this shape, its weights not yet set."""
        from trainables.h_space.editors._midblock_network import MidBlock

        return MidBlock(shape, num_heads=self.num_heads, num_groups=self.num_groups)
