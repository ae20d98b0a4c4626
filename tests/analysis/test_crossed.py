"""Seeds and items crossed: the error of a verdict is that of the population it speaks for."""

import numpy as np
import pytest

from analysis.stats import PairedSample, judge, t_interval
from analysis.stats.crossed import Over, group_values, two_way_variance, units, with_variance


def crossed(
    generator: np.random.Generator, num_seeds: int, num_items: int, of_seeds: float, of_items: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Differences without an effect, their seeds and items; the standard deviations are of means over each."""
    a = generator.standard_normal((num_seeds, 1)) * of_seeds * num_seeds**0.5
    b = generator.standard_normal((1, num_items)) * of_items * num_items**0.5
    values = a + b + generator.standard_normal((num_seeds, num_items))
    seeds, items = np.indices(values.shape)
    return values.ravel(), seeds.ravel(), items.ravel()


@pytest.mark.parametrize(
    ("of_seeds", "of_items"), [(1.0, 1.0), (1.0, 0.0), (0.0, 1.0), (0.0, 0.0), (0.3, 1.0)]
)
def test_an_interval_over_both_misses_at_most_as_often_as_it_says(of_seeds: float, of_items: float) -> None:
    generator = np.random.default_rng(0)
    missed = 0
    for _ in range(1000):
        interval = t_interval(units(*crossed(generator, 6, 20, of_seeds, of_items), "both"))
        missed += not interval.low <= 0 <= interval.high

    assert missed <= 68  # 5 %, and 2.6 standard errors


@pytest.mark.parametrize("over", ["seeds", "items"])
def test_an_interval_over_one_of_them_is_too_narrow_for_both(over: Over) -> None:
    """What the two-way variance is there for; the larger of the two intervals misses too often as well."""
    generator = np.random.default_rng(0)
    missed = 0
    for _ in range(500):
        interval = t_interval(units(*crossed(generator, 10, 20, 1.0, 1.0), over))
        missed += not interval.low <= 0 <= interval.high

    assert missed > 50


def test_false_verdicts_over_both_stay_below_alpha() -> None:
    generator = np.random.default_rng(1)
    found = 0
    for _ in range(200):
        values = units(*crossed(generator, 8, 8, 1.0, 1.0), "both")
        [contrast] = judge([PairedSample("b", values, tuple(range(8)))], margin=1e-6, alpha=0.05)
        found += contrast.verdict != "undecided"

    assert found <= 18  # 5 %, and 2.6 standard errors


def test_items_of_each_seed_alone_are_judged_by_seed() -> None:
    values = np.random.default_rng(2).normal(size=60)
    seeds, items = np.repeat(np.arange(6), 10), np.arange(60)

    assert units(values, seeds, items, "both") == pytest.approx(values.reshape(6, 10).mean(axis=1))


def test_variance_over_both_is_the_sum_of_its_parts() -> None:
    """Both have the variance of single values in them, which is that of the cells and counts once."""
    a, b = np.random.default_rng(4).normal(size=20), np.random.default_rng(5).normal(size=30)
    seeds, items = np.indices((20, 30))
    values = (a[:, None] + b[None, :]).ravel()
    cells = np.var(values, ddof=1) / 600

    found = two_way_variance(values, seeds.ravel(), items.ravel())

    assert found == pytest.approx(np.var(a, ddof=1) / 20 + np.var(b, ddof=1) / 30 - cells)


def test_clusters_of_other_sizes_keep_the_mean_and_show_the_clusters_variance() -> None:
    values = np.array([1.0, 1.0, 1.0, 4.0, 2.0, 2.0])
    clusters = np.array([0, 0, 0, 1, 2, 2])

    found = group_values(values, clusters)

    mean = values.mean()
    sums = np.array([(values[clusters == c] - mean).sum() for c in range(3)])
    assert found.mean() == pytest.approx(mean)
    assert np.var(found, ddof=1) / 3 == pytest.approx(3 / 2 * (sums**2).sum() / 36)


def test_seeds_without_influence_do_not_hide_that_items_vary() -> None:
    items = np.random.default_rng(3).normal(size=30)
    values = np.tile(items, 4)
    seeds, codes = np.repeat(np.arange(4), 30), np.tile(np.arange(30), 4)

    found = units(values, seeds, codes, "both")

    assert len(found) == 4
    assert np.var(found, ddof=1) / 4 == pytest.approx(np.var(items, ddof=1) / 30)


def test_one_seed_leaves_one_replicate_for_both() -> None:
    assert len(units(np.arange(5.0), np.zeros(5, dtype=np.int64), np.arange(5), "both")) == 1


def test_spreading_changes_the_variance_and_not_the_mean() -> None:
    found = with_variance(np.array([1.0, 2.0, 6.0]), 0.25)

    assert found.mean() == pytest.approx(3.0)
    assert np.var(found, ddof=1) / 3 == pytest.approx(0.25)
