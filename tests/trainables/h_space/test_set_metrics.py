"""Distances between sets of images: known answers, and the values that outside implementations give."""

import numpy as np
import pytest
import scipy.linalg
import torch
from torch import Tensor, nn

from trainables.h_space.domains.loading import load_domain
from trainables.h_space.metrics import METRICS, Pictures, SetMetric
from trainables.h_space.metrics._sets import frechet_distance, gaussian_kernel_distance, kernel_distance
from trainables.h_space.perception import FeatureExtractor
from trainables.h_space.set_features import Extractors, SetFeatures, extractor_of, image_set
from trainables.h_space.yardsticks import measured_metrics

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


def test_cmmd_of_a_shifted_gaussian_is_the_closed_form_of_its_kernel() -> None:
    width, deviation, shift = 3, 5.0, 12.0
    spread = 100 + 2 * deviation**2  # squared bandwidth and both variances
    closed = 2000 * (100 / spread) ** (width / 2) * (1 - np.exp(-(shift**2) / (2 * spread)))

    found = [
        gaussian_kernel_distance(
            features(300, width, seed, deviation),
            features(200, width, seed + 100, deviation) + torch.tensor([shift, 0, 0]),
        )
        for seed in range(20)
    ]

    assert np.mean(found) == pytest.approx(closed, abs=3 * np.std(found) / np.sqrt(20))
    assert np.std(found) / np.sqrt(20) < 0.02 * closed


def test_cmmd_of_unit_vectors_is_the_published_estimate_without_its_bias() -> None:
    a, b = (nn.functional.normalize(features(count, 16, count).double(), dim=1) for count in (20, 30))

    def kernel(x: Tensor, y: Tensor) -> Tensor:
        return torch.exp(-torch.cdist(x, y).square() / (2 * 10**2))

    published = float(1000 * (kernel(a, a).mean() + kernel(b, b).mean() - 2 * kernel(a, b).mean()))
    bias = 0.0
    for own, count in ((a, 20), (b, 30)):
        apart = float(kernel(own, own).sum() - count) / (count * (count - 1))
        bias += 1000 * (1 - apart) / count

    assert gaussian_kernel_distance(a, b) == pytest.approx(published - bias, abs=1e-9)


def test_cmmd_of_identical_sets_is_zero_but_for_what_a_draw_takes_from_itself() -> None:
    a = features(40, 6)
    beyond_itself = 1000 * 2 / 40 * (1 - float(torch.exp(-torch.pdist(a.double()).square() / 200).mean()))

    assert gaussian_kernel_distance(a, a.flip(0)) == pytest.approx(-beyond_itself, abs=1e-9)


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
    assert np.isnan(gaussian_kernel_distance(features(4, 3), broken))


FLAT = FeatureExtractor("flat colours", 3, lambda pictures: pictures.embedding)
DOUBLED = FeatureExtractor("twice the colours", 3, lambda pictures: 2 * pictures.embedding)
ALL_FLAT = Extractors(FLAT, FLAT)


def collected(
    count: int,
    groups: dict[str, list[int]] | None = None,
    extractors: Extractors = ALL_FLAT,
) -> SetFeatures:
    ids = [f"face-{n}" for n in range(count)]
    sets = SetFeatures(extractors, measured_metrics(), ids, groups or {})
    for start in range(0, count, 4):
        pixels = torch.zeros(min(4, count - start), 3, 2, 2)
        own = features(len(pixels), 3, seed=start)
        sets.add(Pictures(pixels, own), "original")
        sets.add(Pictures(pixels, own + 1), "reconstruction", 20)
        sets.add(Pictures(pixels, own + 3), "edit", 1.0, 20)
    return sets


def test_a_row_says_what_it_was_computed_from_and_batches_do_not_matter() -> None:
    (row,) = collected(10).rows(1.0, 20)

    assert row["frechet_distance"] == pytest.approx(27, abs=1e-4)
    assert row["frechet_distance_from_reconstruction"] == pytest.approx(12, abs=1e-4)
    assert (row["num_images"], row["feature_extractor"]) == (10, "flat colours")
    assert row["image_set"] == image_set([f"face-{n}" for n in range(10)])


def test_too_few_images_for_a_set_are_noted_and_give_no_row() -> None:
    assert collected(1).rows(1.0, 20) == []
    assert "need two images" in collected(1).notes()[0]


def test_subgroups_are_measured_as_if_their_images_were_all_there_is() -> None:
    skins = {"skin=dark": [0, 2, 3], "skin=light": [1, 4, 5, 6], "skin=grey": [7]}

    everybody, dark, light = collected(8, skins).rows(1.0, 20)

    assert [row["subgroup"] for row in (everybody, dark, light)] == [None, "skin=dark", "skin=light"]
    assert [row["num_images"] for row in (everybody, dark, light)] == [8, 3, 4]
    assert dark["image_set"] == image_set(["face-0", "face-2", "face-3"])
    own = torch.cat([features(4, 3, seed=0), features(4, 3, seed=4)])[[0, 2, 3]]
    assert dark["kernel_distance"] == pytest.approx(kernel_distance(own, own + 3), rel=1e-6)
    assert dark["cmmd"] == pytest.approx(gaussian_kernel_distance(own, own + 3), rel=1e-6)


def test_small_subgroups_are_noted_and_those_of_one_image_named() -> None:
    skins = {"skin=dark": [0, 2, 3], "skin=light": [1, 4, 5, 6], "skin=grey": [7]}

    _, sizes, untold = collected(8, skins).notes()

    assert "within subgroups of 3 to 4 images: the Fréchet distance of a smaller group is larger" in sizes
    assert untold.startswith("skin=grey: one image, too few for cmmd, ")


def test_cmmd_is_always_measured_in_clip_beside_the_chosen_features() -> None:
    rows = collected(6, extractors=Extractors(chosen=DOUBLED, clip=FLAT)).rows(1.0, 20)

    measured_in = {name: row["feature_extractor"] for row in rows for name in row if name in METRICS}
    assert measured_in == {
        metric.name: "flat colours" if metric.name.startswith("cmmd") else "twice the colours"
        for metric in SET_METRICS
    }


@pytest.mark.parametrize(
    ("count", "num_features", "is_noted"), [(10, 3, True), (2048, 64, False), (2048, 2049, True)]
)
def test_a_small_sample_is_noted_with_its_numbers(count: int, num_features: int, is_noted: bool) -> None:
    extractor = FeatureExtractor("flat colours", num_features, lambda pictures: pictures.embedding)

    notes = SetFeatures(
        Extractors(extractor, extractor), measured_metrics(), [f"{n}" for n in range(count)]
    ).notes()

    (note,) = notes
    assert f": {count} images for {num_features} features (flat colours)" in note
    assert ("with so few" in note) == is_noted


def test_without_inception_s_weights_sets_are_compared_in_the_domain_s_clip() -> None:
    domain = load_domain("avatars")

    extractor = extractor_of(domain, "auto", 64)

    assert extractor.name.startswith("CLIP of avatars, ")
    assert extractor.num_features == 64
    with pytest.raises(ValueError, match="domain avatars names no weights file under `inception`"):
        extractor_of(domain, "inception", 64)
