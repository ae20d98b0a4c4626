"""Which weights a cell can start from: those of an editor with its own settings, made for its bottleneck."""

import hashlib
from typing import Any

from orchestrator.plan.cells import Cell, WarmStart
from trainables.errors import UserError
from trainables.h_space.backbones.shapes import BottleneckShape
from trainables.paths import user_path
from trainables.wording import shown
from trainables.yaml_tree import Loc

FROM: Loc = ("init", "from")
"""Where a cell's configuration says it."""


class ImpossibleStart(UserError):
    """A start that cannot be: the place in the configuration and what is wrong there."""

    def __init__(self, place: Loc, message: str) -> None:
        super().__init__(message)
        self.place = place
        self.message = message


def check_fit(cell: Cell, parent: Cell, place: Loc) -> None:
    """Weights fit only an editor of the same settings."""
    own, theirs = cell.config.editor, parent.config.editor
    if own != theirs:
        raise ImpossibleStart(place, f"{parent.name} has another editor: {_difference(own, theirs)}")


def _difference(own: Any, theirs: Any) -> str:
    if own.kind != theirs.kind:
        return f"{theirs.kind}, and this cell's is {own.kind}"
    name = next(name for name in type(own).model_fields if getattr(own, name) != getattr(theirs, name))
    return f"its {name} is {shown(getattr(theirs, name))}, this cell's {shown(getattr(own, name))}"


def start_from_file(cell: Cell, named: str, shape: BottleneckShape) -> WarmStart:
    """A cell's start from an editor file. Raises ImpossibleStart where it cannot be read or holds another editor."""
    from trainables.h_space.editor_file import EditorFileError, load_editor  # torch; planning seldom needs it

    place: Loc = (*FROM, "editor")
    try:
        path = user_path(named)
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        loaded = load_editor(path)
    except OSError as error:
        raise ImpossibleStart(place, f"{named} cannot be read: {error.strerror}") from error
    except (EditorFileError, UserError) as error:
        raise ImpossibleStart(place, str(error)) from error
    if loaded.settings.canonical() != cell.config.editor:
        difference = _difference(cell.config.editor, loaded.settings.canonical())
        raise ImpossibleStart(place, f"{path} holds another editor: {difference}")
    if loaded.metadata.shape != shape:
        made_for = f"{tuple(loaded.metadata.shape)}, and {cell.config.domain} has {tuple(shape)}"
        raise ImpossibleStart(
            place, f"{path} is for a bottleneck of {made_for} (channels, height, width, temb)"
        )
    return WarmStart(editor=str(path), digest=digest)
