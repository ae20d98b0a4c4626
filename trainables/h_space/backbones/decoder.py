"""The decoder of a U-Net as it is run at every step: all that does not depend on the bottleneck is computed once.

A residual block of the decoder reads `[h, skip]`. Its group norm and its first convolution fall into a part of each,
for the skip's groups and the skip's input channels are its own:

    conv(act(norm([h, skip]))) = conv_h(act(norm_h(h))) + conv_skip(act(norm_skip(skip)))

The second term is the same for the unedited and the edited bottleneck and takes no gradient: it is computed once an
image and timestep, outside of the backward pass. Where a group reaches over the border, its channels of the skip count
as h's. On a CPU a convolution after nearest upsampling is computed before it: a 3x3 convolution of an image in
which every pixel stands four times is four 2x2 convolutions of the image (4/9 of the work), whose weights are sums.
What comes out differs from diffusers' own forward by the order of additions alone (docs/design/030).

Letters: B images, C channels, H and W positions, E time embedding.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from trainables.h_space.backbones.encoded import Encoded, SkipPart
from trainables.h_space.lowering import in_float32

if TYPE_CHECKING:
    from diffusers.models.unets.unet_2d import UNet2DModel

DIVISIBLE_BLOCKS = ("UpBlock2D", "AttnUpBlock2D", "ResnetUpsampleBlock2D")
"""Blocks of residual blocks, attention after them where there is any, and upsamplers; others run as they are."""


class Decoder:
    """The decoder of a frozen `UNet2DModel`; its weights are read when it first runs on a device."""

    @classmethod
    def of(cls, unet: "UNet2DModel") -> "Decoder | None":
        """The decoder of a U-Net; None for one with blocks of other kinds, or whose output is not its last layer's."""
        blocks = cast("Sequence[Any]", unet.up_blocks)
        is_known = unet.config["time_embedding_type"] != "fourier" and all(
            type(block).__name__ in DIVISIBLE_BLOCKS
            and all(one.time_embedding_norm in ("default", "scale_shift") for one in block.resnets)
            for block in blocks
        )
        return cls(unet) if is_known else None

    def __init__(self, unet: "UNet2DModel") -> None:
        self._unet = unet
        self._blocks: list[_Block] | None = None
        self._device: torch.device | None = None

    def prepare(self, encoded: Encoded) -> Encoded:
        """The same with the skips' parts, which every `decode` of it shares."""
        if self._blocks is None or self._device != encoded.h.device:
            with in_float32(encoded.h.device):  # whatever runs first, later ones read the same weights
                self._blocks, self._device = self._read(encoded), encoded.h.device
        residuals = [residual for block in self._blocks for residual in block.residuals]
        parts = [
            residual.of_skip(skip, encoded.temb)
            for residual, skip in zip(residuals, reversed(encoded.skips), strict=True)
        ]
        return encoded._replace(skip_parts=tuple(parts))

    def decode(self, encoded: Encoded, h: Tensor) -> Tensor:
        """The model's raw output (B, C_out, H, W) at this bottleneck (B, C, H, W)."""
        assert self._blocks is not None, "prepare comes first"
        assert encoded.skip_parts is not None, "prepare comes first"
        parts = iter(encoded.skip_parts)
        for block in self._blocks:
            for residual, attention in zip(block.residuals, block.attentions, strict=True):
                h = attention(residual(h, next(parts)))
            for upsampler in block.upsamplers:
                h = upsampler(h, encoded.temb) if isinstance(upsampler, nn.Module) else upsampler(h)
        unet = self._unet
        return cast(Tensor, unet.conv_out(unet.conv_act(unet.conv_norm_out(h))))

    def _read(self, encoded: Encoded) -> "list[_Block]":
        """The blocks with their weights cut: how many channels of an input are h's follows from the skips'."""
        skips, found = list(encoded.skips), []
        for block in cast("Sequence[Any]", self._unet.up_blocks):
            residuals = [_Residual(one, one.in_channels - skips.pop().shape[1]) for one in block.resnets]
            attentions = getattr(block, "attentions", None) or [nn.Identity()] * len(residuals)
            upsamplers = [_upsampler(one, encoded.h.device) for one in block.upsamplers or ()]
            found.append(_Block(residuals, list(attentions), upsamplers))
        return found


class _Block(NamedTuple):
    residuals: "list[_Residual]"
    attentions: list[nn.Module]
    upsamplers: list[Any]


