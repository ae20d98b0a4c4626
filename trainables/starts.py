"""Warm starts as a family's configuration says them: `init: {from: {cell: small}}`."""

from pathlib import Path
from typing import Any, Self

from pydantic import ConfigDict, Field, model_validator

from trainables.exchange import Start
from trainables.paths import absolute_path
from trainables.settings import Settings
from trainables.wording import look_up
from trainables.yaml_tree import Loc


class StartSource(Settings):
    """Which model a trial starts from: exactly one of these."""

    cell: str | dict[str, bool | int | float | str] | None = None
    """Another cell of the plan by its name, or this cell with other values of some axes."""
    file: str | None = None
    """A file, relative to the space's. It counts by its content, not by its name."""

    @model_validator(mode="after")
    def _exactly_one(self) -> Self:
        if (self.cell is None) == (self.file is None):
            raise ValueError("expected one of cell and file")
        return self


class InitConfig(Settings):
    """A warm start: a trial begins with the model of another one. A family's configuration has it as `init`."""

    model_config = ConfigDict(serialize_by_alias=True)

    source: StartSource = Field(alias="from")
    """Whose model it is."""
    epoch: int | None = Field(default=None, ge=1)
    """After how many epochs of the parent's training; its last when left out."""
    control: bool = True
    """Add the cell that trains from scratch for as long as parent and child together."""

    @model_validator(mode="after")
    def _a_file_is_what_it_is(self) -> Self:
        if self.source.file is not None and self.epoch is not None:
            raise ValueError("epoch has no meaning for a file, which holds one model; leave it out")
        return self


def start_of(config: Any, place: Loc) -> Start | None:
    """The start that a configuration's `init` asks for; `place` is where its source is said."""
    init = getattr(config, "init", None)
    if not isinstance(init, InitConfig):
        return None
    said = "cell" if init.source.file is None else "file"
    return Start(
        (*place, said),
        cell=init.source.cell,
        file=init.source.file,
        epoch=init.epoch,
        control=init.control,
    )


def with_absolute_start(settings: dict[str, Any], folder: Path) -> dict[str, Any]:
    """The settings with the path of a file to start from made absolute."""
    file = look_up(settings, ("init", "from", "file"))
    if not isinstance(file, str):
        return settings
    return {**settings, "init": {**settings["init"], "from": {"file": absolute_path(file, folder)}}}
