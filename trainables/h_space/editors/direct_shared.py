"""One Delta-h for all timesteps, learned as it is."""

from typing import Literal

from torch import nn

from trainables.h_space.backbones.shapes import BottleneckShape
from trainables.h_space.editors._direct import DirectDeltaH, DirectSettings

ANY_TIMESTEP = (0,)


class Config(DirectSettings):
    """One tensor for all timesteps. Neither image nor time is read."""

    kind: Literal["direct_shared"]

    def network(self, shape: BottleneckShape, timesteps: tuple[int, ...]) -> nn.Module:
        """The tensor for bottlenecks of this shape, not yet set."""
        return DirectDeltaH(shape, ANY_TIMESTEP, self.initial_std)
