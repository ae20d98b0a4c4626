"""Designs: which points of the axes are run. One file per kind, found by their names.

A new design is one module here with a class `Config(Design)`, whose `kind` is the module's name.
"""

from functools import reduce
from operator import or_
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from orchestrator.space.designs._base import Design, Finding
from trainables.registry import discover, literal_kind

DESIGNS: dict[str, type[Design]] = discover(__name__, "Config", Design, literal_kind)
"""Settings class of every kind."""


def full_form(design: object) -> object:
    """`product` is short for `{kind: product}`."""
    return {"kind": design} if isinstance(design, str) else design


DesignConfig: Any = Annotated[
    Annotated[reduce(or_, DESIGNS.values()), Field(discriminator="kind")], BeforeValidator(full_form)
]
"""A design of any kind, told apart by `kind`: the type of a pydantic field."""

__all__ = ["DESIGNS", "Design", "DesignConfig", "Finding", "full_form"]
