"""Models of a molecule's property: one file per kind, found by their names.

A new kind is one module here with a class `Config(ModelSettings)`, whose `kind` is the module's name; or such a file
elsewhere, named in a space as one of its `plugins`.
"""

from functools import reduce
from operator import or_
from typing import Annotated, Any

from pydantic import Field

from trainables.molecules.models._base import Geometry, ModelSettings, MoleculeNetwork, fault
from trainables.registry import Registry, literal_kind

MODELS: Registry[type[ModelSettings]] = Registry(
    "model", __name__, "Config", ModelSettings, literal_kind, fault=fault
)
"""Settings class of every kind."""


def any_model() -> Any:
    """Settings of any kind, told apart by `kind`: the type of a pydantic field."""
    return Annotated[reduce(or_, MODELS.values()), Field(discriminator="kind")]


ModelConfig: Any = any_model()

__all__ = ["MODELS", "Geometry", "ModelConfig", "ModelSettings", "MoleculeNetwork", "any_model"]
