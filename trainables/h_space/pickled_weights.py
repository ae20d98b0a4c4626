"""Checkpoints that torch has pickled, read without running what else may be in the file."""

import pickle
import struct
import warnings
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from trainables.errors import UserError

_NO_CHECKPOINT = (
    *(AssertionError, AttributeError, EOFError, LookupError, MemoryError, OverflowError, RuntimeError),
    *(TypeError, ValueError, struct.error),
)
"""What torch's safe loader raises for a file that is cut, altered or something else."""


class CheckpointError(UserError):
    """A file that holds no weights, or more than weights; the message names the file where it is known."""


def read_pickled(path: Path, wanted: str) -> object:
    """What a `.pth`, `.pt` or `.ckpt` file holds: tensors and plain values alone.

    `wanted` says in messages which file is expected. Raises CheckpointError, naming the file.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter(
                "ignore"
            )  # of other versions of pickle, which are read or refused all the same
            return torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error.strerror or error}") from error
    except pickle.UnpicklingError as error:
        raise CheckpointError(
            f"{path} cannot be read as a checkpoint of weights: it is no file of torch, or it holds Python objects "
            f"besides weights, which are not loaded because they can run code; expected {wanted}"
        ) from error
    except _NO_CHECKPOINT as error:
        raise CheckpointError(
            f"{path} cannot be read as a checkpoint of weights: {_first_sentence(error)}; expected {wanted}, "
            "downloaded completely"
        ) from error


def as_weights(part: Mapping[object, object]) -> dict[str, Tensor]:
    """The weights as 32-bit numbers. Raises CheckpointError where something else is among them."""
    weights: dict[str, Tensor] = {}
    for name, value in part.items():
        is_dense = isinstance(value, Tensor) and value.layout == torch.strided and value.is_floating_point()
        if not is_dense or not isinstance(value, Tensor):
            raise CheckpointError(f"{name} is no weight: expected numbers with a point, in a dense tensor")
        if not value.isfinite().all():
            raise CheckpointError(f"{name} holds numbers that are not finite: its training has failed")
        weights[str(name)] = value.float()
    return weights


def _first_sentence(error: Exception) -> str:
    """What torch says first; advice follows that does not help here."""
    return (str(error).strip() or type(error).__name__).splitlines()[0].partition(". ")[0].rstrip(".")
