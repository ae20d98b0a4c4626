"""Networks that measure, from ONNX files of the user's: a segmenter of faces, a network of identities.

An ONNX file holds a graph and its weights and no code, so that reading one runs nothing (docs/design/033). Pictures go
through one at a time: a value does not depend on its neighbours, and files made for a batch of one serve.

Legend: B images, C channels, H x W pixels in [-1, 1], K parts, h x w pixels of a network's output, F features.
"""

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from trainables.errors import UserError
from trainables.h_space.clip import in_colour
from trainables.h_space.domains.files import IdentityFile, NetworkFile
from trainables.h_space.segmenters._base import Segmenter

_CUDA = "CUDAExecutionProvider"


def segmenter_of(path: Path, given: NetworkFile) -> Segmenter:
    """A segmenter as those of the package, whose parts are the file's classes by their numbers.

    Raises UserError for a file that gives no logits (1, K, h, w) of at least two parts.
    """
    shape = _output_shape(path, given)
    if len(shape) != 4 or shape[1] < 2:
        raise UserError(
            f"{path}: expected logits of parts, (1, parts, height, width), as its first output; found {shape}"
        )

    def load(device: torch.device) -> Callable[[Tensor], Tensor]:
        run = _network(path, given, device)

        @torch.no_grad()
        def segment(pictures: Tensor) -> Tensor:
            size = pictures.shape[2:]
            logits = (F.interpolate(run(one), size, mode="bilinear") for one in torch.split(pictures, 1))
            return torch.cat([found.argmax(dim=1) for found in logits])

        return segment

    return Segmenter(path.stem, tuple(map(str, range(shape[1]))), load)


def load_identity(path: Path, given: IdentityFile, device: torch.device) -> Callable[[Tensor], Tensor]:
    """From pictures (B, C, H, W) to features (B, F) of unit length, alike where two show the same person.

    Raises UserError for a file that gives no features (1, F).
    """
    shape = _output_shape(path, given)
    if len(shape) != 2 or shape[1] < 2:
        raise UserError(f"{path}: expected features, (1, features), as its first output; found {shape}")
    run = _network(path, given, device)
    top, left, bottom, right = given.crop

    @torch.no_grad()
    def identify(pictures: Tensor) -> Tensor:
        height, width = pictures.shape[2:]
        rows, columns = (
            slice(round(start * length), max(round(end * length), round(start * length) + 1))
            for start, end, length in ((top, bottom, height), (left, right, width))
        )
        found = torch.cat([run(one) for one in torch.split(pictures[:, :, rows, columns], 1)])
        return F.normalize(found, dim=1)

    return identify


def check_onnx(path: Path, given: NetworkFile) -> None:
    """Raises UserError for a file that cannot serve, as a network of identities or else as a segmenter."""
    if isinstance(given, IdentityFile):
        load_identity(path, given, torch.device("cpu"))
    else:
        segmenter_of(path, given)


def check_onnxruntime(path: Path) -> None:
    """Raises UserError where ONNX files cannot be read."""
    if find_spec("onnxruntime") is None:
        raise UserError(f"{path} needs onnxruntime: pip install 'asyrp-sweep[metrics]'")


def _output_shape(path: Path, given: NetworkFile) -> tuple[int, ...]:
    """Of the first output for one grey picture."""
    return tuple(_network(path, given, torch.device("cpu"))(torch.zeros(1, 3, 64, 64)).shape)


def _network(path: Path, given: NetworkFile, device: torch.device) -> Callable[[Tensor], Tensor]:
    """From one picture (1, C, H, W), resized and scaled as the file wants it, to the file's first output."""
    session = _session(path, device)
    height, width = _input_size(path, given, session)
    name = session.get_inputs()[0].name
    mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (given.mean, given.std))

    def run(picture: Tensor) -> Tensor:
        unit = (in_colour(picture.float()).clamp(-1, 1) + 1) / 2
        resized = F.interpolate(unit, (height, width), mode="bilinear", align_corners=False, antialias=True)
        scaled = (resized.cpu() - mean) / std
        try:
            (found, *_) = session.run(None, {name: np.ascontiguousarray(scaled.numpy())})
        except Exception as error:
            raise UserError(
                f"{path} cannot be computed for a picture of {height} x {width}: {_first(error)}"
            ) from error
        return torch.from_numpy(np.asarray(found, np.float32)).to(picture.device)

    return run


def _session(path: Path, device: torch.device) -> Any:
    """Raises UserError without onnxruntime, or for a file that it cannot read."""
    check_onnxruntime(path)
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 4  # an error is raised too, and said once
    wanted = [_CUDA] if device.type == "cuda" and _CUDA in onnxruntime.get_available_providers() else []
    try:
        # From its bytes: weights in further files, which no fingerprint would see, are refused.
        return onnxruntime.InferenceSession(
            path.read_bytes(), options, providers=[*wanted, "CPUExecutionProvider"]
        )
    except Exception as error:
        raise UserError(
            f"{path} cannot be read as a network in ONNX: {_first(error)}; expected one file with graph and weights"
        ) from error


def _input_size(path: Path, given: NetworkFile, session: Any) -> tuple[int, int]:
    """(height, width) of what the network reads: its own where they are fixed, else the given `size`."""
    inputs = session.get_inputs()
    shape = list(inputs[0].shape)
    fits = len(shape) == 4 and all(
        not isinstance(found, int) or found == wanted for found, wanted in zip(shape, (1, 3), strict=False)
    )
    if len(inputs) != 1 or inputs[0].type != "tensor(float)" or not fits:
        said = ", ".join(f"{one.name} {one.type} {one.shape}" for one in inputs)
        raise UserError(
            f"{path}: expected one input of pictures, (1, 3, height, width) of 32-bit numbers; found {said}"
        )
    height, width = (length if isinstance(length, int) else given.size for length in shape[2:])
    if height is None or width is None:
        raise UserError(f"{path} reads pictures of any size: say with `size` at how many pixels of a side")
    if given.size is not None and (height, width) != (given.size, given.size):
        raise UserError(f"{path} reads pictures of {height} x {width}; `size` says {given.size}")
    return height, width


def _first(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
