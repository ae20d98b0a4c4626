"""Computing in less than float32: torch's autocast, entered here and nowhere else.

Weights stay float32, and so does all that is between networks: x_t, P_t, epsilon, the editor, losses, optimizer.
Convolutions and products of a network that is lowered are computed in 16 bits, its results are float32 again.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor

from trainables.h_space.precision import Precision, PrecisionConfig

_FLOAT16_SCALE = 1024.0
"""A power of two, so that scaling moves no bit. float16 ends at 6e-8, where gradients to pixels of 256 x 256 begin."""


def computing_in(precision: Precision, device: torch.device) -> AbstractContextManager[object]:
    """Within, convolutions and products on this device are computed in this precision."""
    if precision == "float32":
        return nullcontext()
    # No cache: torch keeps copies only of weights that are trained, and these are frozen.
    return torch.autocast(device.type, getattr(torch, precision), cache_enabled=False)


def in_float32(device: torch.device) -> AbstractContextManager[object]:
    """Within, nothing is lowered, whatever is outside."""
    return torch.autocast(device.type, enabled=False)


def lowered(
    function: Callable[..., Tensor], precision: Precision, device: torch.device
) -> Callable[..., Tensor]:
    """The same function of tensors, computed in a precision; what it gives is float32, or integers as they were."""

    def run(*given: object) -> Tensor:
        with computing_in(precision, device):
            found = function(*given)
        return found.float() if found.is_floating_point() else found

    return function if precision == "float32" else run


def gradient_scale(precision: PrecisionConfig) -> float:
    """What losses are multiplied by before their backward pass, and gradients divided by after it."""
    return _FLOAT16_SCALE if "float16" in (precision.unet, precision.clip, precision.decoder) else 1.0
