"""What the missing trials of a plan will cost, and between which ends it lies."""

import heapq
import statistics
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from orchestrator.execution.machine import usable_cores, usable_gpus
from orchestrator.plan.cells import Plan, TrialSpec
from orchestrator.space.execution import ExecutionConfig
from orchestrator.study.price.ranges import NOTHING, Range
from orchestrator.study.price.throughput import (
    PILOT_ERROR,
    Kind,
    Measured,
    PreparationRates,
    Throughput,
    error_of,
)
from trainables.family import Family
from trainables.settings import Settings
from trainables.wording import duration


@dataclass(frozen=True)
class Price:
    """Cost of what is missing."""

    num_trials: int
    device: str
    num_parallel: int
    """Trials that run at once."""
    seconds: Range | None
    """Until the end, start and preparation included; None where it is unknown.

    typical: by the median of what was measured. low: had every trial the pace of the fastest one measured, one in ten
    left out; lower yet by `throughput.error_of` where it rests on pilots or few trials. high: by the slowest."""
    device_hours: float | None = None
    """CPU core hours, or GPU hours where trials use one."""
    num_bytes: int | None = None
    num_measured: int = 0
    """Finished trials this rests on; pilots count too."""
    num_pilots: int = 0
    """How many of `num_measured` are pilots: a few steps each, timed for a price."""
    num_kept: int = 0
    """How many of the pilots were timed for an earlier price."""
    preparation: Range = NOTHING
    """The part of `seconds` that all trials share."""
    start: Range = NOTHING
    """The part of `seconds` until processes run and have loaded the models."""
    unknown: str = ""
    """Why the duration is unknown."""
    kinds: tuple["KindPrice", ...] = ()
    """What it rests on in a cluster, by kind of machine; none for this machine."""


@dataclass(frozen=True)
class KindPrice:
    """What is known of trials on machines of one kind in a cluster."""

    name: str
    num_machines: int
    alone: Price
    """Had these machines to run all trials."""
    per_trial: Range
    """Seconds of a trial, the mean of all that are missing; nothing where `alone` is unknown."""


@dataclass(frozen=True)
class Conditions:
    """What a price depends on beside trials and their pace."""

    num_parallel: int = 1
    num_kept: int = 0
    """Pilots from an earlier price."""
    start: Range = NOTHING
    work: Mapping[str, float] = field(default_factory=dict)
    """What preparation lacks."""
    preparing: Sequence[PreparationRates] = ()
    """What a unit of it takes, as measured by a pilot's rounds."""
    failures: Mapping[Kind, str] = field(default_factory=dict)
    """Why a kind of trial could not be timed."""
    place: str = "here"
    """Where trials are measured, in words."""


def price(
    plan: Plan,
    done: Collection[str],
    throughput: Throughput,
    execution: ExecutionConfig,
    conditions: Conditions | None = None,
) -> Price:
    """Price the trials of a plan whose signatures are not in `done`."""
    family = plan.family
    given = conditions or Conditions(parallel_trials(execution))
    missing = [trial for trial in plan.trials if trial.signature not in done]
    kinds = {family.kind(trial.config) for trial in missing}
    rates = {kind: throughput.get(kind, ()) for kind in kinds}
    num_pilots = sum(any(rate.is_pilot for rate in of_kind) for of_kind in rates.values())
    num_measured = num_pilots + sum(not rate.is_pilot for of_kind in rates.values() for rate in of_kind)
    device = device_of(execution)
    if reason := _unknown(family, missing, rates, num_measured, given):
        return Price(
            len(missing), device, given.num_parallel, None,
            num_measured=num_measured, num_pilots=num_pilots, unknown=reason,
        )  # fmt: skip
    costs = costs_of(family, missing, rates, execution)
    alone = preparation_alone(given)
    shared = Range.by(lambda end: end(alone) / given.num_parallel)
    trials = Range.by(lambda end: makespan(map(end, costs), given.num_parallel))
    in_all = sum(cost.typical for cost in costs) + alone.typical
    return Price(
        num_trials=len(missing),
        device=device,
        num_parallel=given.num_parallel,
        seconds=trials + shared + given.start if missing else NOTHING,
        device_hours=in_all * (execution.gpus_per_trial or execution.cpus_per_trial) / 3600,
        num_bytes=_num_bytes_of(family, missing, rates),
        num_measured=num_measured,
        num_pilots=num_pilots,
        num_kept=given.num_kept,
        preparation=shared,
        start=given.start,
    )


