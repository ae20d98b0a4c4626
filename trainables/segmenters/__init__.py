"""Segmenters: one file each, found by their names."""

from trainables.registry import discover
from trainables.segmenters._base import Segmenter

SEGMENTERS: dict[str, Segmenter] = discover(__name__, "SEGMENTER", Segmenter)

__all__ = ["SEGMENTERS", "Segmenter"]
