"""Any diffusers `UNet2DModel` as a frozen noise predictor, cut at its bottleneck (the h-space of Asyrp).

Letters: B images, C channels, H and W pixels, E width of the time embedding. Nothing here knows a size:
shapes come from the model's own configuration.
"""

from collections.abc import Mapping
from copy import copy
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast, get_args

import torch
from torch import Tensor, nn

from trainables.h_space import schedule as noise
from trainables.h_space.backbones._folder import load_unet, local_folder, read_schedule
from trainables.h_space.backbones.conditional import SplitConditionalUNet
from trainables.h_space.backbones.decoder import Decoder
from trainables.h_space.backbones.encoded import Encoded
from trainables.h_space.backbones.prompt import Prompt
from trainables.h_space.backbones.shapes import (
    CONDITIONAL_CLASS,
    BackboneError,
    BottleneckShape,
    check_config,
    halved_shape,
    image_shape,
)
from trainables.h_space.lowering import computing_in
from trainables.h_space.precision import Precision

if TYPE_CHECKING:
    from diffusers.models.unets.unet_2d import UNet2DModel
    from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel

    AnyUNet = UNet2DModel | UNet2DConditionModel

__all__ = [
    "BackboneError",
    "BottleneckShape",
    "Encoded",
    "FrozenDiffusion",
    "SplitUNet",
    "built_shape",
    "image_shape",
]

PredictionType = Literal["epsilon", "v_prediction", "sample"]


class SplitUNet(nn.Module):
    """A `UNet2DModel` run in two halves; together they equal its own forward bit for bit."""

    unet: "UNet2DModel"

    def __init__(self, unet: "UNet2DModel") -> None:
        """Raises BackboneError for a model that is conditioned, or otherwise cannot be edited."""
        super().__init__()
        check_config(unet.config)
        self.unet = unet

    def encode(self, x_t: Tensor, t: int | Tensor) -> Encoded:
        """Run the encoder and the middle block on (B, C, H, W) images at one t, or at (B,) of them."""
        timesteps = torch.as_tensor(t, device=x_t.device).expand(x_t.shape[0])
        temb = self.unet.time_embedding(self.unet.time_proj(timesteps).to(self.unet.dtype))
        sample = 2 * x_t - 1.0 if self.unet.config["center_input_sample"] else x_t
        image_skip = sample
        h = self.unet.conv_in(sample)
        skips: tuple[Tensor, ...] = (h,)
        for block in self.unet.down_blocks:
            if hasattr(block, "skip_conv"):
                h, new_skips, image_skip = block(hidden_states=h, temb=temb, skip_sample=image_skip)
            else:
                h, new_skips = block(hidden_states=h, temb=temb)
            skips += new_skips
        if self.unet.mid_block is not None:
            h = self.unet.mid_block(h, temb)
        return Encoded(h, skips, temb, x_t, timesteps)

    def decode(self, encoded: Encoded) -> Tensor:
        """Run the decoder: the model's raw output (B, C_out, H, W). Another `h` may have been put in."""
        h, skips = encoded.h, encoded.skips
        image_skip = None
        for block in self.unet.up_blocks:
            count = len(cast(nn.ModuleList, block.resnets))
            skips, block_skips = skips[:-count], skips[-count:]
            if hasattr(block, "skip_conv"):
                h, image_skip = block(h, block_skips, encoded.temb, image_skip)
            else:
                h = block(h, block_skips, encoded.temb)
        output: Tensor = self.unet.conv_out(self.unet.conv_act(self.unet.conv_norm_out(h)))
        if image_skip is not None:
            output = output + image_skip
        if self.unet.config["time_embedding_type"] == "fourier":
            output = output / encoded.timesteps.reshape(-1, 1, 1, 1)
        return output

    def forward(self, x_t: Tensor, t: int | Tensor) -> Tensor:
        """Both halves: what the model itself would answer."""
        return self.decode(self.encode(x_t, t))


