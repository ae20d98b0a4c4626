"""What a segmenter is: pictures in, the part of each pixel out.

Legend: B images, C channels, H x W pixels in [-1, 1], K parts.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from trainables.registry import wrong_call


@dataclass(frozen=True)
class Segmenter:
    """Says which part every pixel of a picture shows. Its file's name is what a domain writes as `segmenter`."""

    name: str
    parts: tuple[str, ...]
    load: Callable[[torch.device], Callable[[Tensor], Tensor]]
    """From a device to a function (B, C, H, W) -> (B, H, W), indices into `parts`."""


def fault(segmenter: Segmenter) -> str:
    """What is wrong with a segmenter from outside the package, or nothing."""
    return wrong_call(segmenter.load, ("device",), "load")
