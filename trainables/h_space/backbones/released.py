"""U-Nets of published checkpoints that diffusers' `UNet2DModel` lacks two settings for: built as one, then given them.

Attention heads by number (4 at every level, whatever its width, as in improved-DDPM), where diffusers has one width
for all heads; and timesteps as they were trained, t times 1000 / T, where diffusers has no factor. Both are attributes
of diffusers' own layers, so that no other network is needed (docs/design/025).
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from trainables.h_space.backbones.shapes import CONDITIONAL_CLASS, RELEASED_SETTINGS

if TYPE_CHECKING:
    from diffusers.models.unets.unet_2d import UNet2DModel


def build_unet(config: Mapping[str, Any]) -> Any:
    """The U-Net of a configuration, with weights that stand for nothing yet, on the default device."""
    from diffusers.models.unets.unet_2d import UNet2DModel

    plain = {
        name: value
        for name, value in config.items()
        if name not in RELEASED_SETTINGS and not name.startswith("_")
    }
    if config.get("_class_name") == CONDITIONAL_CLASS:
        from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel

        return UNet2DConditionModel.from_config(plain)
    unet: UNet2DModel = UNet2DModel.from_config(plain)
    if (num_heads := config.get("num_attention_heads")) is not None:
        _set_heads(unet, num_heads)
    unet.time_proj.scale = config.get("timestep_factor", 1.0)
    return unet


def _set_heads(unet: "UNet2DModel", num_heads: int) -> None:
    from diffusers.models.attention_processor import Attention

    for module in unet.modules():
        if isinstance(module, Attention):
            module.heads = num_heads
            module.scale = (module.inner_dim / num_heads) ** -0.5
