import numpy as np
import pytest

from analysis.matching import match, reach

STRENGTHS = np.array([0.0, 0.25, 0.5, 0.75, 1.0])


def test_a_metric_that_is_linear_in_the_size_of_the_edit_is_recovered_exactly() -> None:
    size = np.array([0.05, 0.1, 0.3, 0.35, 0.6])

    found = match(STRENGTHS, size, 2.0 + 3.0 * size, target=0.2)

    assert found.value == pytest.approx(2.6, rel=1e-12)
    assert found.at == pytest.approx(0.375)


def test_a_straight_sweep_has_no_interpolation_error() -> None:
    found = match(STRENGTHS, STRENGTHS.copy(), 2 * STRENGTHS, target=0.6)

    assert found.value == pytest.approx(1.2)
    assert found.interpolation_error == pytest.approx(0.0, abs=1e-9)


def test_a_curved_sweep_says_how_far_the_interpolation_may_be_off() -> None:
    found = match(STRENGTHS, STRENGTHS.copy(), STRENGTHS**2, target=0.6)

    assert found.value == pytest.approx(0.25 + 0.4 * (0.5625 - 0.25))
    assert abs(found.value - 0.36) < 3 * found.interpolation_error


def test_a_target_that_was_measured_needs_no_interpolation() -> None:
    found = match(STRENGTHS, STRENGTHS.copy(), STRENGTHS**2, target=0.5)

    assert (found.value, found.at, found.interpolation_error) == (0.25, 0.5, 0.0)


def test_a_size_that_is_never_reached_has_no_value() -> None:
    found = match(STRENGTHS, 0.3 * STRENGTHS, STRENGTHS, target=0.4)

    assert np.isnan([found.value, found.at, found.interpolation_error]).all()


def test_two_strengths_cannot_tell_their_interpolation_error() -> None:
    found = match(np.array([0.0, 1.0]), np.array([0.0, 1.0]), np.array([0.0, 2.0]), target=0.5)

    assert found.value == 1.0
    assert np.isnan(found.interpolation_error)


def test_the_first_crossing_counts_and_negative_strengths_do_not() -> None:
    strengths = np.array([-1.0, 0.0, 1.0, 2.0, 3.0])
    size = np.array([0.5, 0.0, 0.6, 0.2, 0.9])

    found = match(strengths, size, np.array([9.0, 0.0, 1.0, 2.0, 3.0]), target=0.3)

    assert found.at == pytest.approx(0.5)
    assert reach(strengths, size) == (0.0, 0.9)
