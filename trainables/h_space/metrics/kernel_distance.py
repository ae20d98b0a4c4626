"""Unbiased kernel distance between the edits and their originals."""

from trainables.h_space.metrics._base import SetMetric
from trainables.h_space.metrics._sets import kernel_distance

METRIC = SetMetric(
    name="kernel_distance",
    label="Kernel distance",
    unit="squared distance of features",
    higher_is_better=False,
    description="Unbiased squared maximum mean discrepancy, polynomial kernel of degree 3, between the set of "
    "originals and the set of edits: KID where `feature_extractor` says the Inception of 2015. Its expectation does "
    "not depend on the number of images; it may be negative. Doing nothing wins it.",
    reference="original",
    compute=kernel_distance,
)
