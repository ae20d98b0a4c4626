"""A trial's checkpoint: tensors as safetensors, the rest as JSON and PNG. No pickle."""

import base64
import bisect
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save
from torch import Tensor, nn

Row = dict[str, Any]

_TENSORS, _PROGRESS = "state.safetensors", "progress.json"


def save_state(
    folder: Path,
    editor: nn.Module,
    optimizer: torch.optim.Optimizer,
    streams: Mapping[str, torch.Generator],
    progress: Row,
) -> None:
    """Write the state of a training into a folder (which the caller makes appear atomically); its rows go elsewhere.

    `streams` are its random streams by purpose. Raises OSError when it cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    tensors: dict[str, Tensor] = {f"editor.{name}": value for name, value in editor.state_dict().items()}
    for index, state in optimizer.state_dict()["state"].items():
        tensors |= {
            f"optimizer.{index}.{name}": torch.as_tensor(value)
            for name, value in state.items()
            if value is not None
        }
    tensors |= {f"stream.{purpose}": generator.get_state() for purpose, generator in streams.items()}
    # As bytes first: safetensors' own writer reports a full disk by an exception of its own.
    content = save({name: value.detach().cpu().clone().contiguous() for name, value in tensors.items()})
    (folder / _TENSORS).write_bytes(content)
    (folder / _PROGRESS).write_text(json.dumps({"progress": progress}), encoding="utf-8")


def load_state(
    folder: Path,
    editor: nn.Module,
    optimizer: torch.optim.Optimizer,
    streams: Mapping[str, torch.Generator],
) -> tuple[Row, list[Row]]:
    """Put a saved state back; returns the progress, and the sample rows that checkpoints of earlier versions held."""
    tensors = load_file(folder / _TENSORS)
    editor.load_state_dict(_under("editor.", tensors))
    moments: dict[int, dict[str, Tensor]] = {}
    for name, value in _under("optimizer.", tensors).items():
        index, key = name.split(".", 1)
        moments.setdefault(int(index), {})[key] = value
    optimizer.load_state_dict({"state": moments, "param_groups": optimizer.state_dict()["param_groups"]})
    for purpose, generator in streams.items():
        generator.set_state(tensors[f"stream.{purpose}"])
    saved = json.loads((folder / _PROGRESS).read_text(encoding="utf-8"))
    return saved["progress"], [decoded(row) for row in saved.get("samples", [])]


def rows_after(epoch: int, rows: list[Row]) -> list[Row]:
    """Those of later epochs; `rows` are in the order of epochs."""
    return rows[bisect.bisect_right(rows, epoch, key=lambda row: int(row["epoch"])) :]


def _under(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}


def encoded(row: Row) -> Row:
    """A sample row as JSON can hold it: its PNG bytes as text."""
    image = row["image"]
    return {**row, "image": {**image, "bytes": base64.b64encode(image["bytes"]).decode()}}


def decoded(row: Row) -> Row:
    """The row that `encoded` was given."""
    image = row["image"]
    return {**row, "image": {**image, "bytes": base64.b64decode(image["bytes"])}}
