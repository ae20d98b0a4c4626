"""Editors f_t: one file per kind, found by their names.

A new kind is one module here with a class `Config(EditorSettings)`, whose `kind` is the module's name.
"""

from functools import reduce
from operator import or_
from typing import Annotated, Any, get_args

from pydantic import Field

from trainables.editors._base import EditorSettings, num_parameters, on_meta
from trainables.registry import discover


def _kind_of(config: type[EditorSettings]) -> str:
    """The literal `kind` a settings class declares; empty when it declares none."""
    literals = get_args(config.model_fields["kind"].annotation)
    return str(literals[0]) if literals else ""


EDITORS: dict[str, type[EditorSettings]] = discover(__name__, "Config", EditorSettings, _kind_of)
"""Settings class of every kind."""

EditorConfig: Any = Annotated[reduce(or_, EDITORS.values()), Field(discriminator="kind")]
"""Settings of any kind, told apart by `kind`: the type of a pydantic field."""

__all__ = ["EDITORS", "EditorConfig", "EditorSettings", "num_parameters", "on_meta"]
