"""A Delta-h for every timestep, learned as it is."""

from typing import Literal

from torch import nn

from trainables.h_space.backbones.shapes import BottleneckShape
from trainables.h_space.editors._direct import DirectDeltaH, DirectSettings


class Config(DirectSettings):
    """One tensor per trained timestep; at others, the nearest one's. The image is not read."""

    kind: Literal["direct"]

    def network(self, shape: BottleneckShape, timesteps: tuple[int, ...]) -> nn.Module:
        """The tensors for bottlenecks of this shape, not yet set."""
        return DirectDeltaH(shape, timesteps, self.initial_std)
