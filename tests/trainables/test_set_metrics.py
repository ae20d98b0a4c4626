"""Distances between sets of images: known answers, and the values that outside implementations give."""

import numpy as np
import pytest
import scipy.linalg
import torch
from torch import Tensor, nn

from trainables.domains import load_domain
from trainables.metrics import METRICS, Pictures, SetMetric
from trainables.metrics._sets import frechet_distance, kernel_distance
from trainables.perception import FeatureExtractor
from trainables.set_features import SetFeatures, extractor_of, image_set
from trainables.yardsticks import measured_metrics

SET_METRICS = [metric for metric in METRICS.values() if isinstance(metric, SetMetric)]


def features(count: int, width: int, seed: int = 0, scale: float = 1.0) -> Tensor:
    return torch.randn(count, width, generator=torch.Generator().manual_seed(seed)) * scale


def test_a_set_is_at_distance_zero_from_itself() -> None:
    a = features(40, 6)

    assert frechet_distance(a, a) == pytest.approx(0, abs=1e-9)
    assert frechet_distance(a, a.flip(0)) == pytest.approx(0, abs=1e-9)


def test_a_shifted_set_is_at_the_square_of_the_shift() -> None:
    a = features(50, 4)

    assert frechet_distance(a, a + torch.tensor([3.0, 0, 0, 0])) == pytest.approx(9, abs=1e-5)


def test_a_scaled_gaussian_is_at_the_square_of_the_difference_of_its_deviations() -> None:
    a = features(50, 4)
    variance = float(a.double().var(dim=0).sum())

    centred = a - a.mean(0)

    assert frechet_distance(centred, 2 * centred) == pytest.approx(variance, rel=1e-5)


@pytest.mark.parametrize(("count", "other_count", "width"), [(60, 60, 8), (60, 33, 8), (5, 7, 12), (2, 2, 3)])
def test_the_frechet_distance_is_scipy_s(count: int, other_count: int, width: int) -> None:
    a, b = features(count, width).double(), features(other_count, width, seed=1, scale=1.7).double() + 0.3
    covariances = np.cov(a.numpy().T), np.cov(b.numpy().T)

    # Through the symmetric root, which exists for singular covariances too (fewer images than features).
    root = scipy.linalg.sqrtm(covariances[0] + 1e-14 * np.eye(width)).real
    middle = np.linalg.eigvalsh(root @ covariances[1] @ root).clip(min=0)
    expected = float(((a.mean(0) - b.mean(0)) ** 2).sum())
    expected += np.trace(covariances[0]) + np.trace(covariances[1]) - 2 * np.sqrt(middle).sum()

    assert frechet_distance(a, b) == pytest.approx(expected, rel=1e-4)


class Identity(nn.Module):
    """Features are what comes in."""

    num_features = 8

    def forward(self, x: Tensor) -> Tensor:
        return x


def test_both_distances_are_torchmetrics_on_the_same_features() -> None:
    fid = pytest.importorskip("torchmetrics.image.fid", reason="torchmetrics is not installed")
    kid = pytest.importorskip("torchmetrics.image.kid")
    clip = load_domain("avatars").clip
    pictures = torch.rand(2, 30, 3, 32, 32, generator=torch.Generator().manual_seed(0)) * 2 - 1
    a, b = (clip.image(half)[:, :8].double() for half in pictures)

    library = fid.FrechetInceptionDistance(feature=Identity())
    library.update(a, real=True)
    library.update(b, real=False)

    assert frechet_distance(a, b) == pytest.approx(float(library.compute()), abs=1e-7)
    assert kernel_distance(a, b) == pytest.approx(float(kid.poly_mmd(a, b)), abs=1e-9)


def test_the_kernel_distance_is_about_zero_for_two_draws_of_one_distribution_however_few() -> None:
    few = [kernel_distance(features(8, 4, seed), features(8, 4, seed + 1000)) for seed in range(400)]
    biased = [frechet_distance(features(8, 4, seed), features(8, 4, seed + 1000)) for seed in range(50)]

    assert abs(np.mean(few)) < 3 * np.std(few) / 20
    assert np.mean(biased) > 1  # what the note on small samples is about
    assert kernel_distance(features(8, 4), features(8, 4, 1) + 2) > 1


@pytest.mark.parametrize("metric", SET_METRICS, ids=lambda metric: metric.name)
def test_every_set_metric_is_finite_on_two_images_and_says_so_on_fewer(metric: SetMetric) -> None:
    two = features(2, 5)

    assert np.isfinite(metric.compute(two, features(2, 5, 1)))
    assert metric.description
    for count in (0, 1):
        with pytest.raises(ValueError, match=f"needs at least 2 images in each; found {count}"):
            metric.compute(two, features(count, 5))


def test_a_feature_that_is_not_finite_gives_no_number() -> None:
    broken = features(4, 3).fill_(float("nan"))

    assert np.isnan(frechet_distance(features(4, 3), broken))
    assert np.isnan(kernel_distance(features(4, 3), broken))


def collected(count: int, num_features: int = 3) -> SetFeatures:
    extractor = FeatureExtractor("flat colours", num_features, lambda pictures: pictures.embedding)
    sets = SetFeatures(extractor, measured_metrics(), [f"face-{n}" for n in range(count)])
    for start in range(0, count, 4):
        pixels = torch.zeros(min(4, count - start), 3, 2, 2)
        own = features(len(pixels), 3, seed=start)
        sets.add(Pictures(pixels, own), "original")
        sets.add(Pictures(pixels, own + 1), "reconstruction", 20)
        sets.add(Pictures(pixels, own + 3), "edit", 1.0, 20)
    return sets


def test_a_row_says_what_it_was_computed_from_and_batches_do_not_matter() -> None:
    row = collected(10).row(1.0, 20)

    assert row is not None
    assert row["fid"] == pytest.approx(27, abs=1e-4)
    assert row["fid_from_reconstruction"] == pytest.approx(12, abs=1e-4)
    assert (row["num_images"], row["feature_extractor"]) == (10, "flat colours")
    assert row["image_set"] == image_set([f"face-{n}" for n in range(10)])


def test_too_few_images_for_a_set_are_noted_and_give_no_row() -> None:
    assert collected(1).row(1.0, 20) is None
    assert "need two images" in collected(1).notes()[0]


@pytest.mark.parametrize(
    ("count", "num_features", "is_noted"), [(10, 3, True), (2048, 64, False), (2048, 2049, True)]
)
def test_a_small_sample_is_noted_with_its_numbers(count: int, num_features: int, is_noted: bool) -> None:
    extractor = FeatureExtractor("flat colours", num_features, lambda pictures: pictures.embedding)

    notes = SetFeatures(extractor, measured_metrics(), [f"{n}" for n in range(count)]).notes()

    assert [f"{count} images for {num_features} features" in note for note in notes] == [True] * is_noted


def test_without_inception_s_weights_sets_are_compared_in_the_domain_s_clip() -> None:
    domain = load_domain("avatars")

    extractor = extractor_of(domain, "auto")

    assert extractor.name.startswith("CLIP of avatars, ")
    assert extractor.num_features == 64
    with pytest.raises(ValueError, match="domain avatars names no weights file under `inception`"):
        extractor_of(domain, "inception")