def built_shape(config: Mapping[str, Any]) -> BottleneckShape:
    """The bottleneck of a U-Net of this diffusers configuration, built and run without numbers.

    Raises BackboneError for a model that diffusers cannot build.
    """
    from trainables.h_space.backbones.released import build_unet  # seconds

    with torch.device("meta"):
        try:
            unet = build_unet(config)
        except (ValueError, TypeError, KeyError, IndexError) as error:
            raise BackboneError(f"diffusers cannot build a U-Net of this config: {error}") from error
        x_t, t = torch.empty(1, *image_shape(config)), torch.zeros(1, dtype=torch.long)
        split = _split(unet)
        if isinstance(split, SplitUNet):
            encoded = split.encode(x_t, t)
        else:
            encoded = split.encode(x_t, t, torch.empty(1, 1, unet.config["cross_attention_dim"]))
    _, channels, height, width = encoded.h.shape
    return BottleneckShape(channels, height, width, encoded.temb.shape[1])


def _attends(unet: "AnyUNet") -> bool:
    """Whether it attends to text; a model that was never saved has no class in its configuration."""
    return type(unet).__name__ == CONDITIONAL_CLASS


def _split(unet: "AnyUNet") -> SplitUNet | SplitConditionalUNet:
    if _attends(unet):
        return SplitConditionalUNet(cast("UNet2DConditionModel", unet))
    return SplitUNet(cast("UNet2DModel", unet))


