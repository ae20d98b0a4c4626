"""The base of every typed setting."""

from pydantic import BaseModel, ConfigDict


class Settings(BaseModel):
    """Settings that reject unknown keys, never change, and never coerce a wrong type."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)
