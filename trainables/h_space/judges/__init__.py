"""Judges: networks that measure edits and train no editor, one file each, found by name; those of plugins too."""

from trainables.h_space.judges._base import Judge, LoadedJudge, fault
from trainables.registry import Registry

JUDGES: Registry[Judge] = Registry("judge", __name__, "JUDGE", Judge, fault=fault)

__all__ = ["JUDGES", "Judge", "LoadedJudge"]
