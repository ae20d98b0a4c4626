"""The state of a training on disk: tensors as safetensors, the rest as JSON. No pickle."""

import bisect
import json
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import load_file, save
from torch import Tensor, nn

from trainables.trials import Row

_TENSORS, _PROGRESS = "state.safetensors", "progress.json"


def save_state(
    folder: Path,
    module: nn.Module,
    optimizer: torch.optim.Optimizer,
    streams: Mapping[str, torch.Generator],
    progress: Row,
    *,
    name: str,
) -> None:
    """Write the state of a training into a folder (which the caller makes appear atomically); its rows go elsewhere.

    `streams` are its random streams by purpose, `name` begins those of the module's tensors. Raises OSError when it
    cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    tensors: dict[str, Tensor] = {f"{name}.{key}": value for key, value in module.state_dict().items()}
    for index, state in optimizer.state_dict()["state"].items():
        tensors |= {
            f"optimizer.{index}.{key}": torch.as_tensor(value)
            for key, value in state.items()
            if value is not None
        }
    tensors |= {f"stream.{purpose}": generator.get_state() for purpose, generator in streams.items()}
    # As bytes first: safetensors' own writer reports a full disk by an exception of its own.
    content = save({key: value.detach().cpu().clone().contiguous() for key, value in tensors.items()})
    (folder / _TENSORS).write_bytes(content)
    (folder / _PROGRESS).write_text(json.dumps({"progress": progress}), encoding="utf-8")


def load_state(
    folder: Path,
    module: nn.Module,
    optimizer: torch.optim.Optimizer,
    streams: Mapping[str, torch.Generator],
    *,
    name: str,
) -> Row:
    """Put a saved state back; returns what was written as JSON, its `progress` among it."""
    tensors = load_file(folder / _TENSORS)
    module.load_state_dict(_under(f"{name}.", tensors))
    moments: dict[int, dict[str, Tensor]] = {}
    for key, value in _under("optimizer.", tensors).items():
        index, moment = key.split(".", 1)
        moments.setdefault(int(index), {})[moment] = value
    optimizer.load_state_dict({"state": moments, "param_groups": optimizer.state_dict()["param_groups"]})
    for purpose, generator in streams.items():
        generator.set_state(tensors[f"stream.{purpose}"])
    saved: Row = json.loads((folder / _PROGRESS).read_text(encoding="utf-8"))
    return saved


def rows_after(epoch: int, rows: list[Row]) -> list[Row]:
    """Those of later epochs; `rows` are in the order of epochs."""
    return rows[bisect.bisect_right(rows, epoch, key=lambda row: int(row["epoch"])) :]


def _under(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
