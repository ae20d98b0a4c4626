"""A diffusers `UNet2DConditionModel` cut at its bottleneck, as `unet.SplitUNet` cuts a `UNet2DModel`.

Letters: B images, C channels, H and W positions, E width of the time embedding, L tokens of a prompt, d their width.
"""

from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor, nn

from trainables.h_space.backbones.encoded import Encoded
from trainables.h_space.backbones.shapes import check_config

if TYPE_CHECKING:
    from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel


class SplitConditionalUNet(nn.Module):
    """A `UNet2DConditionModel` run in two halves; together they equal its own forward bit for bit."""

    unet: "UNet2DConditionModel"

    def __init__(self, unet: "UNet2DConditionModel") -> None:
        """Raises BackboneError for a model that wants more than a prompt."""
        super().__init__()
        check_config(unet.config)
        self.unet = unet

    def encode(self, x_t: Tensor, t: int | Tensor, context: Tensor) -> Encoded:
        """Run the encoder and the middle block on (B, C, H, W) at one t, or at (B,) of them, and prompts (B, L, d)."""
        timesteps = torch.as_tensor(t, device=x_t.device).expand(x_t.shape[0])
        sample = 2 * x_t - 1.0 if self.unet.config["center_input_sample"] else x_t
        temb = self.unet.time_embedding(self.unet.get_time_embed(sample=sample, timestep=timesteps))
        if self.unet.time_embed_act is not None:
            temb = self.unet.time_embed_act(temb)
        h = self.unet.conv_in(sample)
        skips: tuple[Tensor, ...] = (h,)
        for block in self.unet.down_blocks:
            h, new_skips = block(hidden_states=h, temb=temb, **_attended(block, context))
            skips += new_skips
        if (middle := self.unet.mid_block) is not None:
            h = middle(h, temb, **_attended(middle, context))
        return Encoded(h, skips, temb, x_t, timesteps, context)

    def decode(self, encoded: Encoded) -> Tensor:
        """Run the decoder: the model's raw output (B, C_out, H, W). Another `h` may have been put in."""
        assert encoded.context is not None
        h, skips = encoded.h, encoded.skips
        for block in self.unet.up_blocks:
            count = len(cast(nn.ModuleList, block.resnets))
            skips, block_skips = skips[:-count], skips[-count:]
            h = block(
                hidden_states=h,
                temb=encoded.temb,
                res_hidden_states_tuple=block_skips,
                **_attended(block, encoded.context),
            )
        if self.unet.conv_norm_out:
            h = self.unet.conv_act(self.unet.conv_norm_out(h))
        output: Tensor = self.unet.conv_out(h)
        return output


def _attended(block: nn.Module, context: Tensor) -> dict[str, Tensor]:
    """The prompt, for a block that attends to it."""
    return {"encoder_hidden_states": context} if getattr(block, "has_cross_attention", False) else {}
