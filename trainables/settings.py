"""The base of every typed setting."""

from pydantic import BaseModel, ConfigDict


class Settings(BaseModel):
    """Settings that reject unknown keys, never change, and never coerce a wrong type."""

    # The text under a field becomes its description in the JSON Schema of a space.
    model_config = ConfigDict(
        extra="forbid", frozen=True, strict=True, use_attribute_docstrings=True, allow_inf_nan=False
    )
