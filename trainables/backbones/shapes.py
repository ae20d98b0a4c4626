"""The size of a bottleneck, apart from any model, so that planning can use it without loading one."""

from typing import NamedTuple


class BottleneckShape(NamedTuple):
    """What an editor must fit: h is (B, channels, height, width), the time embedding (B, temb_width)."""

    channels: int
    height: int
    width: int
    temb_width: int
