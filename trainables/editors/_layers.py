"""The parts that editors are put together from.

Letters: B images, C channels, H and W positions, E width of the time embedding, N tokens, D token width.
"""

import math
from collections import OrderedDict
from typing import Literal

import torch
from torch import Tensor, nn

from trainables.backbones.shapes import BottleneckShape

TemporalName = Literal["add", "multiply", "adaptive_group_norm", "adaptive_group_norm_silu", "none"]
NormName = Literal["group", "instance", "layer", "none"]
ActivationName = Literal["silu", "relu", "gelu", "swiglu"]
TokenAxis = Literal["pixel", "channel"]

NORM_EPS = 1e-6
"""Of the published editor's norm; torch's default is 1e-5."""
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


class TokenEncoder(nn.Module):
    """A transformer encoder over a feature map's tokens: post-norm, ReLU, no dropout, no positional encoding.

    Axis "pixel": H*W tokens of width C. Axis "channel": C tokens of width H*W.
    """

    def __init__(
        self, axis: TokenAxis, width: int, num_heads: int, num_layers: int, feedforward: int, final_norm: bool
    ) -> None:
        super().__init__()
        self.axis = axis
        layer = nn.TransformerEncoderLayer(width, num_heads, feedforward, dropout=0.0, batch_first=True)
        norm = nn.LayerNorm(width) if final_norm else None
        self.encoder = nn.TransformerEncoder(layer, num_layers, norm=norm, enable_nested_tensor=False)

    def forward(self, h: Tensor) -> Tensor:
        """(B, C, H, W) to the same."""
        channels = h.flatten(2)  # (B, C, H*W): a token per channel
        if self.axis == "channel":
            return torch.as_tensor(self.encoder(channels)).reshape(h.shape)
        pixels = channels.transpose(1, 2)  # (B, H*W, C): a token per position
        return torch.as_tensor(self.encoder(pixels)).transpose(1, 2).reshape(h.shape)


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

    def forward(self, h: Tensor, temb: Tensor) -> Tensor:
        """h (B, C, H, W), temb (B, E) to Delta-h (B, C, H, W)."""
        delta_h: Tensor = self.out_layer(self.activation(self.temporal(self.in_layer(h), temb)))
        return delta_h


def in_series(**layers: nn.Module) -> nn.Sequential:
    """Layers applied one after the other, each under its name in the state dict."""
    return nn.Sequential(OrderedDict(layers))


@torch.no_grad()
def initialise(module: nn.Module, generator: torch.Generator) -> nn.Module:
    """Set every weight as the published code does, drawing from `generator` alone.

    Convolutions and linear layers as torch does by default, uniform within 1/sqrt(fan-in); the matrices of
    transformer encoders Xavier-uniform and their attention biases zero; norms the identity.
    """
    for part in module.modules():
        if isinstance(part, nn.Conv2d | nn.Linear):
            bound = 1 / math.sqrt(part.weight[0].numel())
            part.weight.uniform_(-bound, bound, generator=generator)
            if part.bias is not None:
                part.bias.uniform_(-bound, bound, generator=generator)
        elif isinstance(part, nn.GroupNorm | nn.LayerNorm) and part.weight is not None:
            part.weight.fill_(1)
            part.bias.zero_()
    for part in module.modules():
        if isinstance(part, nn.TransformerEncoderLayer):
            _initialise_transformer_layer(part, generator)
    return module


def _initialise_transformer_layer(layer: nn.TransformerEncoderLayer, generator: torch.Generator) -> None:
    for parameter in layer.parameters():
        if parameter.dim() > 1:
            nn.init.xavier_uniform_(parameter, generator=generator)
    layer.self_attn.in_proj_bias.zero_()
    layer.self_attn.out_proj.bias.zero_()


def _over_positions(embedded: Tensor) -> Tensor:
    return embedded[:, :, None, None]
