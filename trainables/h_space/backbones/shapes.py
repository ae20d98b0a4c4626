"""What a U-Net's configuration tells, apart from any model, so that planning can use it without loading one."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from trainables.errors import UserError

MODEL_CLASS = "UNet2DModel"
RELEASED_CLASS = "ReleasedUNet2DModel"
"""A `UNet2DModel` with `RELEASED_SETTINGS`, which diffusers cannot load: see `backbones.released`."""
RELEASED_SETTINGS = ("num_attention_heads", "timestep_factor")
CONDITIONAL_CLASS = "UNet2DConditionModel"
"""A U-Net that attends to a prompt, as Stable Diffusion's does."""
_DEFAULTS: Mapping[str, Any] = {
    "sample_size": None,
    "in_channels": 3,
    "out_channels": 3,
    "block_out_channels": (224, 448, 672, 896),
    "class_embed_type": None,
    "num_class_embeds": None,
    "time_embedding_dim": None,
}
"""diffusers' own, for configurations that leave them out."""
_CONDITIONAL_DEFAULTS: Mapping[str, Any] = {
    "in_channels": 4,
    "out_channels": 4,
    "block_out_channels": (320, 640, 1280, 1280),
    "cross_attention_dim": 1280,
}
_BEYOND_PROMPTS = ("addition_embed_type", "encoder_hid_dim", "encoder_hid_dim_type", "time_cond_proj_dim")
"""Settings of conditional U-Nets that want more than a prompt, such as SDXL's sizes of pictures."""


class BackboneError(UserError):
    """A diffusion model that cannot be loaded or cannot be used; says which file or setting."""


class BottleneckShape(NamedTuple):
    """What an editor must fit: h is (B, channels, height, width), the time embedding (B, temb_width)."""

    channels: int
    height: int
    width: int
    temb_width: int


def halved_shape(config: Mapping[str, Any]) -> BottleneckShape | None:
    """The bottleneck told by a diffusers configuration that names its blocks and halves the image evenly; else None.

    Every level but the last halves height and width, whatever its blocks; where they are odd, it depends on padding.
    """
    known = with_defaults(config)
    if any(name not in config for name in ("block_out_channels", "down_block_types", "up_block_types")):
        return None
    channels, size = known["block_out_channels"], known["sample_size"]
    names = [known["down_block_types"], known["up_block_types"]]
    has_classes = (known["class_embed_type"], known["num_class_embeds"]) != (None, None)
    temb_width = known["time_embedding_dim"] or 4 * channels[0]
    if size is None or has_classes or any(len(types) != len(channels) for types in names):
        return None
    height, width = (size, size) if isinstance(size, int) else size
    factor = 2 ** (len(channels) - 1)
    if height % factor or width % factor:
        return None
    return BottleneckShape(channels[-1], height // factor, width // factor, temb_width)


def image_shape(config: Mapping[str, Any]) -> tuple[int, int, int]:
    """(channels, height, width) of what a U-Net reads. Raises BackboneError where its config does not tell."""
    size = config.get("sample_size")
    if size is None:
        raise BackboneError(
            "the U-Net's config has no sample_size, so the size of what it reads is unknown: add it to config.json"
        )
    sides = [size, size] if isinstance(size, int) else size
    if not isinstance(sides, list | tuple) or len(sides) != 2 or not all(_is_length(side) for side in sides):
        raise BackboneError(f"sample_size: expected pixels, or [height, width]; found {size!r}")
    return with_defaults(config)["in_channels"], sides[0], sides[1]


def with_defaults(config: Mapping[str, Any]) -> dict[str, Any]:
    """The configuration with diffusers' own values for what it leaves out."""
    is_conditional = config.get("_class_name") == CONDITIONAL_CLASS
    return {**_DEFAULTS, **(_CONDITIONAL_DEFAULTS if is_conditional else {}), **config}


def _is_length(value: object) -> bool:
    return isinstance(value, int) and value > 0


def check_config(config: Mapping[str, Any]) -> None:
    """Raises BackboneError for a U-Net that cannot be edited, by its diffusers configuration."""
    known = with_defaults(config)
    kind = config.get("_class_name", MODEL_CLASS)
    if kind not in (MODEL_CLASS, RELEASED_CLASS, CONDITIONAL_CLASS):
        raise BackboneError(f"expected a {MODEL_CLASS} or a {CONDITIONAL_CLASS}; found {kind}")
    for name in _BEYOND_PROMPTS:
        if config.get(name) is not None:
            raise BackboneError(
                f"the U-Net is conditioned on more than a prompt ({name} {config[name]!r}, as SDXL's is); only those "
                "of one prompt can be edited"
            )
    if not isinstance(known.get("cross_attention_dim", 0), int):
        raise BackboneError("cross_attention_dim: expected one width for all levels")
    if known["class_embed_type"] is not None or known["num_class_embeds"] is not None:
        raise BackboneError(
            "the U-Net is conditioned on class labels (its config sets class_embed_type or num_class_embeds); only "
            "unconditional models can be edited"
        )
    inputs, outputs = known["in_channels"], known["out_channels"]
    if outputs not in (inputs, 2 * inputs):
        raise BackboneError(
            f"a U-Net with {inputs} input channels must answer with {inputs} or (learned variance) {2 * inputs}; "
            f"found {outputs}"
        )
    _, height, width = image_shape(known)
    factor = 2 ** (len(known["block_out_channels"]) - 1)
    if height % factor or width % factor:
        raise BackboneError(
            f"sample_size: expected multiples of {factor}, which {len(known['block_out_channels'])} levels halve "
            f"evenly; found {height} x {width}"
        )
