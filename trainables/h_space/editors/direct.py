"""A Delta-h for every timestep, learned as it is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from trainables.h_space.backbones.shapes import BottleneckShape
from trainables.h_space.editors._direct import DirectSettings

if TYPE_CHECKING:
    from torch import nn


class Config(DirectSettings):
    """One tensor per trained timestep; at others, the nearest one's. The image is not read."""

    kind: Literal["direct"]

    def network(self, shape: BottleneckShape, timesteps: tuple[int, ...]) -> nn.Module:
        """The tensors for bottlenecks of this shape, not yet set."""
        from trainables.h_space.editors._direct_network import DirectDeltaH

        return DirectDeltaH(shape, timesteps, self.initial_std)
