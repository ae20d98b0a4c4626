"""The network of an editor whose Delta-h is itself the parameter.

Letters: B images, C channels, H and W positions, E width of the time embedding.
"""

import torch
from torch import Tensor, nn

from trainables.h_space.backbones.shapes import BottleneckShape
from trainables.h_space.editors._initial import OwnParameters


class DirectDeltaH(OwnParameters):
    """One (C, H, W) tensor for each of some timesteps.

    Parameters of their own, so that an optimizer step at one timestep leaves the others (and their moments) alone.
    """

    def __init__(self, shape: BottleneckShape, timesteps: tuple[int, ...], initial_std: float) -> None:
        super().__init__()
        self.timesteps = timesteps
        self.initial_std = initial_std
        size = (shape.channels, shape.height, shape.width)
        self.delta_h = nn.ParameterDict({str(t): nn.Parameter(torch.empty(size)) for t in timesteps})

    def initialise_own(self, generator: torch.Generator) -> None:
        """Normal numbers, small by default."""
        for t in self.timesteps:
            self.delta_h[str(t)].normal_(0, self.initial_std, generator=generator)

    def forward(self, h: Tensor, temb: Tensor, t: int) -> Tensor:
        """Delta-h (B, C, H, W) of the timestep nearest to t, the noisier of two as near; temb is not read."""
        nearest = min(self.timesteps, key=lambda own: (abs(own - t), -own))
        delta_h: Tensor = self.delta_h[str(nearest)]
        return delta_h.expand_as(h)