class FrozenDiffusion(nn.Module):
    """A frozen diffusion model that answers with epsilon, whatever it was trained to predict.

    Its weights take no gradient and it stays in evaluation mode. A model with twice as many output as input
    channels has learned its variance too: the first half is the prediction, the rest is dropped.
    """

    alpha_bar: Tensor
    t_max: int
    """The noisiest timestep that is used: where sequences of timesteps end."""
    prompt: Tensor | None
    """(L, d), of a model that attends to a prompt."""
    empty_prompt: Tensor | None
    """(L, d), with guidance."""

    def __init__(
        self,
        unet: "AnyUNet",
        alpha_bar: Tensor,
        prediction_type: PredictionType = "epsilon",
        prompt: Prompt | None = None,
    ) -> None:
        """A model that attends to text attends to `prompt`. Raises BackboneError for one that cannot be used."""
        super().__init__()
        if _attends(unet) != (prompt is not None):
            raise BackboneError("expected a prompt for a U-Net that attends to one, and none for any other")
        if prediction_type not in get_args(PredictionType):
            expected = ", ".join(get_args(PredictionType))
            raise BackboneError(f"prediction_type: expected one of {expected}; found {prediction_type}")
        self.split = _split(unet)
        self.prediction_type = prediction_type
        self.register_buffer("alpha_bar", alpha_bar, persistent=False)
        self.register_buffer("prompt", None if prompt is None else prompt.embedding, persistent=False)
        self.register_buffer("empty_prompt", None if prompt is None else prompt.empty, persistent=False)
        self.guidance = 1.0 if prompt is None else prompt.guidance
        self.t_max = noise.highest_timestep(alpha_bar.cpu().numpy(), prediction_type)
        self.x_shape = image_shape(unet.config)
        self.shape = halved_shape(unet.config) or built_shape(unet.config)
        self.precision: Precision = "float32"
        self.lowered_below: int | None = None
        self.requires_grad_(False)
        self.train(False)
        self._decoder = Decoder.of(self.split.unet) if isinstance(self.split, SplitUNet) else None
        self.to(memory_format=torch.channels_last)  # a fifth faster on CPUs, tensor cores' own order on GPUs

    @classmethod
    def from_folder(
        cls, path_or_hub_id: str | Path, revision: str | None = None, prompt: Prompt | None = None
    ) -> "FrozenDiffusion":
        """Load a diffusers pipeline: a folder (or a hub id, at a commit) with a U-Net and a scheduler configuration.

        Raises BackboneError, naming the file, when something is missing or does not fit.
        """
        folder = local_folder(path_or_hub_id, revision)
        schedule = read_schedule(folder)
        alpha_bar = noise.alpha_bars(schedule.betas)
        return cls(load_unet(folder), alpha_bar, schedule.prediction_type, prompt)

    def train(self, mode: bool = True) -> "FrozenDiffusion":
        """Stay in evaluation mode: frozen means frozen, whatever a surrounding module asks."""
        super().train(False)
        return self

    def at(self, precision: Precision, below: int | None = None) -> "FrozenDiffusion":
        """The same model, computing in a precision at timesteps below one, in float32 from there up."""
        found = copy(self)
        found.precision, found.lowered_below = precision, below
        return found

    def alpha_bar_at(self, t: int | Tensor) -> Tensor:
        """alpha_bar(t); 1 at t = -1."""
        return noise.alpha_bar_at(self.alpha_bar, t)

    @torch.no_grad()
    def encode(self, x_t: Tensor, t: int | Tensor) -> Encoded:
        """The bottleneck of (B, C, H, W) images at one t, or at (B,) of them. Never carries a gradient."""
        x_t = x_t.contiguous(memory_format=torch.channels_last)
        precision = self._precision_at(t)
        with computing_in(precision, x_t.device):
            found = self._encoded(x_t, t)
        return found._replace(h=found.h.float(), temb=found.temb.float(), precision=precision)

    def _precision_at(self, t: int | Tensor) -> Precision:
        below = self.lowered_below
        return self.precision if below is None or bool(torch.as_tensor(t < below).all()) else "float32"

    def _encoded(self, x_t: Tensor, t: int | Tensor) -> Encoded:
        if isinstance(self.split, SplitUNet):
            encoded = self.split.encode(x_t, t)
            return encoded if self._decoder is None else self._decoder.prepare(encoded)
        assert self.prompt is not None
        prompted = self.prompt.expand(len(x_t), -1, -1)
        if self.empty_prompt is None:
            return self.split.encode(x_t, t, prompted)
        unprompted = self.empty_prompt.expand(len(x_t), -1, -1)
        timesteps = torch.as_tensor(t, device=x_t.device).expand(len(x_t)).repeat(2)
        both = self.split.encode(torch.cat([x_t, x_t]), timesteps, torch.cat([unprompted, prompted]))
        unprompted_h, h = both.h.chunk(2)
        temb, timesteps = both.temb[: len(x_t)], timesteps[: len(x_t)]
        return both._replace(h=h, temb=temb, x_t=x_t, timesteps=timesteps, unprompted_h=unprompted_h)

    def decode(self, encoded: Encoded, h: Tensor | None = None) -> Tensor:
        """epsilon (B, C, H, W) from the bottleneck, or from an edited `h` in its place; gradients flow.

        With guidance, where only the prompted half is edited: eps = eps_empty + s (eps_prompt - eps_empty).
        """
        here = encoded if h is None else encoded._replace(h=h)
        if here.unprompted_h is not None:
            here = here._replace(h=torch.cat([here.unprompted_h, here.h]), temb=here.temb.repeat(2, 1))
        with computing_in(here.precision, here.h.device):
            if self._decoder is not None and here.skip_parts is not None:
                output = self._decoder.decode(here, here.h)
            else:
                output = self.split.decode(here)
        output = output.float()
        if here.unprompted_h is not None:
            unprompted, prompted = output.chunk(2)
            output = unprompted + self.guidance * (prompted - unprompted)
        return self._to_eps(output[:, : self.x_shape[0]], encoded)

    @torch.no_grad()
    def eps(self, x_t: Tensor, t: int | Tensor) -> Tensor:
        """The unedited epsilon (B, C, H, W), without gradient."""
        return self.decode(self.encode(x_t, t))

    def _to_eps(self, prediction: Tensor, encoded: Encoded) -> Tensor:
        """epsilon from v (Salimans and Ho 2022) or from the predicted clean image."""
        if self.prediction_type == "epsilon":
            return prediction
        alpha_bar_t = self.alpha_bar_at(encoded.timesteps)
        if self.prediction_type == "v_prediction":
            return alpha_bar_t.sqrt() * prediction + (1 - alpha_bar_t).sqrt() * encoded.x_t
        return (encoded.x_t - alpha_bar_t.sqrt() * prediction) / (1 - alpha_bar_t).sqrt()
