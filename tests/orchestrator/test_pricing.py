"""A price comes from finished trials of this machine, and says so when there are none."""

from collections.abc import Callable
from pathlib import Path

import pytest

from orchestrator.config import ExecutionConfig, Space
from orchestrator.durations import duration
from orchestrator.plan import Plan, build_plan
from orchestrator.pricing import price, price_lines
from orchestrator.resolving import Summarise
from orchestrator.throughput import FEW_ERROR, PILOT_ERROR, Measured, measured

EXECUTION = ExecutionConfig()
KINDS = (("tiny", "pixel_channel"), ("tiny", "conv"))


@pytest.fixture
def plan(load: Callable[..., Space], summarise: Summarise, space_text: str) -> Plan:
    """Two cells, pixel_channel and conv, with two seeds each."""
    return build_plan(load(space_text), summarise=summarise)


def test_without_any_measurement_the_price_is_unknown(plan: Plan) -> None:
    unknown = price(plan, (), {}, EXECUTION)

    assert (unknown.num_trials, unknown.seconds) == (4, None)
    assert price_lines(unknown) == ["price: unknown: no trial has been measured here yet"]


def test_a_kind_of_cell_never_measured_is_named(plan: Plan) -> None:
    throughput = {("tiny", "pixel_channel"): [Measured(0.01, 0.01, 1000)]}

    partly = price(plan, (), throughput, EXECUTION)

    assert price_lines(partly) == ["price: unknown: no trial like encoder=conv has been measured here yet"]


def test_measured_trials_price_the_missing_ones(
    plan: Plan, tmp_path: Path, write_done: Callable[..., None]
) -> None:
    write_done(tmp_path, plan, train_seconds=30, wall_seconds=40)
    throughput = measured(tmp_path, "cpu")
    conv = {trial.signature for trial in plan.trials if trial.cell != "baseline"}

    of_two = price(plan, conv, throughput, EXECUTION)

    assert of_two.num_trials == 2
    assert of_two.device_hours == pytest.approx(2 * 40 / 3600)
    assert of_two.seconds == pytest.approx(40 if of_two.num_parallel >= 2 else 80)
    assert of_two.num_bytes is not None
    assert of_two.num_bytes > 0


def test_the_spread_of_the_measurements_is_the_range(plan: Plan) -> None:
    rates = [Measured(0.1, 0.1, 10), Measured(0.2, 0.2, 10), Measured(0.4, 0.4, 10)]
    throughput = dict.fromkeys(KINDS, rates)

    ranged = price(plan, (), throughput, EXECUTION)

    assert ranged.seconds is not None
    assert ranged.seconds_low == pytest.approx(ranged.seconds / 2)
    assert ranged.seconds_high == pytest.approx(ranged.seconds * 2)
    assert "by 6 finished trials here" in price_lines(ranged)[0]


def test_a_trial_in_ten_beyond_the_others_is_left_out_of_the_range(plan: Plan) -> None:
    usual = [Measured(0.1, 0.1, 10), *[Measured(0.2, 0.2, 10)] * 9, Measured(0.3, 0.3, 10)]
    asleep = [Measured(9.0, 9.0, 10)]

    ranged = price(plan, (), dict.fromkeys(KINDS, usual + asleep), EXECUTION)

    assert ranged.seconds is not None
    assert ranged.seconds_high == pytest.approx(ranged.seconds * 1.5)


def test_a_single_finished_trial_does_not_pass_for_certainty(plan: Plan) -> None:
    ranged = price(plan, (), {kind: [Measured(0.1, 0.1, 10)] for kind in KINDS}, EXECUTION)

    assert ranged.seconds is not None
    assert ranged.seconds_low == pytest.approx(ranged.seconds * FEW_ERROR[0])
    assert ranged.seconds_high == pytest.approx(ranged.seconds * FEW_ERROR[1])


def test_a_pilot_shows_its_spread_and_its_error_also_for_the_cache(plan: Plan) -> None:
    rates = [Measured(rate, rate, 10, is_pilot=True, pass_rate=rate / 10) for rate in (0.1, 0.2, 0.3)]

    trials = price(plan, (), dict.fromkeys(KINDS, rates), EXECUTION)
    both = price(plan, (), dict.fromkeys(KINDS, rates), EXECUTION, num_passes=10_000)

    assert (trials.num_measured, trials.num_pilots) == (2, 2)
    assert trials.seconds is not None
    assert both.seconds is not None
    low, high = PILOT_ERROR
    assert trials.seconds_low == pytest.approx(trials.seconds * low / 2)
    assert trials.seconds_high == pytest.approx(trials.seconds * high * 1.5)
    assert both.preparation_seconds == pytest.approx(200 / both.num_parallel)
    assert both.preparation_high == pytest.approx(both.preparation_seconds * high * 1.5)
    assert both.seconds_low == pytest.approx(both.seconds * low / 2)
    (line,) = price_lines(both)
    assert "by 2 pilots of a few steps here; " in line
    assert line.endswith("of it for the trajectories that all trials share")


def test_passes_that_were_timed_price_the_cache_beside_finished_trials(plan: Plan) -> None:
    throughput = {kind: [Measured(0.1, 0.1, 10)] * 3 for kind in KINDS}

    timed = price(plan, (), throughput, EXECUTION, num_passes=100, pass_seconds=[0.5])

    assert timed.preparation_seconds == pytest.approx(50 / timed.num_parallel)
    assert "by 6 finished trials here; " in price_lines(timed)[0]


def test_trials_of_another_machine_or_device_tell_nothing(
    plan: Plan, tmp_path: Path, write_done: Callable[..., None]
) -> None:
    write_done(tmp_path, plan, train_seconds=30, wall_seconds=40, at="elsewhere")

    assert measured(tmp_path, "cpu") == {}
    assert measured(tmp_path, "cuda") == {}


def test_nothing_missing_costs_nothing(plan: Plan) -> None:
    free = price(plan, {trial.signature for trial in plan.trials}, {}, EXECUTION)

    assert (free.num_trials, free.seconds, free.num_bytes) == (0, 0, 0)


@pytest.mark.parametrize(("seconds", "text"), [(40, "40 s"), (720, "12 min"), (12600, "3.5 h")])
def test_durations_read_well(seconds: float, text: str) -> None:
    assert duration(seconds) == text
