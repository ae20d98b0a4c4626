"""A trial's checkpoint: the editor and its training, and pictures as JSON can hold them."""

import base64
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import nn

from trainables import training_state
from trainables.training_state import rows_after
from trainables.trials import Row

__all__ = ["decoded", "encoded", "load_state", "rows_after", "save_state"]


def save_state(
    folder: Path,
    editor: nn.Module,
    optimizer: torch.optim.Optimizer,
    streams: Mapping[str, torch.Generator],
    progress: Row,
) -> None:
    """Write the state of a training. Raises OSError when it cannot be written."""
    training_state.save_state(folder, editor, optimizer, streams, progress, name="editor")


def load_state(
    folder: Path,
    editor: nn.Module,
    optimizer: torch.optim.Optimizer,
    streams: Mapping[str, torch.Generator],
) -> tuple[Row, list[Row]]:
    """Put a saved state back; returns the progress, and the sample rows that checkpoints of earlier versions held."""
    saved = training_state.load_state(folder, editor, optimizer, streams, name="editor")
    return saved["progress"], [decoded(row) for row in saved.get("samples", [])]


def encoded(row: Row) -> Row:
    """A sample row as JSON can hold it: its PNG bytes as text."""
    image = row["image"]
    return {**row, "image": {**image, "bytes": base64.b64encode(image["bytes"]).decode()}}


def decoded(row: Row) -> Row:
    """The row that `encoded` was given."""
    image = row["image"]
    return {**row, "image": {**image, "bytes": base64.b64decode(image["bytes"])}}
