"""Published feature networks, from weights that lie on this machine: Inception for sets, AlexNet for LPIPS.

Legend: B images, H x W pixels in [-1, 1], F = 2048 features.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from trainables.digests import file_digest
from trainables.errors import UserError
from trainables.h_space.clip import in_colour
from trainables.h_space.metrics import Pictures
from trainables.h_space.pickled_weights import CheckpointError, read_pickled
from trainables.h_space.undrawn import Undrawn

IMAGENET_MEAN: Final = (0.485, 0.456, 0.406)
IMAGENET_STD: Final = (0.229, 0.224, 0.225)
INCEPTION_SIZE: Final = 299
LPIPS_WEIGHTS: Final = "weights/v0.1/alex.pth"
"""In the authors' package."""
LPIPS_SHIFT: Final = (-0.030, -0.088, -0.188)
LPIPS_SCALE: Final = (0.458, 0.448, 0.450)
_INCEPTION: Final = "weights of Inception v3, of 2015 or torchvision's"


@dataclass(frozen=True)
class FeatureExtractor:
    """What sets of images are compared in."""

    name: str
    """Written beside every value, so that values in different features are never taken for one another."""
    num_features: int
    extract: Callable[[Pictures], Tensor]
    """(B, F)."""


def load_inception(path: Path, device: torch.device) -> FeatureExtractor:
    """The 2048 pooled features of an Inception v3, of whichever published one the file holds.

    Published FID values come from the network of 2015 (TensorFlow's), served by torch-fidelity with its own resizing of
    8-bit pictures. Departure: torchvision's network has other weights; its numbers are comparable among themselves and
    not with papers. The name says which one it was. Raises UserError for a file that holds neither.
    """
    kind = kind_of_inception(path)
    look = _inception_of_2015(path, device) if kind == "2015" else _inception_of_torchvision(path, device)

    @torch.no_grad()
    def extract(pictures: Pictures) -> Tensor:
        return look(pictures.pixels) if pictures.inception is None else pictures.inception

    of = "of 2015, as published for FID" if kind == "2015" else "torchvision"
    return FeatureExtractor(f"Inception v3, {of} {file_digest(path)[:8]}", 2048, extract)


def kind_of_inception(path: Path) -> Literal["2015", "torchvision"]:
    """Which Inception v3 a weights file holds: that of 2015 tells 1008 classes apart, torchvision's 1000.

    Raises UserError for a file that holds neither, and for that of 2015 where torch-fidelity is not installed.
    """
    last = _weights(path, _INCEPTION).get("fc.weight")
    shape = tuple(last.shape) if isinstance(last, Tensor) else None
    if shape == (1000, 2048):
        return "torchvision"
    if shape != (1008, 2048):
        found = "none" if shape is None else f"shape {shape}"
        raise CheckpointError(
            f"{path}: expected {_INCEPTION}, with fc.weight of (1008, 2048) or (1000, 2048); found {found}"
        )
    if find_spec("torch_fidelity") is None:
        raise UserError(
            f"{path} is the Inception of 2015, which needs torch-fidelity: pip install 'asyrp-sweep[metrics]'"
        )
    return "2015"


def _inception_of_torchvision(path: Path, device: torch.device) -> Callable[[Tensor], Tensor]:
    """(B, 3, H, W) -> (B, F)."""
    from torchvision.models import inception_v3

    with torch.device("meta"):  # no time spent on weights that are replaced
        model = inception_v3(weights=None, init_weights=False, transform_input=False)
    _fill(model, path, _INCEPTION)
    model.fc = nn.Identity()
    model.eval().requires_grad_(False).to(device)

    def look(pixels: Tensor) -> Tensor:
        features: Tensor = model(_for_imagenet(pixels, INCEPTION_SIZE))
        return features

    return look


def _inception_of_2015(path: Path, device: torch.device) -> Callable[[Tensor], Tensor]:
    """(B, 3, H, W) -> (B, F).

    torch-fidelity would run what else a file holds: it only gets one that was read as weights alone before.
    """
    from torch_fidelity import FeatureExtractorInceptionV3

    try:
        with Undrawn():
            model = FeatureExtractorInceptionV3(
                "inception", ["2048"], feature_extractor_weights_path=str(path)
            )
    except RuntimeError as error:
        raise CheckpointError(
            f"{path} does not fit {_INCEPTION}: {str(error).splitlines()[-1].strip()}"
        ) from error
    model.to(device)

    def look(pixels: Tensor) -> Tensor:
        features: Tensor
        (features,) = model(((in_colour(pixels).clamp(-1, 1) + 1) * 127.5).round().byte())
        return features

    return look


