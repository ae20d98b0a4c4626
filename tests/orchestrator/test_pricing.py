"""A price comes from finished trials of this machine, and says so when there are none."""

from collections.abc import Callable
from pathlib import Path

import pytest

from orchestrator.config import ExecutionConfig, Space
from orchestrator.ledger import Ledger
from orchestrator.plan import Plan, build_plan
from orchestrator.pricing import Measured, duration, measured, price, price_lines
from orchestrator.provenance import host
from orchestrator.resolving import Summarise

EXECUTION = ExecutionConfig()


@pytest.fixture
def plan(load: Callable[..., Space], summarise: Summarise, space_text: str) -> Plan:
    """Two cells, pixel_channel and conv, with two seeds each."""
    return build_plan(load(space_text), summarise=summarise)


def write_done(results: Path, plan: Plan, train_seconds: float, wall_seconds: float, at: str = "") -> None:
    """Record the first trial of the plan as done here, or on another machine."""
    trial = plan.trials[0]
    ledger = Ledger(results / "study" / "ledger")
    ledger.write_rows(trial.signature, 1, curves=[], evaluations=[], samples=[])
    ledger.commit(
        {
            "signature": trial.signature,
            "attempt": 1,
            "status": "done",
            "config": trial.config.model_dump(mode="json"),
            "provenance": {"host": at or host()},
            "device": "cpu",
            "train_seconds": train_seconds,
            "wall_seconds": wall_seconds,
        }
    )


def test_without_any_measurement_the_price_is_unknown(plan: Plan) -> None:
    unknown = price(plan, (), {}, EXECUTION)

    assert (unknown.num_trials, unknown.seconds) == (4, None)
    assert price_lines(unknown) == ["price: unknown: no trial has been measured here yet"]


def test_a_kind_of_cell_never_measured_is_named(plan: Plan) -> None:
    throughput = {("tiny", "pixel_channel"): [Measured(0.01, 0.01, 1000)]}

    partly = price(plan, (), throughput, EXECUTION)

    assert price_lines(partly) == ["price: unknown: no trial like encoder=conv has been measured here yet"]


def test_measured_trials_price_the_missing_ones(plan: Plan, tmp_path: Path) -> None:
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
    throughput = {("tiny", kind): rates for kind in ("pixel_channel", "conv")}

    ranged = price(plan, (), throughput, EXECUTION)

    assert ranged.seconds is not None
    assert ranged.seconds_low == pytest.approx(ranged.seconds / 2)
    assert ranged.seconds_high == pytest.approx(ranged.seconds * 2)
    assert "by 6 finished trials here" in price_lines(ranged)[0]


def test_trials_of_another_machine_or_device_tell_nothing(plan: Plan, tmp_path: Path) -> None:
    write_done(tmp_path, plan, train_seconds=30, wall_seconds=40, at="elsewhere")

    assert measured(tmp_path, "cpu") == {}
    assert measured(tmp_path, "cuda") == {}


def test_nothing_missing_costs_nothing(plan: Plan) -> None:
    free = price(plan, {trial.signature for trial in plan.trials}, {}, EXECUTION)

    assert (free.num_trials, free.seconds, free.num_bytes) == (0, 0, 0)


@pytest.mark.parametrize(("seconds", "text"), [(40, "40 s"), (720, "12 min"), (12600, "3.5 h")])
def test_durations_read_well(seconds: float, text: str) -> None:
    assert duration(seconds) == text