def makespan(costs: Iterable[float], num_parallel: int) -> float:
    """When the last of these ends, each started in turn as soon as one of so many places is free."""
    return max(used_by_place([[*costs]], [0] * num_parallel))


def used_by_place(costs: Sequence[Sequence[float]], places: Sequence[int]) -> list[float]:
    """How long each place is used where trials take these times, by kind of place, and `places` are of these kinds.

    Each trial is started in turn in the place that is free first, of several in the one that is listed first.
    """
    free = [(0.0, number) for number in range(len(places))]
    for trial in range(len(costs[0])):
        used, number = free[0]
        heapq.heapreplace(free, (used + costs[places[number]][trial], number))
    return [used for used, _ in free]


def _unknown(
    family: Family,
    missing: Sequence[TrialSpec],
    rates: Throughput,
    num_measured: int,
    given: Conditions,
) -> str:
    """Why these trials cannot be priced; empty where they can."""
    cells = dict.fromkeys(trial.cell for trial in missing if not rates[family.kind(trial.config)])
    if not cells:
        return ""
    without = [kind for kind, of_kind in rates.items() if not of_kind]
    reasons = dict.fromkeys(given.failures[kind] for kind in without if kind in given.failures)
    like = "" if num_measured == 0 else f" like {', '.join(cells)}"
    why = f", and a pilot could not be timed: {'; '.join(reasons)}" if reasons else ""
    return f"no trial{like} has been measured {given.place} yet{why}"


def costs_of(
    family: Family, missing: Sequence[TrialSpec], rates: Throughput, execution: ExecutionConfig
) -> list[Range]:
    """Seconds of each trial, in their order."""
    # Seeds share a configuration, and kinds share rates: each is worked out once.
    sharing = _sharing(execution)
    paces = {kind: _pace(of_kind, sharing) for kind, of_kind in rates.items() if of_kind}
    configs = {id(trial.config): trial.config for trial in missing}
    found = {key: _seconds(family, config, *paces[family.kind(config)]) for key, config in configs.items()}
    return [found[id(trial.config)] for trial in missing]


def _pace(of_kind: Sequence[Measured], sharing: float) -> tuple[Range, Range]:
    """(training, other) seconds per step; trials that share a GPU may take so many times what a pilot did alone."""
    low, high = error_of(of_kind)
    high *= sharing if any(rate.is_pilot for rate in of_kind) else 1.0
    train, other = ([rate.train_rate for rate in of_kind], [rate.other_rate for rate in of_kind])
    return _spread(train).times(low, 1.0, high), _spread(other).times(low, 1.0, high)


def _sharing(execution: ExecutionConfig) -> float:
    """How many trials one GPU is shared by."""
    return max(1.0, 1 / execution.gpus_per_trial) if execution.gpus_per_trial > 0 else 1.0


def preparation_alone(given: Conditions) -> Range:
    """Seconds of what all trials share, as if one piece were done after the other."""
    if not given.work or not given.preparing:
        return NOTHING
    rounds = [
        sum(rates.get(unit, 0.0) * count for unit, count in given.work.items()) for rates in given.preparing
    ]
    low, high = PILOT_ERROR  # No whole preparation has been timed.
    return _spread(rounds).times(low, 1.0, high)


