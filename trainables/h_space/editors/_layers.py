"""The parts that editors are put together from.

Letters: B images, C channels, H and W positions, E width of the time embedding.
"""

from collections import OrderedDict

from torch import Tensor, nn

from trainables.h_space.backbones.shapes import BottleneckShape
from trainables.h_space.editors._block import ActivationName, NormName, TemporalName

NORM_EPS = 1e-6
"""Epsilon of the published editor's norm; torch's default is 1e-5."""
ADAPTIVE_NORM_EPS = 1e-5


class GatedLinearUnit(nn.Module):
    """SwiGLU over channels: SiLU(gate) * value, both by one 1x1 convolution. Keeps the shape (B, C, H, W)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(channels, 2 * channels, kernel_size=1)

    def forward(self, y: Tensor) -> Tensor:
        """(B, C, H, W) to the same."""
        gate, value = self.proj(y).chunk(2, dim=1)
        gated: Tensor = nn.functional.silu(gate) * value
        return gated


def make_activation(name: ActivationName, channels: int) -> nn.Module:
    """The activation before the out-layer."""
    if name == "swiglu":
        return GatedLinearUnit(channels)
    plain: dict[str, type[nn.Module]] = {"silu": nn.SiLU, "relu": nn.ReLU, "gelu": nn.GELU}
    return plain[name]()


def make_norm(name: NormName, channels: int, num_groups: int, eps: float = NORM_EPS) -> nn.Module:
    """A norm of (B, C, H, W) with one scale and shift per channel.

    group: within groups of channels; instance: each channel alone; layer: the whole feature map.
    """
    if name == "none":
        return nn.Identity()
    groups = {"group": num_groups, "instance": channels, "layer": 1}[name]
    return nn.GroupNorm(groups, channels, eps=eps)


class AddTime(nn.Module):
    """norm(y + W SiLU(temb)), the same at every position; the published default."""

    def __init__(self, shape: BottleneckShape, norm: nn.Module) -> None:
        super().__init__()
        self.proj = nn.Linear(shape.temb_width, shape.channels)
        self.norm = norm

    def forward(self, y: Tensor, temb: Tensor) -> Tensor:
        """y (B, C, H, W), temb (B, E) to (B, C, H, W)."""
        merged: Tensor = self.norm(y + _over_positions(self.proj(nn.functional.silu(temb))))
        return merged


class MultiplyTime(AddTime):
    """norm(y * W SiLU(temb))."""

    def forward(self, y: Tensor, temb: Tensor) -> Tensor:
        """y (B, C, H, W), temb (B, E) to (B, C, H, W)."""
        merged: Tensor = self.norm(y * _over_positions(self.proj(nn.functional.silu(temb))))
        return merged


class AdaptiveGroupNorm(nn.Module):
    """GN(y) (1 + scale) + shift, with (scale, shift) linear in temb; the norm itself learns nothing.

    Departure: the published module also kept the ordinary norm and projection as weights that nothing uses.
    """

    def __init__(self, shape: BottleneckShape, num_groups: int, silu_first: bool) -> None:
        super().__init__()
        self.silu_first = silu_first
        self.norm = nn.GroupNorm(num_groups, shape.channels, eps=ADAPTIVE_NORM_EPS, affine=False)
        self.proj = nn.Linear(shape.temb_width, 2 * shape.channels)

    def forward(self, y: Tensor, temb: Tensor) -> Tensor:
        """y (B, C, H, W), temb (B, E) to (B, C, H, W)."""
        embedded = self.proj(nn.functional.silu(temb) if self.silu_first else temb)
        scale, shift = _over_positions(embedded).chunk(2, dim=1)
        merged: Tensor = self.norm(y) * (1 + scale) + shift
        return merged


class IgnoreTime(nn.Module):
    """norm(y): the editor does not know the timestep.

    Departure: as in the official code. The seed repository skips norm and activation as well.
    """

    def __init__(self, norm: nn.Module) -> None:
        super().__init__()
        self.norm = norm

    def forward(self, y: Tensor, temb: Tensor) -> Tensor:
        """y (B, C, H, W) to the same; temb is not read."""
        normed: Tensor = self.norm(y)
        return normed


def make_temporal(name: TemporalName, shape: BottleneckShape, norm: nn.Module, num_groups: int) -> nn.Module:
    """The merge of the time embedding together with the norm after it."""
    if name == "none":
        return IgnoreTime(norm)
    if name in ("add", "multiply"):
        return (AddTime if name == "add" else MultiplyTime)(shape, norm)
    return AdaptiveGroupNorm(shape, num_groups, silu_first=name == "adaptive_group_norm_silu")


class DeltaBlock(nn.Module):
    """The skeleton of every editor. There is no skip around it: Delta-h is added to h outside."""

    def __init__(
        self, in_layer: nn.Module, temporal: nn.Module, activation: nn.Module, out_layer: nn.Module
    ) -> None:
        super().__init__()
        self.in_layer = in_layer
        self.temporal = temporal
        self.activation = activation
        self.out_layer = out_layer

    def forward(self, h: Tensor, temb: Tensor, t: int) -> Tensor:
        """h (B, C, H, W), temb (B, E) to Delta-h (B, C, H, W); t itself is not read."""
        delta_h: Tensor = self.out_layer(self.activation(self.temporal(self.in_layer(h), temb)))
        return delta_h


def in_series(**layers: nn.Module) -> nn.Sequential:
    """Layers applied one after the other, each under its name in the state dict."""
    return nn.Sequential(OrderedDict(layers))


def _over_positions(embedded: Tensor) -> Tensor:
    return embedded[:, :, None, None]
