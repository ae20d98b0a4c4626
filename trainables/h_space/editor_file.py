"""An editor on disk: safetensors weights with the complete configuration they were trained with."""

import json
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from pydantic import ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from trainables.errors import UserError
from trainables.h_space.backbones.shapes import BottleneckShape
from trainables.h_space.config import CellConfig
from trainables.h_space.editors import EditorSettings, on_meta

FORMAT = "asyrp-sweep editor"
FORMAT_VERSION = "2"
HEADER = "asyrp_sweep"


class EditorFileError(UserError):
    """An editor file that cannot be read, or whose weights and configuration disagree."""


class EditorMetadata(NamedTuple):
    """What an editor was trained for."""

    config: CellConfig
    """Domain, attribute, t_edit, steps: everything the trial was told."""
    shape: BottleneckShape
    timesteps: tuple[int, ...]
    """The trained ones, descending."""
    extra: dict[str, str]
    """What the writer added, such as the seed and the domain's fingerprint."""


class LoadedEditor(NamedTuple):
    """An editor read back, on the CPU."""

    settings: EditorSettings
    editor: nn.Module
    metadata: EditorMetadata


def save_editor(
    path: Path,
    editor: nn.Module,
    config: CellConfig,
    shape: BottleneckShape,
    timesteps: tuple[int, ...],
    extra: Mapping[str, str],
) -> None:
    """Write the weights and all that is needed to build and apply them again; the file appears whole.

    Raises OSError when it cannot be written.
    """
    header = {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "config": config.model_dump_json(),
        "shape": json.dumps(shape._asdict()),
        "timesteps": json.dumps(timesteps),
        "extra": json.dumps(dict(extra)),
    }
    # One key: safetensors writes several in an order of its own, and equal editors must be equal bytes.
    metadata = {HEADER: json.dumps(header)}
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    weights = {name: value.detach().cpu().contiguous() for name, value in editor.state_dict().items()}
    try:
        # As bytes first: safetensors' own writer reports a full disk by an exception of its own.
        temporary.write_bytes(save(weights, metadata=metadata))
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def load_editor(path: Path) -> LoadedEditor:
    """Build the editor of a file from its configuration and fill in its weights.

    Raises EditorFileError, naming the file, when it is no editor file or its parts disagree.
    """
    weights, header = _read(path)
    if header.get("format") != FORMAT or header.get("format_version") != FORMAT_VERSION:
        raise EditorFileError(
            f"{path} is not an {FORMAT} of version {FORMAT_VERSION}; `asyrp-sweep import-editor` makes one "
            "of a .pth of the public repositories"
        )
    try:
        metadata = EditorMetadata(
            CellConfig.model_validate_json(header["config"]),
            BottleneckShape(**json.loads(header["shape"])),
            tuple(json.loads(header["timesteps"])),
            dict(json.loads(header["extra"])),
        )
    except (KeyError, TypeError, ValueError, ValidationError) as error:
        raise EditorFileError(f"{path}: its configuration cannot be read: {error}") from error
    settings = metadata.config.editor
    try:
        editor = fill(settings, metadata.shape, metadata.timesteps, weights)
    except ValueError as error:
        raise EditorFileError(f"{path}: {error}") from error
    return LoadedEditor(settings, editor, metadata)


def fill(
    settings: EditorSettings,
    shape: BottleneckShape,
    timesteps: tuple[int, ...],
    weights: Mapping[str, Tensor],
) -> nn.Module:
    """The editor of these settings with these weights.

    Raises ValueError when a weight is missing, left over, or of another shape.
    """
    if problems := settings.check(shape):
        raise ValueError(f"editor {settings.kind}: {'; '.join(problems)}")
    editor = on_meta(settings, shape, timesteps)
    expected = {name: tuple(value.shape) for name, value in editor.state_dict().items()}
    found = {name: tuple(value.shape) for name, value in weights.items()}
    problems = [
        *(f"{name} is missing" for name in sorted(expected.keys() - found.keys())),
        *(f"{name} belongs to no part of it" for name in sorted(found.keys() - expected.keys())),
        *(
            f"{name} is {list(found[name])}, expected {list(expected[name])}"
            for name in sorted(expected.keys() & found.keys())
            if expected[name] != found[name]
        ),
    ]
    if problems:
        more = f" and {len(problems) - 3} more" if len(problems) > 3 else ""
        raise ValueError(f"the weights do not fit editor {settings.kind}: {'; '.join(problems[:3])}{more}")
    editor.load_state_dict(dict(weights), assign=True)
    return editor


def _read(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """(weights, metadata) of a safetensors file."""
    try:
        with safe_open(path, framework="pt") as file:
            names: list[str] = file.keys()
            header = json.loads((file.metadata() or {}).get(HEADER, "{}"))
            return {name: file.get_tensor(name) for name in names}, header
    except (OSError, SafetensorError, ValueError) as error:
        raise EditorFileError(f"{path} cannot be read as safetensors: {error}") from error
