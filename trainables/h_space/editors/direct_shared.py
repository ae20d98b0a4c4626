"""One Delta-h for all timesteps, learned as it is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from trainables.h_space.backbones.shapes import BottleneckShape
from trainables.h_space.editors._direct import DirectSettings

if TYPE_CHECKING:
    from torch import nn

ANY_TIMESTEP = (0,)


class Config(DirectSettings):
    """One tensor for all timesteps. Neither image nor time is read."""

    kind: Literal["direct_shared"]

    def network(self, shape: BottleneckShape, timesteps: tuple[int, ...]) -> nn.Module:
        """The tensor for bottlenecks of this shape, not yet set."""
        from trainables.h_space.editors._direct_network import DirectDeltaH

        return DirectDeltaH(shape, ANY_TIMESTEP, self.initial_std)
