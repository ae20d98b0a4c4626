"""The size of a bottleneck, apart from any model, so that planning can use it without loading one."""

from collections.abc import Mapping
from typing import Any, NamedTuple


class BottleneckShape(NamedTuple):
    """What an editor must fit: h is (B, channels, height, width), the time embedding (B, temb_width)."""

    channels: int
    height: int
    width: int
    temb_width: int


def halved_shape(config: Mapping[str, Any]) -> BottleneckShape | None:
    """The bottleneck told by a complete diffusers configuration whose levels halve the image evenly; None for others.

    Every level but the last halves height and width, whatever its blocks; where they are odd, it depends on padding.
    """
    try:
        channels, size = config["block_out_channels"], config["sample_size"]
        names = [config["down_block_types"], config["up_block_types"]]
        has_classes = (config["class_embed_type"], config["num_class_embeds"]) != (None, None)
        temb_width = config["time_embedding_dim"] or 4 * channels[0]
    except KeyError:
        return None
    if size is None or has_classes or any(len(types) != len(channels) for types in names):
        return None
    height, width = (size, size) if isinstance(size, int) else size
    factor = 2 ** (len(channels) - 1)
    if height % factor or width % factor:
        return None
    return BottleneckShape(channels[-1], height // factor, width // factor, temb_width)
