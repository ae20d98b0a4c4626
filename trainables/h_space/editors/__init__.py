"""Editors f_t: one file per kind, found by their names.

A new kind is one module here with a class `Config(EditorSettings)`, whose `kind` is the module's name; or such a file
elsewhere, named in a space as one of its `plugins`. What its network is made of is best imported in `network`, so that
plans do without torch.
"""

from functools import reduce
from operator import or_
from typing import Annotated, Any

from pydantic import Field

from trainables.h_space.editors._base import EditorSettings, fault, num_parameters, on_meta
from trainables.h_space.editors._block import BlockSettings
from trainables.registry import Registry, literal_kind

EDITORS: Registry[type[EditorSettings]] = Registry(
    "editor", __name__, "Config", EditorSettings, literal_kind, fault=fault
)
"""Settings class of every kind."""


def any_editor() -> Any:
    """Settings of any kind, told apart by `kind`: the type of a pydantic field."""
    return Annotated[reduce(or_, EDITORS.values()), Field(discriminator="kind")]


EditorConfig: Any = any_editor()

__all__ = [
    "EDITORS",
    "BlockSettings",
    "EditorConfig",
    "EditorSettings",
    "any_editor",
    "num_parameters",
    "on_meta",
]
