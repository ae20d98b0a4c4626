"""CLIP maximum mean discrepancy between the edits and their originals."""

from trainables.h_space.metrics._base import SetMetric
from trainables.h_space.metrics._sets import gaussian_kernel_distance

METRIC = SetMetric(
    name="cmmd",
    label="CMMD",
    unit="1000 times a squared distance of embeddings",
    higher_is_better=False,
    description="Unbiased squared maximum mean discrepancy, Gaussian kernel, between the CLIP embeddings of originals "
    "and of edits (Jayasumana et al. 2024): the published CMMD where `feature_extractor` says ViT-L/14 at 336 pixels. "
    "It takes no distribution for Gaussian and its expectation does not depend on the number of images; it may be "
    "negative. Doing nothing wins it.",
    reference="original",
    features="clip",
    compute=gaussian_kernel_distance,
)
