"""A price comes from finished trials of this machine, and says so when there are none."""

from collections.abc import Callable
from pathlib import Path

import pytest

from orchestrator.plan.build import build_plan
from orchestrator.plan.cells import Plan
from orchestrator.space.config import Space
from orchestrator.space.execution import ExecutionConfig
from orchestrator.study.price.pricing import Machines, parallel_trials, price, price_lines, used_by_place
from orchestrator.study.price.ranges import Range
from orchestrator.study.price.throughput import FEW_ERROR, PILOT_ERROR, Measured, measured
from trainables.h_space.family import FAMILY
from trainables.wording import duration

EXECUTION = ExecutionConfig()
KINDS = (("tiny", "pixel_channel"), ("tiny", "conv"))


@pytest.fixture
def plan(load: Callable[..., Space], space_text: str) -> Plan:
    """Two cells, pixel_channel and conv, with two seeds each."""
    return build_plan(load(space_text))


def test_without_any_measurement_the_price_is_unknown(plan: Plan) -> None:
    unknown = price(plan, (), [Machines({})], EXECUTION)

    assert (unknown.num_trials, unknown.seconds) == (4, None)
    assert price_lines(unknown) == ["price: unknown: no trial has been measured here yet"]


def test_a_kind_of_cell_never_measured_is_named(plan: Plan) -> None:
    throughput = {("tiny", "pixel_channel"): [Measured(0.01, 0.01, 1000)]}

    partly = price(plan, (), [Machines(throughput)], EXECUTION)

    assert price_lines(partly) == ["price: unknown: no trial like encoder=conv has been measured here yet"]


def test_measured_trials_price_the_missing_ones(
    plan: Plan, tmp_path: Path, write_done: Callable[..., None]
) -> None:
    write_done(tmp_path, plan, train_seconds=30, wall_seconds=40)
    throughput = measured(tmp_path, "cpu", FAMILY)
    conv = {trial.signature for trial in plan.trials if trial.cell != "baseline"}

    of_two = price(plan, conv, [Machines(throughput)], EXECUTION)

    assert of_two.num_trials == 2
    assert of_two.device_hours == pytest.approx(2 * 40 / 3600)
    assert of_two.seconds is not None
    assert of_two.seconds.typical == pytest.approx(40 if of_two.num_parallel >= 2 else 80)
    assert of_two.num_bytes is not None
    assert of_two.num_bytes > 0


def test_the_spread_of_the_measurements_is_the_range(plan: Plan) -> None:
    rates = [Measured(0.1, 0.1, 10), Measured(0.2, 0.2, 10), Measured(0.4, 0.4, 10)]
    throughput = dict.fromkeys(KINDS, rates)

    ranged = price(plan, (), [Machines(throughput)], EXECUTION)

    assert ranged.seconds is not None
    assert ranged.seconds.low == pytest.approx(ranged.seconds.typical / 2)
    assert ranged.seconds.high == pytest.approx(ranged.seconds.typical * 2)
    assert "by 6 finished trials here" in price_lines(ranged)[0]


def test_a_trial_in_ten_beyond_the_others_is_left_out_of_the_range(plan: Plan) -> None:
    usual = [Measured(0.1, 0.1, 10), *[Measured(0.2, 0.2, 10)] * 9, Measured(0.3, 0.3, 10)]
    asleep = [Measured(9.0, 9.0, 10)]

    ranged = price(plan, (), [Machines(dict.fromkeys(KINDS, usual + asleep))], EXECUTION)

    assert ranged.seconds is not None
    assert ranged.seconds.high == pytest.approx(ranged.seconds.typical * 1.5)


def test_a_single_finished_trial_does_not_pass_for_certainty(plan: Plan) -> None:
    ranged = price(plan, (), [Machines({kind: [Measured(0.1, 0.1, 10)] for kind in KINDS})], EXECUTION)

    assert ranged.seconds is not None
    assert ranged.seconds.low == pytest.approx(ranged.seconds.typical * FEW_ERROR[0])
    assert ranged.seconds.high == pytest.approx(ranged.seconds.typical * FEW_ERROR[1])


