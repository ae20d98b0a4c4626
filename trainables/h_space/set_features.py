"""Whole sets of edits against the sets they came from: features collected batch by batch, then a row per set.

Legend: B images of a batch, N in all, F features.
"""

import hashlib
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal

import torch
from torch import Tensor

from trainables.h_space.domains.loading import Domain
from trainables.h_space.metrics import Metric, Pictures, SetMetric
from trainables.h_space.metrics._sets import MIN_IMAGES
from trainables.h_space.perception import FeatureExtractor
from trainables.trials import Row

ENOUGH_IMAGES = 2048
"""Below this, or below the number of features, a Fréchet distance depends strongly on the number of images."""


def extractor_of(
    domain: Domain, kind: Literal["auto", "clip", "inception"], clip_width: int
) -> FeatureExtractor:
    """What sets are compared in. auto: Inception where the domain has its weights, else the domain's CLIP.

    Raises ValueError for "inception" in a domain without.
    """
    if kind == "inception" and domain.inception is None:
        raise ValueError(
            f"evaluation.fid_features is inception, but domain {domain.name} names no weights file under `inception`"
        )
    if kind != "clip" and domain.inception is not None:
        return domain.inception
    return FeatureExtractor(
        f"CLIP of {domain.name}, {domain.clip.fingerprint[:8]}", clip_width, _clip_features
    )


def image_set(ids: Sequence[str]) -> str:
    """A name that two sets share only when they hold the same images in the same order."""
    return f"{len(ids)} images, {hashlib.sha256(chr(10).join(ids).encode()).hexdigest()[:8]}"


@dataclass(frozen=True)
class Extractors:
    """What the sets of a domain are compared in."""

    chosen: FeatureExtractor
    """What `evaluation.fid_features` asks for."""
    clip: FeatureExtractor
    """The domain's CLIP, for metrics that are defined on CLIP embeddings; the same one where that was chosen."""

    @classmethod
    def of(cls, domain: Domain, kind: Literal["auto", "clip", "inception"], clip_width: int) -> "Extractors":
        """Raises ValueError for "inception" in a domain without."""
        return cls(extractor_of(domain, kind, clip_width), extractor_of(domain, "clip", clip_width))


class SetFeatures:
    """The features of edits and of what they are compared with, at every place (strength, number of steps).

    `groups` are subgroups of the images by name, such as "skin=dark": the positions of their images.
    """

    def __init__(
        self,
        extractors: Extractors,
        metrics: Sequence[Metric],
        ids: Sequence[str],
        groups: Mapping[str, Sequence[int]] = MappingProxyType({}),
    ) -> None:
        self._ids = tuple(ids)
        self._groups = groups
        self._chosen = extractors.chosen
        self._extractors: dict[str, FeatureExtractor] = {}
        self._metrics: dict[str, list[SetMetric]] = defaultdict(list)
        for metric in metrics:
            if isinstance(metric, SetMetric):
                extractor = extractors.clip if metric.features == "clip" else extractors.chosen
                self._extractors[extractor.name] = extractor
                self._metrics[extractor.name].append(metric)
        self._collected: dict[tuple[Any, ...], list[Tensor]] = defaultdict(list)

    def add(self, pictures: Pictures, *place: Any) -> None:
        """The next B images of the set at a place, such as "original", or "edit" with a strength and steps."""
        for name, extractor in self._extractors.items():
            self._collected[name, *place].append(extractor.extract(pictures).cpu())

    def rows(self, strength: float, num_sample_steps: int) -> list[Row]:
        """The set metrics at a place, with what they were computed from: of all images, then of each subgroup.

        A row per extractor; none where there are fewer than two images.
        """
        found = []
        for name in self._extractors:
            sets = {
                "original": self._set(name, "original"),
                "reconstruction": self._set(name, "reconstruction", num_sample_steps),
                "edit": self._set(name, "edit", strength, num_sample_steps),
            }
            everybody = range(len(self._ids))
            for group, positions in ((None, everybody), *self._groups.items()):
                if len(positions) >= MIN_IMAGES:
                    found.append(self._row(name, sets, group, positions))
        return found

    def notes(self) -> list[str]:
        """What a reader of the values should know."""
        count, features = len(self._ids), self._chosen.num_features
        if not self._extractors:
            return []
        if count < MIN_IMAGES:
            return [f"{', '.join(self._names())} need two images and were not measured"]
        names = ", ".join(metric.name for metric in self._metrics[self._chosen.name])
        note = f"{names}: {count} images for {features} features ({self._chosen.name})"
        if count < max(ENOUGH_IMAGES, features):
            note += (
                "; with so few, the Fréchet distance depends on their number, so only values at the same number can be "
                "compared"
            )
        return [note, *self._group_notes()]

    def _group_notes(self) -> list[str]:
        """How few images the subgroups have."""
        sizes = {name: len(positions) for name, positions in self._groups.items()}
        told = [size for size in sizes.values() if size >= MIN_IMAGES]
        untold = [name for name, size in sizes.items() if size < MIN_IMAGES]
        notes = []
        if told and min(told) < max(ENOUGH_IMAGES, self._chosen.num_features):
            notes.append(
                f"{', '.join(self._names())} within subgroups of {min(told)} to {max(told)} images: the Fréchet "
                "distance of a smaller group is larger for its size alone; the unbiased kernel distances are not"
            )
        if untold:
            notes.append(f"{', '.join(untold)}: one image, too few for {', '.join(self._names())}")
        return notes

    def _names(self) -> list[str]:
        return [metric.name for metrics in self._metrics.values() for metric in metrics]

    def _row(self, name: str, sets: Mapping[str, Tensor], group: str | None, positions: Sequence[int]) -> Row:
        """The metrics of one extractor's features (N, F), over the images at these positions."""
        chosen = {what: features[list(positions)] for what, features in sets.items()}
        return {
            **{
                metric.name: metric.compute(chosen[metric.reference], chosen["edit"])
                for metric in self._metrics[name]
            },
            "subgroup": group,
            "num_images": len(positions),
            "feature_extractor": name,
            "image_set": image_set([self._ids[position] for position in positions]),
        }

    def _set(self, *place: Any) -> Tensor:
        """(N, F)."""
        return torch.cat(self._collected[place])


def _clip_features(pictures: Pictures) -> Tensor:
    return pictures.embedding
