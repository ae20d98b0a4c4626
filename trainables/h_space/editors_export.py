"""Our editors in the layout of the two public repositories: the inverse of `editors_import`.

What that layout cannot hold is refused by name, found by reading every export again before it is written.
"""

import uuid
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from trainables.h_space.editor_file import EditorFileError, LoadedEditor
from trainables.h_space.editors import BlockSettings
from trainables.h_space.editors_import import (
    IMPORTABLE,
    PUBLISHED_DEFAULTS,
    import_state,
    public_names,
)

NUMBER = "0"
"""Under which public files keep their one editor."""
UNSAID = ("kind", "num_heads", *PUBLISHED_DEFAULTS)
"""Settings that weights do not tell, or not in every editor."""


def public_state(loaded: LoadedEditor) -> dict[str, Tensor]:
    """The editor's weights by the public repositories' names, those included that their code has and never uses.

    Raises EditorFileError for an editor that their layout cannot hold.
    """
    settings, shape = loaded.settings, loaded.metadata.shape
    if not isinstance(settings, BlockSettings) or settings.kind not in IMPORTABLE:
        raise EditorFileError(
            f"an editor of kind {settings.kind} has no place in the public layout: expected one of "
            f"{', '.join(IMPORTABLE)}"
        )
    theirs = {ours: name for name, ours in public_names(settings).items()}
    state: dict[str, Tensor] = {}
    for name, value in loaded.editor.state_dict().items():
        prefix = next((prefix for prefix in theirs if name.startswith(prefix)), None)
        if prefix is None:
            raise EditorFileError(f"weight {name} has no place in the public layout")
        state[theirs[prefix] + name.removeprefix(prefix)] = value.detach().contiguous()
    if settings.kind != "conv_prenorm":
        unused = {
            "temb_proj.weight": torch.zeros(shape.channels, shape.temb_width),
            "temb_proj.bias": torch.zeros(shape.channels),
            "norm2.weight": torch.ones(shape.channels),
            "norm2.bias": torch.zeros(shape.channels),
        }
        kept = {
            name: value for name, value in unused.items() if settings.norm != "none" or "norm2" not in name
        }
        state = {**kept, **state}
    _check_read_again(state, settings, loaded)
    return state


def unsaid(settings: BlockSettings) -> dict[str, Any]:
    """Settings that have to be said when the exported file is read again."""
    values = settings.canonical().model_dump()
    return {name: values[name] for name in UNSAID if name in values and name not in settings.inactive()}


def write_public(state: dict[str, Tensor], path: Path) -> None:
    """Write a file that the public repositories load; it appears whole. Raises OSError when it cannot be written."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        with temporary.open("wb") as file:
            torch.save({NUMBER: state}, file)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _check_read_again(state: dict[str, Tensor], settings: BlockSettings, loaded: LoadedEditor) -> None:
    """Raises EditorFileError where what is read again is another editor, naming the first setting that is lost."""
    shape = loaded.metadata.shape
    again = import_state(state, size=(shape.height, shape.width), **unsaid(settings))
    ours, theirs = settings.canonical().model_dump(), again.settings.canonical().model_dump()
    lost = [name for name in ours if ours[name] != theirs.get(name)]
    if lost:
        raise EditorFileError(
            f"{lost[0]} {ours[lost[0]]} has no place in the public layout, whose editors have {theirs.get(lost[0])}"
        )
    weights = again.editor.state_dict()
    assert all(torch.equal(value, weights[name]) for name, value in loaded.editor.state_dict().items())
