"""Whole sets of edits against the sets they came from: features collected batch by batch, then one row per set.

Legend: B images of a batch, N in all, F features.
"""

import hashlib
from collections import defaultdict
from collections.abc import Sequence
from typing import Any, Literal

import torch
from torch import Tensor

from trainables.domains import Domain
from trainables.metrics import Metric, Pictures, SetMetric
from trainables.metrics._sets import MIN_IMAGES
from trainables.perception import FeatureExtractor

Row = dict[str, Any]

ENOUGH_IMAGES = 2048
"""Below this, or below the number of features, a Fréchet distance depends strongly on the number of images."""


def extractor_of(domain: Domain, kind: Literal["auto", "clip", "inception"]) -> FeatureExtractor:
    """What sets are compared in. auto: Inception where the domain has its weights, else the domain's CLIP.

    Raises ValueError for "inception" in a domain without.
    """
    if kind == "inception" and domain.inception is None:
        raise ValueError(
            f"evaluation.fid_features is inception, but domain {domain.name} names no weights file under `inception`"
        )
    if kind != "clip" and domain.inception is not None:
        return domain.inception
    num_features = domain.clip.text(["a"]).shape[1]
    return FeatureExtractor(
        f"CLIP of {domain.name}, {domain.clip.fingerprint[:8]}", num_features, _clip_features
    )


def image_set(ids: Sequence[str]) -> str:
    """A name that two sets share only when they hold the same images in the same order."""
    return f"{len(ids)} images, {hashlib.sha256(chr(10).join(ids).encode()).hexdigest()[:8]}"


class SetFeatures:
    """The features of edits and of what they are compared with, at every place (strength, number of steps)."""

    def __init__(self, extractor: FeatureExtractor, metrics: Sequence[Metric], ids: Sequence[str]) -> None:
        self._extractor = extractor
        self._metrics = [metric for metric in metrics if isinstance(metric, SetMetric)]
        self._ids = tuple(ids)
        self._collected: dict[tuple[Any, ...], list[Tensor]] = defaultdict(list)

    def add(self, pictures: Pictures, *place: Any) -> None:
        """The next B images of the set at a place, such as "original", or "edit" with a strength and steps."""
        if self._metrics:
            self._collected[place].append(self._extractor.extract(pictures).cpu())

    def row(self, strength: float, num_sample_steps: int) -> Row | None:
        """The set metrics at a place, with what they were computed from; None for fewer than two images."""
        if len(self._ids) < MIN_IMAGES or not self._metrics:
            return None
        references = {
            "original": self._set("original"),
            "reconstruction": self._set("reconstruction", num_sample_steps),
        }
        edits = self._set("edit", strength, num_sample_steps)
        return {
            **{metric.name: metric.compute(references[metric.reference], edits) for metric in self._metrics},
            "num_images": len(self._ids),
            "feature_extractor": self._extractor.name,
            "image_set": image_set(self._ids),
        }

    def notes(self) -> list[str]:
        """What a reader of the values should know."""
        count, features = len(self._ids), self._extractor.num_features
        if not self._metrics or count >= max(ENOUGH_IMAGES, features):
            return []
        names = ", ".join(metric.name for metric in self._metrics)
        if count < MIN_IMAGES:
            return [f"{names} need two images and were not measured"]
        return [
            f"{names}: {count} images for {features} features ({self._extractor.name}); with so few, the Fréchet "
            "distance depends on their number, so only values at the same number can be compared"
        ]

    def _set(self, *place: Any) -> Tensor:
        """(N, F)."""
        return torch.cat(self._collected[place])


def _clip_features(pictures: Pictures) -> Tensor:
    return pictures.embedding
