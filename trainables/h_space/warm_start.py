"""An editor that starts from another one's weights instead of random ones."""

from pathlib import Path

import torch
from torch import nn

from trainables.errors import UserError
from trainables.h_space.backbones.shapes import BottleneckShape
from trainables.h_space.editor_file import EditorFileError, EditorMetadata, load_editor
from trainables.h_space.editors import EditorSettings


class WarmStartError(UserError):
    """An editor file whose weights the new editor cannot start from; the message names the difference."""


def take_weights(editor: nn.Module, path: Path, settings: EditorSettings, shape: BottleneckShape) -> str:
    """Put the weights of an editor file into `editor`, which was built from these settings for this shape.

    Returns a note that says where the weights came from. Raises WarmStartError when the file cannot be read, or
    holds an editor with other settings, for another shape, or (one tensor per timestep) for other timesteps.
    """
    try:
        parent = load_editor(path)
    except EditorFileError as error:
        raise WarmStartError(f"cannot start from {error}") from error
    their_shape = parent.metadata.shape
    differences = [
        *_settings_apart(parent.settings, settings),
        *([f"shape {tuple(their_shape)} instead of {tuple(shape)}"] if their_shape != shape else []),
        *_weights_apart(parent.editor, editor),
    ]
    if differences:
        raise WarmStartError(f"cannot start from {path.name}: its editor has {'; '.join(differences)}")
    with torch.no_grad():
        editor.load_state_dict(parent.editor.state_dict())
    return _note(path, parent.metadata)


def _settings_apart(theirs: EditorSettings, ours: EditorSettings) -> list[str]:
    """Settings that differ; settings without effect do not count."""
    their_values, our_values = theirs.canonical().model_dump(), ours.canonical().model_dump()
    return [
        f"{name} {their_values.get(name)} instead of {our_values.get(name)}"
        for name in dict.fromkeys([*our_values, *their_values])
        if their_values.get(name) != our_values.get(name)
    ]


def _weights_apart(theirs: nn.Module, ours: nn.Module) -> list[str]:
    """The first weight that has another size or is on one side only."""
    their_sizes = {name: tuple(value.shape) for name, value in theirs.state_dict().items()}
    our_sizes = {name: tuple(value.shape) for name, value in ours.state_dict().items()}
    names = dict.fromkeys([*our_sizes, *their_sizes])
    apart = [name for name in names if their_sizes.get(name) != our_sizes.get(name)]
    return [
        f"weight {name} of size {their_sizes.get(name)} instead of {our_sizes.get(name)}"
        for name in apart[:1]
    ]


def _note(path: Path, metadata: EditorMetadata) -> str:
    """`started from the smiling editor of seed 0 after epoch 2 (0123456789abcdef.safetensors)`."""
    extra = metadata.extra
    seed = f" of seed {extra['seed']}" if "seed" in extra else ""
    epoch = f" after epoch {extra['epoch']}" if "epoch" in extra else ""
    return f"started from the {metadata.config.attribute} editor{seed}{epoch} ({path.name})"
