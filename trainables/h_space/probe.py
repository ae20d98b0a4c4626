"""A linear probe: is a label present in an image's CLIP embedding?

Legend: N images, D CLIP width.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from trainables.h_space.attributes import Attribute
from trainables.h_space.domains.loading import Domain

RIDGE = 1e-3
"""Penalty on the weights, relative to the mean variance of a direction of the embedding."""
MIN_PER_CLASS = 2
NUM_DRAWN = 64
"""Training images that a probe is fitted to where each comes with its drawn true edit."""
NUM_LABELLED = 1000
"""The most training images that a probe is fitted to where there are only labels."""


@dataclass(frozen=True)
class Probe:
    """Score of an embedding (B, D) -> (B,): above 0 where the label is present."""

    weights: Tensor  # (D,)
    offset: float

    def __call__(self, embedding: Tensor) -> Tensor:
        """The scores."""
        return embedding @ self.weights + self.offset


def fit_probe(embedding: Tensor, is_present: Tensor) -> Probe:
    """The ridge discriminant of images with and without the label, (N, D) and (N,) booleans, in closed form.

        w = (Σ + λ I)⁻¹ (μ₊ - μ₋),  offset so that the middle of the two means scores 0

    Σ is the mean of the two classes' covariances, so that the rarer class counts as much: the least-squares fit of +1
    and -1 to balanced classes. Raises ValueError when a class has fewer than two images.
    """
    present, absent = embedding[is_present].double(), embedding[~is_present].double()
    if min(len(present), len(absent)) < MIN_PER_CLASS:
        raise ValueError(
            f"a probe needs two images with the label and two without; found {len(present)} and {len(absent)}"
        )
    covariance = (torch.cov(present.T) + torch.cov(absent.T)) / 2
    penalty = RIDGE * covariance.diagonal().mean() + 1e-12
    identity = torch.eye(len(covariance), dtype=torch.float64, device=covariance.device)
    weights = torch.linalg.solve(covariance + penalty * identity, present.mean(0) - absent.mean(0))
    offset = -float((present.mean(0) + absent.mean(0)) @ weights / 2)
    return Probe(weights.to(embedding.dtype), offset)


@torch.no_grad()
def label_probe(domain: Domain, attribute: Attribute) -> Probe | None:
    """The probe of an attribute's label, fitted to training images; None where they show it too rarely to tell.

    Where true edits can be drawn, every image comes with its own, so that nothing but the label tells the two apart.
    """
    images = domain.images
    if not has_labels(images.label_names, attribute):
        return None
    num_images = min(NUM_DRAWN if images.can_redraw else NUM_LABELLED, images.count("train"))
    ids = images.ids("train", num_images, attribute)
    is_present = torch.tensor([images.shows(image_id, attribute) for image_id in ids])
    embedding = domain.clip.image(domain.load_images(ids))
    true_edits = images.counterfactuals(ids, attribute)
    if true_edits is not None:
        embedding = torch.cat([embedding, domain.clip.image(true_edits.to(domain.device))])
        is_present = torch.cat([is_present, torch.ones(len(ids), dtype=torch.bool)])
    if min(int(is_present.sum()), int((~is_present).sum())) < MIN_PER_CLASS:
        return None
    return fit_probe(embedding, is_present.to(embedding.device))


def has_labels(label_names: Iterable[str], attribute: Attribute) -> bool:
    """Whether images with these labels are labelled with what the attribute changes."""
    return bool(attribute.redraw) and attribute.redraw.keys() <= set(label_names)
