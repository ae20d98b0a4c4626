"""Editors of the two public repositories (kwonminki/Asyrp_official and its ablation fork), read into ours.

Their checkpoints hold weights and no settings. What weights cannot tell (the head count, the order of two
encoders) is given by the caller; what is assumed instead is listed.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError
from torch import Tensor, nn

from trainables.h_space.backbones.shapes import BottleneckShape
from trainables.h_space.editor_file import EditorFileError, fill
from trainables.h_space.editors import EDITORS, BlockSettings, EditorConfig
from trainables.h_space.pickled_weights import CheckpointError, as_weights, read_pickled

State = Mapping[str, Tensor]

# Prefixes of the repositories' names for weights, and ours.
PRENORM_NAMES = {
    "in_layers.0.": "in_layer.norm.",
    "in_layers.2.": "in_layer.conv.",
    "emb_layers.1.": "temporal.proj.",
    "out_layers.0.": "temporal.norm.",
    "out_layers.3.": "out_layer.",
}
CONV_NAMES = {"conv1.": "in_layer.", "conv2.": "out_layer."}
TIME_NAMES = {"temb_proj.": "temporal.proj.", "norm2.": "temporal.norm."}
ADAPTIVE_NAMES = {"adagn.linear.": "temporal.proj."}

IMPORTABLE = [kind for kind, config in EDITORS.items() if issubclass(config, BlockSettings)]
"""Kinds of which there are published checkpoints."""

PUBLISHED_DEFAULTS = {"temporal": "add", "norm": "group", "activation": "silu"}
"""Settings that leave no trace in the weights, and what is assumed when they are not given."""


@dataclass(frozen=True)
class ImportedEditor:
    """A published editor as one of ours, on the CPU."""

    settings: BlockSettings
    shape: BottleneckShape
    editor: nn.Module
    assumed: tuple[str, ...]
    """Settings that neither the weights nor the caller told, as "name value"."""
    dropped: tuple[str, ...]
    """Weights in the file that the published editor never used."""


def import_editor(path: Path, *, size: tuple[int, int] = (8, 8), **given: Any) -> ImportedEditor:
    """Read a `.pth` checkpoint of either repository.

    `given` are editor settings, such as `num_heads=8` or `kind="pixel_channel"`; `size` is the bottleneck's
    height and width, 8x8 in both repositories.
    Raises EditorFileError, naming the file and what is missing or does not fit.
    """
    try:
        loaded = read_pickled(path, "a .pth file of one of the public repositories")
    except CheckpointError as error:
        raise EditorFileError(str(error)) from error
    parts = loaded if isinstance(loaded, Mapping) else {}
    editors = [part for key, part in parts.items() if str(key).isdigit() and isinstance(part, Mapping)]
    if len(editors) != 1:
        raise EditorFileError(f"{path} must hold one editor, under its number; found {len(editors)}")
    try:
        return import_state(as_weights(editors[0]), size=size, **given)
    except (CheckpointError, EditorFileError) as error:
        raise EditorFileError(f"{path}: {error}") from error


def import_state(state: State, *, size: tuple[int, int] = (8, 8), **given: Any) -> ImportedEditor:
    """The same from an editor's state dict in the repositories' own naming."""
    shape = _shape(state, size)
    told = _settings_told(state, shape)
    for name in told.keys() & given.keys():
        if told[name] != given[name]:
            raise EditorFileError(f"{name} was given as {given[name]}; by its weights it is {told[name]}")
    known = {**told, **given}
    if unknown := sorted(_must_be_known(state) - known.keys()):
        raise EditorFileError(f"{' and '.join(unknown)} must be given: not stored in the checkpoint")
    if known["kind"] not in IMPORTABLE:
        raise EditorFileError(
            f"kind {known['kind']} is none of these weights'; expected one of {', '.join(IMPORTABLE)}"
        )
    assumed = {name: value for name, value in PUBLISHED_DEFAULTS.items() if name not in known}
    try:
        settings: BlockSettings = TypeAdapter(EditorConfig).validate_python({**assumed, **known})
        weights, dropped = _renamed(state, settings)
        editor = fill(settings, shape, (), weights)
    except (ValidationError, ValueError) as error:
        raise EditorFileError(str(error)) from error
    listed = tuple(f"{name} {value}" for name, value in assumed.items() if name not in settings.inactive())
    return ImportedEditor(settings, shape, editor, listed, dropped)


def _shape(state: State, size: tuple[int, int]) -> BottleneckShape:
    """The bottleneck an editor was made for: its time projection maps (E) to (C)."""
    for name in ("temb_proj.weight", "emb_layers.1.weight"):
        if name in state and state[name].ndim == 2:
            channels, temb_width = state[name].shape
            return BottleneckShape(channels, *size, temb_width)
    raise EditorFileError(
        "no time projection among the weights: this is no editor of the public repositories"
    )


def _settings_told(state: State, shape: BottleneckShape) -> dict[str, Any]:
    """The settings that the weights tell."""
    if "in_layers.0.weight" in state:
        return {"kind": "conv_prenorm"}
    told: dict[str, Any] = {"temporal": "adaptive_group_norm"} if "adagn.linear.weight" in state else {}
    if "conv1.weight" in state:
        return {"kind": "conv", **told}
    encoders = {name.split(".")[1] for name in state if name.startswith("in_layer.")}
    if not encoders:
        raise EditorFileError(
            "neither convolutions nor encoders among the weights; other editors are not known"
        )
    prefix = f"in_layer.{min(encoders)}."
    if encoders == {"t_layer"} and shape.channels != shape.height * shape.width:
        width = state[f"{prefix}layers.0.linear1.weight"].shape[1]
        told["kind"] = "pixel" if width == shape.channels else "channel"
    layers = {
        name.removeprefix(f"{prefix}layers.").split(".")[0] for name in state if f"{prefix}layers." in name
    }
    return {
        **told,
        "num_layers": len(layers),
        "feedforward_width": state[f"{prefix}layers.0.linear1.weight"].shape[0],
        "final_norm": f"{prefix}norm.weight" in state,
    }


def _must_be_known(state: State) -> set[str]:
    """Settings without a default that could be trusted: a wrong head count would load without a word."""
    is_transformer = any(name.startswith("in_layer.") for name in state)
    return {"kind", "num_heads"} if is_transformer else {"kind"}


def _renamed(state: State, settings: BlockSettings) -> tuple[dict[str, Tensor], tuple[str, ...]]:
    """(weights under our names, names of weights that these settings never use)."""
    names = public_names(settings)
    weights: dict[str, Tensor] = {}
    dropped = []
    for name, value in state.items():
        prefix = next((prefix for prefix in names if name.startswith(prefix)), None)
        if prefix is not None:
            weights[names[prefix] + name.removeprefix(prefix)] = value
        elif name.startswith(tuple(TIME_NAMES)):
            dropped.append(name)
        else:
            raise ValueError(f"weight {name} has no place in editor {settings.kind}")
    return weights, tuple(dropped)


def public_names(settings: BlockSettings) -> dict[str, str]:
    """Their prefix of each used weight's name, and ours."""
    if settings.kind == "conv_prenorm":
        return PRENORM_NAMES
    if settings.temporal.startswith("adaptive"):
        time = ADAPTIVE_NAMES
    else:
        unused = {"temb_proj."} if settings.temporal == "none" else set()
        unused |= {"norm2."} if settings.norm == "none" else set()
        time = {theirs: ours for theirs, ours in TIME_NAMES.items() if theirs not in unused}
    if settings.kind == "conv":
        return {**CONV_NAMES, **time}
    axes = settings.kind.split("_")
    theirs = {axis: f"t_{axis}" if len(axes) > 1 else "t_layer" for axis in axes}
    layers = {
        f"{side}.{theirs[axis]}.": f"{side}.{axis}.encoder."
        for side in ("in_layer", "out_layer")
        for axis in axes
    }
    return {**layers, **time}
