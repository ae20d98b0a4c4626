"""Published feature networks, from weights that lie on this machine: Inception for sets, AlexNet for LPIPS.

Legend: B images, H x W pixels in [-1, 1], F = 2048 features.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from trainables.digests import file_digest
from trainables.h_space.clip import in_colour
from trainables.h_space.metrics import Pictures
from trainables.h_space.undrawn import Undrawn

IMAGENET_MEAN: Final = (0.485, 0.456, 0.406)
IMAGENET_STD: Final = (0.229, 0.224, 0.225)
INCEPTION_SIZE: Final = 299


@dataclass(frozen=True)
class FeatureExtractor:
    """What sets of images are compared in."""

    name: str
    """Written beside every value, so that values in different features are never taken for one another."""
    num_features: int
    extract: Callable[[Pictures], Tensor]
    """(B, F)."""


def load_inception(path: Path, device: torch.device) -> FeatureExtractor:
    """The 2048 pooled features of torchvision's Inception v3, from its published weights file.

    Departure: published FID values come from the Inception of 2015 (TensorFlow's), whose weights torchvision does not
    have. Numbers are comparable among themselves and not with papers; the name says so.
    """
    from torchvision.models import inception_v3

    with torch.device("meta"):  # no time spent on weights that are replaced
        model = inception_v3(weights=None, init_weights=False, transform_input=False)
    model.load_state_dict(_weights(path), assign=True)
    model.fc = nn.Identity()
    model.eval().requires_grad_(False).to(device)

    @torch.no_grad()
    def extract(pictures: Pictures) -> Tensor:
        if pictures.inception is not None:
            return pictures.inception
        features: Tensor = model(_for_imagenet(pictures.pixels, INCEPTION_SIZE))
        return features

    digest = file_digest(path)[:8]
    return FeatureExtractor(f"Inception v3, torchvision {digest}", 2048, extract)


def load_lpips(path: Path, device: torch.device) -> Callable[[Tensor, Tensor], Tensor]:
    """LPIPS with torchvision's AlexNet weights file; the linear layers come with torchmetrics.

    The result maps two (B, 3, H, W) to (B,). Raises ImportError, saying how to install it, without torchmetrics.
    """
    try:
        from torchmetrics.functional.image.lpips import _LPIPS
    except ImportError as error:
        raise ImportError("LPIPS needs torchmetrics; install it with: pip install torchmetrics") from error

    state = _weights(path)
    with Undrawn():
        model = _LPIPS(pretrained=True, net="alex", pnet_rand=True, eval_mode=True)
    layers = {name: name.partition(".")[2] for name in model.net.state_dict()}  # slice1.0.weight -> 0.weight
    model.net.load_state_dict({name: state[f"features.{layer}"] for name, layer in layers.items()})
    model.requires_grad_(False).to(device)

    @torch.no_grad()
    def distance(a: Tensor, b: Tensor) -> Tensor:
        found: Tensor = model(in_colour(a), in_colour(b))
        return found.flatten()

    return distance


def _weights(path: Path) -> dict[str, Any]:
    state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    return state


def _for_imagenet(pixels: Tensor, size: int) -> Tensor:
    """Pixels in [-1, 1], clipped, as torchvision's classifiers want them. Never through bytes, which could wrap."""
    mean, std = (torch.tensor(values).view(1, 3, 1, 1).to(pixels) for values in (IMAGENET_MEAN, IMAGENET_STD))
    unit = (in_colour(pixels).clamp(-1, 1) + 1) / 2
    resized = F.interpolate(unit, (size, size), mode="bilinear", align_corners=False, antialias=True)
    return (resized - mean) / std