class _Residual:
    """A `ResnetBlock2D` that reads h and the part of a skip."""

    def __init__(self, block: Any, h_channels: int) -> None:
        self._block = block
        norm, conv = block.norm1, block.conv1
        self._group = norm.num_channels // norm.num_groups
        border = -(-h_channels // self._group) * self._group
        self._borrowed = border - h_channels
        """Channels of the skip in a group that reaches over the border."""
        self._norm_h, self._norm_skip = (
            (norm.weight[part], norm.bias[part]) for part in (slice(border), slice(border, None))
        )
        self._conv_h, self._conv_skip = (
            conv.weight[:, part].contiguous(memory_format=torch.channels_last)
            for part in (slice(border), slice(border, None))
        )
        self._shortcut_h: Tensor | None = None
        self._shortcut_skip: Tensor | None = None
        if block.conv_shortcut is not None:
            weight = block.conv_shortcut.weight[:, :, 0, 0]
            self._shortcut_h, self._shortcut_skip = weight[:, :h_channels], weight[:, h_channels:]

    def of_skip(self, skip: Tensor, temb: Tensor) -> SkipPart:
        """What a skip (B, C, H, W) and the time embedding (B, E) add."""
        block = self._block
        conv: Tensor = block.conv1.bias[:, None, None]
        if self._borrowed < skip.shape[1]:
            own = skip[:, self._borrowed :].contiguous(memory_format=torch.channels_last)
            conv = F.conv2d(self._normed(own, self._norm_skip), self._conv_skip, block.conv1.bias, padding=1)
        temb = temb if block.skip_time_act else block.nonlinearity(temb)
        time = block.time_emb_proj(temb)[:, :, None, None]
        scale, shift = None, None
        if block.time_embedding_norm == "default":
            conv = conv + time
        else:
            scale, shift = time.chunk(2, dim=1)
            scale = 1 + scale
        shortcut = None
        if self._shortcut_skip is not None:
            shortcut = _one_by_one(skip, self._shortcut_skip, block.conv_shortcut.bias)
        return SkipPart(conv, shortcut, scale, shift, skip[:, : self._borrowed] if self._borrowed else None)

    def __call__(self, h: Tensor, part: SkipPart) -> Tensor:
        block = self._block
        front = h if part.borrowed is None else torch.cat([h, part.borrowed], dim=1)
        x = F.conv2d(self._normed(front, self._norm_h), self._conv_h, padding=1) + part.conv
        x = block.norm2(x)
        if part.scale is not None and part.shift is not None:
            x = x * part.scale + part.shift
        x = block.conv2(block.nonlinearity(x))
        if self._shortcut_h is not None and part.shortcut is not None:
            h = _one_by_one(h, self._shortcut_h) + part.shortcut
        whole: Tensor = h + x
        return whole if block.output_scale_factor == 1 else whole / float(block.output_scale_factor)

    def _normed(self, x: Tensor, affine: tuple[Tensor, Tensor]) -> Tensor:
        normed = F.group_norm(x, x.shape[1] // self._group, *affine, eps=self._block.norm1.eps)
        return cast(Tensor, self._block.nonlinearity(normed))


def _one_by_one(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """A 1x1 convolution as a product, which needs no copy of an image whose channels lie last in memory."""
    return F.linear(x.permute(0, 2, 3, 1), weight, bias).permute(0, 3, 1, 2)


def _upsampler(block: Any, device: torch.device) -> Any:
    """An upsampler as a residual block takes it; the plain kind convolved before it is enlarged, on a CPU."""
    if not hasattr(block, "use_conv"):
        return block  # a residual block, which wants the time embedding
    is_plain = block.use_conv and block.norm is None and not block.use_conv_transpose and block.interpolate
    if device.type != "cpu" or not is_plain or block.conv.kernel_size != (3, 3):
        return lambda h: block(h)
    return _Enlarging(block.conv)


class _Enlarging:
    """Nearest upsampling by two, then a 3x3 convolution."""

    def __init__(self, conv: nn.Conv2d) -> None:
        # In a line, an even position sees its pixel's left neighbour once and itself twice, an odd one itself twice
        # and its right neighbour once.
        sums = torch.tensor([[[1.0, 0, 0], [0, 1, 1]], [[1, 1, 0], [0, 0, 1]]]).to(
            conv.weight
        )  # parity, tap, taps
        weight = torch.einsum("aip,bjq,ocpq->abocij", sums, sums, conv.weight)
        self._weight = weight.flatten(0, 2).contiguous(
            memory_format=torch.channels_last
        )  # (4 C_out, C, 2, 2)
        self._bias = None if conv.bias is None else conv.bias.repeat(4)

    def __call__(self, h: Tensor) -> Tensor:
        found = F.conv2d(h, self._weight, self._bias, padding=1)  # (B, 4 C_out, H + 1, W + 1)
        return cast(Tensor, _Interleaved.apply(found.permute(0, 2, 3, 1))).permute(0, 3, 1, 2)


class _Interleaved(torch.autograd.Function):
    """(B, H + 1, W + 1, 4 C) to (B, 2 H, 2 W, C): channels (a, b, C) at (y + a, x + b) become (2 y + a, 2 x + b)."""

    @staticmethod
    def forward(context: Any, x: Tensor) -> Tensor:
        """In one copy."""
        context.shape = x.shape
        return _by_parity(x.contiguous()).reshape(len(x), 2 * (x.shape[1] - 1), 2 * (x.shape[2] - 1), -1)

    @staticmethod
    def backward(context: Any, *gradients: Tensor) -> Tensor:
        """To where each came from; the others were read by none."""
        x = gradients[0].new_zeros(context.shape)
        parts = _by_parity(x)
        parts.copy_(gradients[0].reshape(parts.shape))
        return x


def _by_parity(x: Tensor) -> Tensor:
    """The view (B, H, 2, W, 2, C) of what is contiguous."""
    images, height, width, channels = x.shape[0], x.shape[1] - 1, x.shape[2] - 1, x.shape[3] // 4
    down, right = 4 * channels * (width + 1), 4 * channels
    strides = (down * (height + 1), down, down + 2 * channels, right, right + channels, 1)
    return x.as_strided((images, height, 2, width, 2, channels), strides)
