import itertools

import numpy as np
import pytest
from scipy import stats as scipy_stats

from analysis.stats import (
    PairedSample,
    decision_power,
    judge,
    min_pairs,
    paired_t_p,
    probability_of_improvement,
    seeds_to_decide,
    sign_flip_p,
    t_interval,
    tost_p,
    worst_rank,
)
from analysis.stats.single import BOUNDED_ABOVE


def sample(differences: list[float], **counts: int) -> PairedSample:
    values = np.array(differences, dtype=np.float64)
    return PairedSample("cell", values, tuple(range(len(values))), **counts)


def normal(n: int, mean: float = 0.0, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(mean, 1.0, n)


def test_t_interval_is_scipys() -> None:
    values = normal(7)

    interval = t_interval(values, 0.9)

    expected = scipy_stats.ttest_1samp(values, 0).confidence_interval(0.9)
    assert (interval.low, interval.high) == pytest.approx(tuple(expected))


def test_t_interval_of_one_value_does_not_exist() -> None:
    assert np.isnan(t_interval(np.array([0.3])).low)


def test_t_interval_covers_where_a_percentile_bootstrap_does_not() -> None:
    generator = np.random.default_rng(1)
    num_studies, n = 1500, 5
    studies = generator.normal(0, 1, (num_studies, n))
    resampled = studies[:, generator.integers(0, n, (400, n))].mean(axis=2)  # (studies, resamples)
    low, high = np.percentile(resampled, [2.5, 97.5], axis=1)
    intervals = [t_interval(values) for values in studies]

    t_cover = np.mean([interval.low <= 0 <= interval.high for interval in intervals])
    bootstrap_cover = np.mean((low <= 0) & (high >= 0))

    assert t_cover == pytest.approx(0.95, abs=0.015)
    assert bootstrap_cover < 0.88


@pytest.mark.parametrize("n", [1, 2, 5, 8])
def test_sign_flip_agrees_with_brute_force(n: int) -> None:
    differences = normal(n, mean=0.5)
    patterns = [np.dot(signs, differences) for signs in itertools.product((-1, 1), repeat=n)]

    expected = np.mean(np.abs(patterns) >= abs(differences.sum()) - 1e-12)

    assert sign_flip_p(differences) == expected


@pytest.mark.parametrize(("n", "smallest"), [(1, 1.0), (5, 0.0625), (6, 0.03125), (8, 0.0078125)])
def test_sign_flip_p_cannot_be_smaller_than_two_in_all_patterns(n: int, smallest: float) -> None:
    assert sign_flip_p(np.full(n, 0.1)) == smallest


def test_sign_flip_counts_ties_in_spite_of_rounding() -> None:
    assert sign_flip_p(np.array([0.1, 0.2, -0.3])) == 1.0


@pytest.mark.parametrize("shift", [0.0, 0.01, 0.03])
def test_sign_flip_of_very_many_pairs_is_never_below_the_normal_limit(shift: float) -> None:
    differences = np.random.default_rng(0).standard_normal(BOUNDED_ABOVE + 10_000) + shift
    z = abs(differences.sum()) / np.sqrt((differences**2).sum())

    p = sign_flip_p(differences)

    assert 2 * scipy_stats.norm.sf(z) <= p <= min(1, 2 * scipy_stats.norm.sf(z) + 0.02)


def test_sign_flip_of_many_pairs_is_sampled_reproducibly_and_never_zero() -> None:
    differences = normal(30, mean=2.0)

    p = sign_flip_p(differences)

    assert p == sign_flip_p(differences) == pytest.approx(1e-5)
    assert sign_flip_p(normal(30, seed=3)) == pytest.approx(
        scipy_stats.ttest_1samp(normal(30, seed=3), 0).pvalue, abs=0.02
    )


def test_sign_flip_of_no_pairs_is_nan() -> None:
    assert np.isnan(sign_flip_p(np.array([])))


def test_tost_is_the_larger_of_two_one_sided_t_tests() -> None:
    differences = normal(12) * 0.1

    expected = max(
        scipy_stats.ttest_1samp(differences, -0.2, alternative="greater").pvalue,
        scipy_stats.ttest_1samp(differences, 0.2, alternative="less").pvalue,
    )

    assert tost_p(differences, 0.2) == pytest.approx(expected)


def test_tost_needs_a_margin_and_two_pairs() -> None:
    assert np.isnan(tost_p(np.zeros(5), 0.0))
    assert np.isnan(tost_p(np.zeros(1), 0.1))


@pytest.mark.parametrize(("value", "expected"), [(0.0, 0.0), (0.3, 1.0)])
def test_tost_of_equal_differences_is_certain(value: float, expected: float) -> None:
    assert tost_p(np.full(6, value), 0.1) == expected


def test_probability_of_improvement_counts_ties_half() -> None:
    assert probability_of_improvement(np.array([0.2, 0.0, -0.1, 0.3])) == 0.625


@pytest.mark.parametrize(("alpha", "pairs"), [(0.05, 6), (0.01, 8), (0.5, 2)])
def test_fewest_pairs_that_can_decide(alpha: float, pairs: int) -> None:
    assert min_pairs(alpha) == pairs


def test_paired_t_agrees_with_scipy() -> None:
    differences = np.array([0.3, -0.1, 0.2, 0.25, 0.1])

    assert paired_t_p(differences) == pytest.approx(scipy_stats.ttest_1samp(differences, 0.0).pvalue)


@pytest.mark.parametrize(("value", "expected"), [(0.0, 1.0), (0.3, 0.0)])
def test_paired_t_of_equal_differences_is_certain(value: float, expected: float) -> None:
    assert paired_t_p(np.full(6, value)) == expected


def test_the_interval_leaves_zero_out_exactly_when_the_adjusted_p_says_so() -> None:
    samples = [
        sample([shift + noise for noise in (0.1, -0.1, 0.05, -0.05, 0.02, 0.0, 0.03)])
        for shift in (0.0, 0.05, 0.1)
    ]

    for contrast in judge(samples, margin=0.0, alpha=0.05):
        leaves_out = contrast.interval.low > 0 or contrast.interval.high < 0
        assert leaves_out == (contrast.p_holm <= 0.05)


def test_a_t_test_carried_by_one_seed_does_not_pass_the_sign_flip() -> None:
    (contrast,) = judge([sample([0.2, 0.21, 0.19, 0.2, 0.2, -0.01])], margin=0.0, alpha=0.05)

    assert contrast.p_holm <= 0.05 < contrast.p
    assert contrast.verdict == "undecided"


@pytest.mark.parametrize(("effect", "seeds"), [(1.0, 10), (0.8, 15), (0.5, 34)])
def test_seeds_for_eighty_percent_power(effect: float, seeds: int) -> None:
    assert seeds_to_decide(effect, 1.0, 0.0, 0.05) == seeds


def test_power_of_five_seeds_for_one_standard_deviation() -> None:
    assert decision_power(1.0, 0.0, 5, 0.05) == pytest.approx(0.40, abs=0.01)


@pytest.mark.parametrize(("n", "power"), [(8, 0.64), (11, 0.85), (15, 0.96)])
def test_power_of_tost_for_a_margin_of_one_standard_deviation(n: int, power: float) -> None:
    """Beside it, the t test finds a difference where there is none in one study of twenty."""
    assert power <= decision_power(0.0, 1.0, n, 0.05) <= power + 0.05


@pytest.mark.parametrize(("ratio", "n"), [(1.0, 5), (0.8, 15), (0.5, 34)])
def test_without_a_margin_it_is_the_power_of_the_t_test(ratio: float, n: int) -> None:
    critical, noncentrality = scipy_stats.t.ppf(0.975, n - 1), ratio * n**0.5
    upper = scipy_stats.nct.sf(critical, n - 1, noncentrality)
    lower = scipy_stats.nct.cdf(-critical, n - 1, noncentrality)

    assert decision_power(ratio, 0.0, n, 0.05) == pytest.approx(upper + lower, abs=2e-3)


def test_a_difference_of_half_the_margin_is_the_hardest_to_decide() -> None:
    shares = (0, 0.25, 0.5, 0.75, 1, 2)

    needed = [seeds_to_decide(share * 0.1, 0.1, 0.1, 0.05) for share in shares]

    assert needed.index(max(needed)) == 2
    assert needed == [seeds_to_decide(-share * 0.1, 0.1, 0.1, 0.05) for share in shares]
    assert needed[-1] == seeds_to_decide(
        0.2, 0.1, 0.0, 0.05
    )  # so far beyond the margin only a difference decides


@pytest.mark.parametrize("mean", [0.0, 0.3, 0.5, 0.8])
def test_as_many_seeds_as_are_said_to_decide_do_so_in_four_of_five_studies(mean: float) -> None:
    n = seeds_to_decide(mean, 2.0, 1.0, 0.05)

    studies = np.random.default_rng(0).normal(mean, 2.0, (1500, n))

    decided = [paired_t_p(study) <= 0.05 or tost_p(study, 1.0) <= 0.05 for study in studies]
    assert np.mean(decided) == pytest.approx(0.8, abs=0.04)


def test_huge_effects_and_vanishing_ones_have_seed_counts() -> None:
    assert seeds_to_decide(100.0, 1.0, 0.0, 0.05) == 2
    assert seeds_to_decide(0.0, 1.0, 0.0, 0.05) == 10_000
    assert seeds_to_decide(0.1, 0.0, 0.0, 0.05) == 2


def test_worst_rank_turns_a_win_with_many_failures_around() -> None:
    wins = sample([0.1, 0.2, 0.15, 0.12, 0.3, 0.22], failed_worse=6)

    p, mean = worst_rank(wins)

    assert mean < 0
    assert p > 0.05


def test_clear_effects_help_or_hurt() -> None:
    up = [0.21, 0.19, 0.22, 0.18, 0.2, 0.23, 0.2, 0.19]

    better, worse = judge([sample(up), sample([-value for value in up])], margin=0.05, alpha=0.05)

    assert (better.verdict, worse.verdict) == ("helps", "hurts")
    assert better.interval.low > 0
    assert better.p == pytest.approx(2 / 2**8)
    assert better.p_holm < 0.001


def test_a_small_real_difference_is_equivalent_not_help() -> None:
    (contrast,) = judge([sample([0.010, 0.012, 0.011, 0.009, 0.010, 0.013, 0.011])], margin=0.05, alpha=0.05)

    assert contrast.p_holm < 0.05
    assert contrast.verdict == "equivalent"


def test_noise_is_undecided_and_says_how_many_seeds_would_decide() -> None:
    (contrast,) = judge([sample([0.3, -0.2, 0.25, -0.1, 0.2, -0.3, 0.1, 0.05])], margin=0.1, alpha=0.05)

    assert contrast.verdict == "undecided"
    assert not contrast.is_estimate
    assert contrast.seeds_needed == seeds_to_decide(contrast.mean, contrast.sd, 0.1, 0.05) > 8


def test_a_difference_that_the_sign_flip_test_alone_keeps_from_a_verdict_is_known_as_such() -> None:
    gains = [0.052, 0.068, 0.116, -0.003, 0.132, 0.020]

    (contrast,) = judge([sample(gains)], margin=0.05, alpha=0.05)

    assert contrast.verdict == "undecided"
    assert contrast.interval.low > 0
    assert contrast.p == pytest.approx(4 / 2**6)
    assert contrast.is_held_back
    assert not judge([sample(gains[:5])], margin=0.05, alpha=0.05)[0].is_held_back


@pytest.mark.parametrize("value", [0.0, 0.4])
def test_five_pairs_are_at_most_an_estimate(value: float) -> None:
    (contrast,) = judge([sample([value] * 5)], margin=0.1, alpha=0.05)

    assert contrast.verdict == "undecided"
    assert contrast.is_estimate
    assert contrast.seeds_needed == 6


def test_six_pairs_can_decide_among_four_contrasts() -> None:
    clear = [0.4, 0.45, 0.38, 0.42, 0.41, 0.39]

    contrasts = judge([sample(clear)] * 4, margin=0.1, alpha=0.05)

    assert {contrast.verdict for contrast in contrasts} == {"helps"}


@pytest.mark.parametrize("n", [0, 1])
def test_too_few_pairs_for_anything_are_undecided(n: int) -> None:
    (contrast,) = judge([sample([0.4] * n, missing=6 - n)], margin=0.1, alpha=0.05)

    assert contrast.verdict == "undecided"
    assert contrast.seeds_needed is None
    assert np.isnan(contrast.interval.low)


def test_failures_are_counted_and_can_take_a_verdict_back() -> None:
    wins = [0.21, 0.19, 0.22, 0.18, 0.2, 0.23]

    clean, broken = (judge([sample(wins, failed_worse=k)], margin=0.05, alpha=0.05)[0] for k in (0, 4))

    assert clean.verdict == broken.verdict == "helps"
    assert broken.num_failed == 4
    assert clean.survives_failures
    assert not broken.survives_failures


def test_reversed_contrast_mirrors_everything() -> None:
    (contrast,) = judge([sample([0.2, 0.3, 0.1, 0.2, 0.25, 0.3], failed_worse=1)], margin=0.05, alpha=0.05)

    mirrored = contrast.reversed("other")

    assert mirrored.verdict == "hurts"
    assert mirrored.mean == -contrast.mean
    assert mirrored.interval.low == -contrast.interval.high
    assert (mirrored.sample.failed_better, mirrored.sample.failed_worse) == (1, 0)
