"""What an editor's weights start from, as a family tells it."""

from typing import Any

from trainables.errors import UserError
from trainables.exchange import ImpossibleStart, Start
from trainables.h_space.attributes import ATTRIBUTES
from trainables.h_space.backbones.shapes import BottleneckShape
from trainables.h_space.config import CellConfig
from trainables.h_space.domains import DomainSummary
from trainables.wording import expected, shown
from trainables.yaml_tree import Loc

FROM: Loc = ("init", "from")


def start_of(config: CellConfig) -> Start | None:
    """The start that a cell's `init` asks for."""
    if config.init is None:
        return None
    init, source = config.init, config.init.source
    if source.editor is not None:
        return Start((*FROM, "editor"), file=source.editor, control=init.control)
    if source.attribute is None:
        return Start((*FROM, "cell"), cell=source.cell, epoch=init.epoch, control=init.control)
    is_mapping = isinstance(source.attribute, dict)
    attribute = source.attribute[config.attribute] if isinstance(source.attribute, dict) else source.attribute
    changes: dict[str, Any] = {"attribute": attribute}
    if not is_mapping:  # A mapping says itself where a chain ends.
        changes["init"] = None
    place: Loc = (*FROM, "attribute", *([config.attribute] if is_mapping else []))
    return Start(place, changes=changes, epoch=init.epoch, control=init.control)


def check_start(start: Start, config: CellConfig, summary: DomainSummary) -> None:
    """The attribute that is started from is offered."""
    attribute = start.changes.get("attribute")
    if attribute is not None and attribute not in summary.attributes:
        known = "an attribute" if attribute not in ATTRIBUTES else f"an attribute of {config.domain}"
        raise ImpossibleStart(start.place, expected(known, attribute, summary.attributes))


def unlike(own: Any, theirs: Any) -> str:
    """How two editors' settings differ, or nothing."""
    if own == theirs:
        return ""
    if own.kind != theirs.kind:
        return f"{theirs.kind}, and this cell's is {own.kind}"
    name = next(name for name in type(own).model_fields if getattr(own, name) != getattr(theirs, name))
    return f"its {name} is {shown(getattr(theirs, name))}, this cell's {shown(getattr(own, name))}"


def check_file(path: Any, config: CellConfig, shape: BottleneckShape) -> None:
    """The file holds an editor with the cell's settings, made for its bottleneck. Raises UserError otherwise."""
    from trainables.h_space.editor_file import load_editor  # torch; planning seldom needs it

    loaded = load_editor(path)
    if difference := unlike(config.editor, loaded.settings.canonical()):
        raise UserError(f"{path} holds another editor: {difference}")
    if loaded.metadata.shape != shape:
        made_for = f"{tuple(loaded.metadata.shape)}, and {config.domain} has {tuple(shape)}"
        raise UserError(f"{path} is for a bottleneck of {made_for} (channels, height, width, temb)")
