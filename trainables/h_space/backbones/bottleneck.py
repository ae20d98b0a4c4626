"""The bottleneck of a diffusion model, told by its configuration."""

from collections.abc import Mapping
from typing import Any

from trainables.h_space.backbones.shapes import BottleneckShape, check_config, halved_shape


def bottleneck_shape(config: Mapping[str, Any]) -> BottleneckShape:
    """The bottleneck of a U-Net with this diffusers configuration, found without weights.

    By arithmetic for the usual ones, so that plans need neither torch nor diffusers, which take seconds; any other
    model is built and run, without numbers. Raises BackboneError for a model that cannot be edited.
    """
    check_config(config)
    if (shape := halved_shape(config)) is not None:
        return shape
    from trainables.h_space.backbones.unet import built_shape

    return built_shape(config)
