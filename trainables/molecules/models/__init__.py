"""Models of a molecule's property: one file per kind, found by their names.

A new kind is one module here with a class `Config(ModelSettings)`, whose `kind` is the module's name.
"""

from functools import reduce
from operator import or_
from typing import Annotated, Any

from pydantic import Field

from trainables.molecules.models._base import Geometry, ModelSettings, MoleculeNetwork
from trainables.registry import discover, literal_kind

MODELS: dict[str, type[ModelSettings]] = discover(__name__, "Config", ModelSettings, literal_kind)
"""Settings class of every kind."""

ModelConfig: Any = Annotated[reduce(or_, MODELS.values()), Field(discriminator="kind")]
"""Settings of any kind, told apart by `kind`: the type of a pydantic field."""

__all__ = ["MODELS", "Geometry", "ModelConfig", "ModelSettings", "MoleculeNetwork"]