def test_a_pilot_shows_its_spread_and_its_error_also_for_the_preparation(plan: Plan) -> None:
    rates = [Measured(rate, rate, 10, is_pilot=True) for rate in (0.1, 0.2, 0.3)]
    preparing = [
        {"passes": rate / 10, "images": rate, "texts": 10 * rate, "prompts": rate} for rate in (0.1, 0.2, 0.3)
    ]
    work = {"passes": 9_000.0, "images": 100.0, "texts": 10.0, "prompts": 100.0}
    start = Range(1.0, 2.0, 9.0)

    trials = price(plan, (), [Machines(dict.fromkeys(KINDS, rates), 2)], EXECUTION)
    all_of_it = price(
        plan, (),
        [Machines(dict.fromkeys(KINDS, rates), 2, start=start, work=work, preparing=preparing)], EXECUTION,
    )  # fmt: skip

    assert (trials.num_measured, trials.num_pilots) == (2, 2)
    assert trials.seconds is not None
    assert all_of_it.seconds is not None
    low, high = PILOT_ERROR
    assert trials.seconds.low == pytest.approx(trials.seconds.typical * low / 2)
    assert trials.seconds.high == pytest.approx(trials.seconds.typical * high * 1.5)
    assert all_of_it.preparation.typical == pytest.approx((180 + 20 + 20 + 20) / 2)
    assert all_of_it.preparation.high == pytest.approx(all_of_it.preparation.typical * high * 1.5)
    for end in ("low", "typical", "high"):
        parts = (getattr(one, end) for one in (trials.seconds, all_of_it.preparation, start))
        assert getattr(all_of_it.seconds, end) == pytest.approx(sum(parts))
    (line,) = price_lines(all_of_it)
    assert "by 2 pilots of a few steps here; " in line
    assert "of it to prepare what all trials share; " in line
    assert line.endswith("2 s (1 s to 9 s) of it to start")


@pytest.mark.parametrize(
    ("num_kept", "text"),
    [
        (0, "2 pilots of a few steps here"),
        (1, "2 pilots of a few steps, 1 of them timed earlier, here"),
        (2, "2 pilots of a few steps, timed earlier, here"),
    ],
)
def test_a_price_from_kept_pilots_says_so(plan: Plan, num_kept: int, text: str) -> None:
    rates = {kind: [Measured(0.1, 0.1, 10, is_pilot=True)] for kind in KINDS}

    kept = price(plan, (), [Machines(rates, 2, num_kept=num_kept)], EXECUTION)

    assert text in price_lines(kept)[0]


def test_a_pilot_that_failed_says_why_the_price_is_unknown(plan: Plan) -> None:
    failures = dict.fromkeys(KINDS, "the split test holds only 2 images")

    unknown = price(plan, (), [Machines({}, failures=failures)], EXECUTION)

    assert price_lines(unknown) == [
        "price: unknown: no trial has been measured here yet, and a pilot could not be timed: "
        "the split test holds only 2 images"
    ]


def test_trials_of_unequal_length_wait_for_the_longest() -> None:
    assert max(used_by_place([[1.0, 1.0, 1.0, 10.0]], [0, 0])) == 11.0  # not half of 13
    assert max(used_by_place([[10.0, 1.0, 1.0, 1.0]], [0, 0])) == 10.0
    assert used_by_place([[]], [0, 0]) == [0.0, 0.0]


def test_the_number_at_once_follows_the_options(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("orchestrator.study.price.pricing.usable_cores", lambda: 8)

    assert parallel_trials(ExecutionConfig(cpus_per_trial=2)) == 4
    assert parallel_trials(ExecutionConfig(cpus_per_trial=2), num_cpus=6) == 3
    assert parallel_trials(ExecutionConfig(cpus_per_trial=2), num_cpus=6, inline=True) == 1


def test_trials_that_share_a_gpu_may_take_as_many_times_as_long_as_a_pilot_alone(plan: Plan) -> None:
    rates = {kind: [Measured(0.1, 0.1, 10, is_pilot=True)] for kind in KINDS}

    alone, shared = (
        price(plan, (), [Machines(rates, 1)], ExecutionConfig(gpus_per_trial=share)).seconds
        for share in (1.0, 0.25)
    )

    assert alone is not None
    assert shared is not None
    assert shared.typical == pytest.approx(alone.typical)
    assert shared.high == pytest.approx(4 * alone.high)


def test_trials_of_another_machine_or_device_tell_nothing(
    plan: Plan, tmp_path: Path, write_done: Callable[..., None]
) -> None:
    write_done(tmp_path, plan, train_seconds=30, wall_seconds=40, at="elsewhere")

    assert measured(tmp_path, "cpu", FAMILY) == {}
    assert measured(tmp_path, "cuda", FAMILY) == {}


def test_nothing_missing_costs_nothing(plan: Plan) -> None:
    free = price(plan, {trial.signature for trial in plan.trials}, [Machines({})], EXECUTION)

    assert (free.num_trials, free.seconds, free.num_bytes) == (0, Range(), 0)


@pytest.mark.parametrize(("seconds", "text"), [(40, "40 s"), (720, "12 min"), (12600, "3.5 h")])
def test_durations_read_well(seconds: float, text: str) -> None:
    assert duration(seconds) == text
