"""Segmenters: one file each, found by their names; those of plugins too."""

from trainables.h_space.segmenters._base import Segmenter, fault
from trainables.registry import Registry

SEGMENTERS: Registry[Segmenter] = Registry("segmenter", __name__, "SEGMENTER", Segmenter, fault=fault)

__all__ = ["SEGMENTERS", "Segmenter"]
