"""Editors f_t: one file per kind, found by their names.

A new kind is one module here with a class `Config(EditorSettings)`, whose `kind` is the module's name. What its network
is made of is best imported in `network`, so that plans do without torch.
"""

from functools import reduce
from operator import or_
from typing import Annotated, Any

from pydantic import Field

from trainables.h_space.editors._base import EditorSettings, num_parameters, on_meta
from trainables.h_space.editors._block import BlockSettings
from trainables.registry import discover, literal_kind

EDITORS: dict[str, type[EditorSettings]] = discover(__name__, "Config", EditorSettings, literal_kind)
"""Settings class of every kind."""

EditorConfig: Any = Annotated[reduce(or_, EDITORS.values()), Field(discriminator="kind")]
"""Settings of any kind, told apart by `kind`: the type of a pydantic field."""

__all__ = [
    "EDITORS",
    "BlockSettings",
    "EditorConfig",
    "EditorSettings",
    "num_parameters",
    "on_meta",
]
