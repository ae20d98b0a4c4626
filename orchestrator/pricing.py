"""What the missing trials of a plan will cost, and between which ends it lies."""

import math
import statistics
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from orchestrator.durations import duration
from orchestrator.execution import ExecutionConfig
from orchestrator.machine import usable_cores, usable_gpus
from orchestrator.plan import Plan, TrialSpec
from orchestrator.throughput import (
    PILOT_ERROR,
    Kind,
    Measured,
    Throughput,
    error_of,
    kind_of,
)
from trainables.config import CellConfig
from trainables.workload import image_steps, sample_steps

if TYPE_CHECKING:
    pass

Choose = Callable[[Sequence[float]], float]
"""Picks one of several measured rates: the median, or one of the ends."""


@dataclass(frozen=True)
class Price:
    """Cost of what is missing. Each cost is None where a cell of a kind never measured here is among it."""

    num_trials: int
    device: str
    num_parallel: int
    """Trials that this machine runs at once."""
    seconds: float | None
    """Until the end, by the median of what was measured."""
    seconds_low: float | None
    """As `seconds`, had every trial the pace of the fastest one measured, one in ten left out; lower yet by
    `throughput.error_of` where it rests on pilots or few trials."""
    seconds_high: float | None
    """As `seconds_low`, by the slowest."""
    device_hours: float | None
    """CPU core hours, or GPU hours where trials use one."""
    num_bytes: int | None
    num_measured: int
    """Finished trials this rests on; pilots count too."""
    unmeasured: tuple[str, ...] = ()
    """Cells whose domain and editor kind no finished trial has had here."""
    preparation_seconds: float = 0.0
    """Of `seconds`, what the trajectory cache takes before the first trial."""
    num_pilots: int = 0
    """How many of `num_measured` are pilots: a few steps each, timed for this price."""
    preparation_low: float = 0.0
    """Of `seconds_low`, as `preparation_seconds`."""
    preparation_high: float = 0.0


def price(
    plan: Plan,
    done: Collection[str],
    throughput: Throughput,
    execution: ExecutionConfig,
    num_passes: int = 0,
    pass_seconds: Sequence[float] = (),
) -> Price:
    """Price the trials of a plan whose signatures are not in `done`.

    `num_passes` is the work that comes before them: U-Net passes of one image each that the trajectory cache lacks;
    `pass_seconds` are what some took. Without any, a pass costs what a pilot measured, or a sampling step.
    """
    missing = [trial for trial in plan.trials if trial.signature not in done]
    unmeasured = dict.fromkeys(trial.cell for trial in missing if not throughput.get(kind_of(trial.config)))
    rates = {kind: throughput.get(kind, ()) for kind in {kind_of(trial.config) for trial in missing}}
    num_pilots = sum(any(rate.is_pilot for rate in of_kind) for of_kind in rates.values())
    num_measured = num_pilots + sum(not rate.is_pilot for of_kind in rates.values() for rate in of_kind)
    device, num_parallel = device_of(execution), parallel_trials(execution)
    if unmeasured:
        unknown = (None, None, None, None, None)
        return Price(
            len(missing),
            device,
            num_parallel,
            *unknown,
            num_measured,
            tuple(unmeasured),
            num_pilots=num_pilots,
        )

    rounds = math.ceil(len(missing) / num_parallel) / len(missing) if missing else 0.0
    low, typical, high = _trial_seconds(missing, rates)
    cache_low, cache, cache_high = _cache_seconds(num_passes, pass_seconds, rates)
    return Price(
        num_trials=len(missing),
        device=device,
        num_parallel=num_parallel,
        seconds=typical * rounds + cache / num_parallel,
        seconds_low=low * rounds + cache_low / num_parallel,
        seconds_high=high * rounds + cache_high / num_parallel,
        device_hours=(typical + cache) * (execution.gpus_per_trial or execution.cpus_per_trial) / 3600,
        num_bytes=_num_bytes_of(missing, rates),
        num_measured=num_measured,
        preparation_seconds=cache / num_parallel,
        num_pilots=num_pilots,
        preparation_low=cache_low / num_parallel,
        preparation_high=cache_high / num_parallel,
    )


def _trial_seconds(missing: Sequence[TrialSpec], rates: Throughput) -> tuple[float, float, float]:
    """Low, typical and high sum over the trials, as if one ran after the other."""
    # Seeds share a configuration, and kinds share rates: each is worked out once.
    by_config = {id(trial.config): trial.config for trial in missing}
    num_trials = Counter(id(trial.config) for trial in missing)
    errors = {kind: error_of(of_kind) for kind, of_kind in rates.items()}

    def total(choose: Choose, errors: dict[Kind, float]) -> float:
        chosen = {kind: _chosen(of_kind, choose) for kind, of_kind in rates.items()}
        costs = {
            key: errors.get(kind_of(config), 1.0) * _seconds(config, *chosen[kind_of(config)])
            for key, config in by_config.items()
        }
        return math.fsum(costs[key] * count for key, count in num_trials.items())

    return (
        total(_fast, {kind: low for kind, (low, _) in errors.items()}),
        total(statistics.median, {}),
        total(_slow, {kind: high for kind, (_, high) in errors.items()}),
    )