def load_lpips(path: Path, device: torch.device) -> Callable[[Tensor, Tensor], Tensor]:
    """LPIPS (Zhang et al. 2018, section 3.1, version 0.1) in the features of torchvision's AlexNet.

        d(a, b) = sum over layers of the mean over pixels of w · (â - b̂)²     with features â, b̂ of unit length

    The weights w of the channels are read from the authors' package, of which nothing is run. The result maps two
    (B, 3, H, W) to (B,). Raises CheckpointError for a file that holds no AlexNet, UserError without that package.
    """
    layers = _alexnet(path).eval().requires_grad_(False).to(device)
    channels = _weights(_lpips_weights(path), "LPIPS's weights of AlexNet's channels")
    weights = [weight.view(1, -1, 1, 1).to(device) for _, weight in sorted(channels.items())]
    shift, scale = (
        torch.tensor(values, device=device).view(1, 3, 1, 1) for values in (LPIPS_SHIFT, LPIPS_SCALE)
    )

    def features(pixels: Tensor) -> list[Tensor]:
        """Those (B, C, H, W) after each of the five activations, of unit length."""
        x, found = (in_colour(pixels) - shift) / scale, []
        for layer in layers.children():
            if isinstance(layer, nn.ReLU):
                x = x.relu()
                found.append(x / (x.square().sum(1, keepdim=True) + 1e-8).sqrt())
            else:
                x = layer(x)
        return found

    @torch.no_grad()
    def distance(a: Tensor, b: Tensor) -> Tensor:
        apart = zip(weights, features(a), features(b), strict=True)
        return sum(
            (F.conv2d((x - y).square(), w).mean((1, 2, 3)) for w, x, y in apart),
            torch.zeros(1, device=device),
        )

    return distance


def check_alexnet(path: Path) -> None:
    """Raises CheckpointError for a file that does not hold torchvision's AlexNet, UserError without `lpips`."""
    _alexnet(path)
    _lpips_weights(path)


def _lpips_weights(path: Path) -> Path:
    found = find_spec("lpips")
    if found is None or found.origin is None:
        raise UserError(f"LPIPS in {path} needs the authors' weights: pip install 'asyrp-sweep[metrics]'")
    return Path(found.origin).parent / LPIPS_WEIGHTS


def _alexnet(path: Path) -> nn.Module:
    """The layers up to the fifth activation."""
    from torchvision.models import alexnet

    with torch.device("meta"):
        model = alexnet(weights=None)
    _fill(model, path, "torchvision's weights of AlexNet")
    layers: nn.Module = model.features[:-1]  # the last one pools what has been seen
    return layers


def _fill(model: nn.Module, path: Path, wanted: str) -> None:
    """Give a network its weights from a file. Raises CheckpointError where they are those of another one."""
    found = _weights(path, wanted)
    for name, value in model.state_dict().items():
        weight = found.get(name)
        shape = tuple(weight.shape) if isinstance(weight, Tensor) else None
        if shape != tuple(value.shape) and not (shape is None and name.endswith("num_batches_tracked")):
            has = "is missing" if shape is None else f"has shape {shape} in place of {tuple(value.shape)}"
            raise CheckpointError(f"{path}: expected {wanted}; {name} {has}")
    if left := sorted(map(str, found.keys() - model.state_dict().keys())):
        raise CheckpointError(f"{path}: expected {wanted}, which have no {left[0]}")
    model.load_state_dict(found, assign=True)


def _weights(path: Path, wanted: str) -> Mapping[str, Any]:
    """What a file of weights holds. Raises CheckpointError for one that cannot be read, or holds something else."""
    loaded = read_pickled(path, wanted)
    if not isinstance(loaded, Mapping):
        raise CheckpointError(
            f"{path}: expected {wanted}; found {type(loaded).__name__} in place of named weights"
        )
    return loaded


def _for_imagenet(pixels: Tensor, size: int) -> Tensor:
    """Pixels in [-1, 1], clipped, as torchvision's classifiers want them. Never through bytes, which could wrap."""
    mean, std = (torch.tensor(values).view(1, 3, 1, 1).to(pixels) for values in (IMAGENET_MEAN, IMAGENET_STD))
    unit = (in_colour(pixels).clamp(-1, 1) + 1) / 2
    resized = F.interpolate(unit, (size, size), mode="bilinear", align_corners=False, antialias=True)
    return (resized - mean) / std
