"""Fréchet distance between the edits and their originals."""

from trainables.h_space.metrics._base import SetMetric
from trainables.h_space.metrics._sets import frechet_distance

METRIC = SetMetric(
    name="frechet_distance",
    label="Fréchet distance",
    unit="squared distance of features",
    higher_is_better=False,
    description="Fréchet distance between the set of originals and the set of edits. It is the published FID only "
    "where `feature_extractor` says the Inception of 2015; else they are torchvision's, or the domain's CLIP. It "
    "depends on the number of images, and doing nothing wins it: read it beside kernel_distance and a metric of "
    "success, at equal image sets.",
    reference="original",
    compute=frechet_distance,
)