def price_lines(price: Price, label: str = "price") -> list[str]:
    """The price in words, a line each."""
    of_kinds = [_kind_line(kind) for kind in price.kinds]
    if price.seconds is None:
        return [f"{label}: unknown: {price.unknown}", *of_kinds]
    hours = "GPU hours" if price.device == "cuda" else "CPU core hours"
    parts = ["on the machines that are there now" if price.kinds else f"by {_basis(price)} here"]
    if price.preparation.typical >= 1:
        parts.append(f"{_with_ends(price.preparation)} of it to prepare what all trials share")
    if price.start.typical >= 1:
        parts.append(f"{_with_ends(price.start)} of it to start")
    return [
        f"{label}: {about(price)}, {price.num_parallel} at a time, {price.device_hours:.2g} {hours}, "
        f"{(price.num_bytes or 0) / 1e6:.2g} MB; {'; '.join(parts)}",
        *of_kinds,
    ]


def _kind_line(kind: KindPrice) -> str:
    takes = "unknown"
    if kind.alone.seconds is not None:
        takes = f"{_with_ends(kind.per_trial)} a trial, by {_basis(kind.alone)} there"
    return f"  {kind.alone.num_parallel} at a time on {kind.num_machines} x {kind.name}: {takes}"


def about(price: Price) -> str:
    """`about 12 min (10 min to 20 min)`, of a price that is known."""
    assert price.seconds is not None
    return f"about {_with_ends(price.seconds)}"


def _with_ends(seconds: Range) -> str:
    return f"{duration(seconds.typical)} ({duration(seconds.low)} to {duration(seconds.high)})"


def _basis(price: Price) -> str:
    num_finished = price.num_measured - price.num_pilots
    parts = []
    if num_finished:
        parts.append("1 finished trial" if num_finished == 1 else f"{num_finished} finished trials")
    if price.num_pilots:
        pilots = "a pilot" if price.num_pilots == 1 else f"{price.num_pilots} pilots"
        some = f", {price.num_kept} of them timed earlier,"
        kept = {0: "", price.num_pilots: ", timed earlier,"}.get(price.num_kept, some)
        parts.append(f"{pilots} of a few steps{kept}")
    return " and ".join(parts)


def device_of(execution: ExecutionConfig) -> str:
    """The device that records of such trials name."""
    return "cuda" if execution.gpus_per_trial > 0 else "cpu"


def parallel_trials(execution: ExecutionConfig, num_cpus: int | None = None, inline: bool = False) -> int:
    """How many trials this machine runs at once, by the CPUs and GPUs that may be used; inline one after another.

    `num_cpus` are those the user asked for, in place of all.
    """
    if inline:
        return 1
    at_once = (num_cpus or usable_cores()) // execution.cpus_per_trial
    if execution.gpus_per_trial >= 1:
        at_once = min(at_once, int(usable_gpus() / execution.gpus_per_trial))
    elif execution.gpus_per_trial > 0:
        at_once = min(at_once, usable_gpus() * int(1 / execution.gpus_per_trial))
    return max(1, at_once)


def _spread(rates: Sequence[float]) -> Range:
    """From the lowest to the highest, one in ten left out at either end: what has run on a sleeping laptop says
    nothing."""
    ordered = sorted(rates)
    left_out = (len(ordered) - 1) // 10
    return Range(ordered[left_out], statistics.median(ordered), ordered[-1 - left_out])


def _seconds(family: Family, config: Settings, train: Range, other: Range) -> Range:
    """Seconds of one trial."""
    work = family.work(config)
    return Range.by(lambda end: end(train) * work.train + end(other) * work.other)


def median_seconds(family: Family, config: Settings, rates: Sequence[Measured]) -> float:
    """Seconds of one trial by the median of what was measured of its kind."""
    return _seconds(family, config, *_pace(rates, 1.0)).typical


def median_training(family: Family, config: Settings, rates: Sequence[Measured]) -> float:
    """Seconds of a trial's epochs alone, as `median_seconds`."""
    train, _ = _pace(rates, 1.0)
    return train.typical * family.work(config).train


def _num_bytes_of(family: Family, missing: Sequence[TrialSpec], rates: Throughput) -> int:
    means = {kind: statistics.fmean(rate.num_bytes for rate in of_kind) for kind, of_kind in rates.items()}
    return sum(round(means[family.kind(trial.config)]) for trial in missing)