def _cache_seconds(
    num_passes: int, pass_seconds: Sequence[float], rates: Throughput
) -> tuple[float, float, float]:
    """Low, typical and high time of the trajectory cache's passes, as if one ran after the other."""
    all_rates = [rate for of_kind in rates.values() for rate in of_kind]
    of_pilots = [rate.pass_rate for rate in all_rates if rate.pass_rate is not None]
    passes = pass_seconds or of_pilots or [rate.other_rate for rate in all_rates]
    if not passes:
        return 0.0, 0.0, 0.0
    low, high = PILOT_ERROR  # Whatever it is taken from, no cache has been timed.
    return (
        low * _fast(passes) * num_passes,
        statistics.median(passes) * num_passes,
        high * _slow(passes) * num_passes,
    )


def price_lines(price: Price, label: str = "price") -> list[str]:
    """The price in words, a line each."""
    if price.seconds is None or price.seconds_low is None or price.seconds_high is None:
        if price.num_measured == 0:
            return [f"{label}: unknown: no trial has been measured here yet"]
        return [f"{label}: unknown: no trial like {', '.join(price.unmeasured)} has been measured here yet"]
    hours = "GPU hours" if price.device == "cuda" else "CPU core hours"
    shared = ""
    if price.preparation_seconds >= 1:
        cache = _with_ends(price.preparation_seconds, price.preparation_low, price.preparation_high)
        shared = f"; {cache} of it for the trajectories that all trials share"
    return [
        f"{label}: {about(price)}, {price.num_parallel} at a time, {price.device_hours:.2g} {hours}, "
        f"{(price.num_bytes or 0) / 1e6:.2g} MB; by {_basis(price)} here{shared}"
    ]


def about(price: Price) -> str:
    """`about 12 min (10 min to 20 min)`, of a price that is known."""
    return f"about {_with_ends(price.seconds or 0.0, price.seconds_low or 0.0, price.seconds_high or 0.0)}"


def _with_ends(seconds: float, low: float, high: float) -> str:
    return f"{duration(seconds)} ({duration(low)} to {duration(high)})"


def _basis(price: Price) -> str:
    num_finished = price.num_measured - price.num_pilots
    parts = []
    if num_finished:
        parts.append("1 finished trial" if num_finished == 1 else f"{num_finished} finished trials")
    if price.num_pilots:
        pilots = "a pilot" if price.num_pilots == 1 else f"{price.num_pilots} pilots"
        parts.append(f"{pilots} of a few steps")
    return " and ".join(parts)


def device_of(execution: ExecutionConfig) -> str:
    """The device that records of such trials name."""
    return "cuda" if execution.gpus_per_trial > 0 else "cpu"


def parallel_trials(execution: ExecutionConfig) -> int:
    """How many trials this machine runs at once, by the CPUs and GPUs that may be used."""
    at_once = usable_cores() // execution.cpus_per_trial
    if execution.gpus_per_trial >= 1:
        at_once = min(at_once, int(usable_gpus() / execution.gpus_per_trial))
    elif execution.gpus_per_trial > 0:
        at_once = min(at_once, usable_gpus() * int(1 / execution.gpus_per_trial))
    return max(1, at_once)


def _fast(rates: Sequence[float]) -> float:
    """The lowest, one in ten left out: what has run on a sleeping laptop says nothing."""
    return sorted(rates)[(len(rates) - 1) // 10]


def _slow(rates: Sequence[float]) -> float:
    return sorted(rates)[-1 - (len(rates) - 1) // 10]


def _chosen(rates: Sequence[Measured], choose: Choose) -> tuple[float, float]:
    """(training, other) seconds per step, chosen of what was measured."""
    return choose([rate.train_rate for rate in rates]), choose([rate.other_rate for rate in rates])


def _seconds(config: CellConfig, train_rate: float, other_rate: float) -> float:
    """Seconds of one trial."""
    return float(train_rate * image_steps(config) + other_rate * sample_steps(config))


def median_seconds(config: CellConfig, rates: Sequence[Measured]) -> float:
    """Seconds of one trial by the median of what was measured of its kind."""
    return _seconds(config, *_chosen(rates, statistics.median))


def _num_bytes_of(missing: Sequence[TrialSpec], rates: Throughput) -> int:
    means = {kind: _mean_bytes(measured_rates) for kind, measured_rates in rates.items()}
    return sum(means[kind_of(trial.config)] for trial in missing)


def _mean_bytes(rates: Sequence[Measured]) -> int:
    return round(statistics.fmean(rate.num_bytes for rate in rates))
