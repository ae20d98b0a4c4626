"""Segmenters: one file each, found by their names."""

from trainables.h_space.segmenters._base import Segmenter
from trainables.registry import discover

SEGMENTERS: dict[str, Segmenter] = discover(__name__, "SEGMENTER", Segmenter)

__all__ = ["SEGMENTERS", "Segmenter"]
