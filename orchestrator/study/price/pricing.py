"""What the missing trials of a plan will cost, and between which ends it lies."""

import heapq
import statistics
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

from orchestrator.execution.machine import usable_cores, usable_gpus
from orchestrator.plan.cells import Plan, TrialSpec
from orchestrator.space.execution import ExecutionConfig
from orchestrator.study.price.ranges import NOTHING, Range
from orchestrator.study.price.throughput import (
    PILOT_ERROR,
    Kind,
    PreparationRates,
    Throughput,
    error_of,
)
from trainables.family import Family
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
class Machines:
    """This machine, or those of a kind in a cluster, and what a price on them depends on."""

    throughput: Throughput
    num_parallel: int = 1
    name: str = ""
    """Of the kind; empty for this machine."""
    count: int = 1
    num_kept: int = 0
    """Pilots from an earlier price."""
    start: Range = NOTHING
    work: Mapping[str, float] = field(default_factory=dict)
    """What preparation lacks."""
    preparing: Sequence[PreparationRates] = ()
    """What a unit of it takes, as measured by a pilot's rounds."""
    failures: Mapping[Kind, str] = field(default_factory=dict)
    """Why a kind of trial could not be timed."""

    @property
    def preparation(self) -> Range:
        """Seconds of what all trials share, as if one piece were done after the other."""
        if not self.work or not self.preparing:
            return NOTHING
        rounds = [
            sum(rates.get(unit, 0.0) * count for unit, count in self.work.items()) for rates in self.preparing
        ]
        low, high = PILOT_ERROR  # No whole preparation has been timed.
        return _spread(rounds).times(low, 1.0, high)


@dataclass(frozen=True)
class KindPrice:
    """What is known of the missing trials on machines of one kind."""

    machines: Machines
    num_measured: int
    num_pilots: int
    unknown: str
    """Why nothing is known."""
    costs: Sequence[Range] = ()
    """Seconds of each trial, in their order; none where they are unknown."""
    num_bytes: int = 0

    @property
    def num_kept(self) -> int:
        """How many of the pilots were timed for an earlier price."""
        return 0 if self.unknown else self.machines.num_kept

    @property
    def per_trial(self) -> Range:
        """Seconds of a trial, the mean of all that are missing."""
        return Range.by(lambda end: sum(map(end, self.costs)) / max(len(self.costs), 1))


def price(
    plan: Plan,
    done: Collection[str],
    machines: Sequence[Machines],
    execution: ExecutionConfig,
    most: int | None = None,
) -> Price:
    """Price the trials of a plan whose signatures are not in `done`; at most so many run at a time.

    A trial goes to the place that is free first, whatever its machine. Ray does not say which of several free places
    it takes: the fastest at the low end and for the typical value, the slowest at the high end.
    """
    missing = [trial for trial in plan.trials if trial.signature not in done]
    kinds = [_known(plan.family, missing, one, execution) for one in machines]
    places = [number for number, one in enumerate(machines) for _ in range(one.num_parallel)]
    found = Price(
        num_trials=len(missing),
        device=device_of(execution),
        num_parallel=min(len(places), most or len(places)),
        seconds=None,
        num_measured=sum(kind.num_measured for kind in kinds),
        num_pilots=sum(kind.num_pilots for kind in kinds),
        num_kept=sum(kind.num_kept for kind in kinds),
        unknown="; ".join(
            f"on {kind.machines.name} {kind.unknown}" if kind.machines.name else kind.unknown
            for kind in kinds
            if kind.unknown
        ),
        kinds=tuple(kind for kind in kinds if kind.machines.name),
    )
    if found.unknown:
        return found

    def used(end: Callable[[Range], float], places: Sequence[int]) -> list[float]:
        return used_by_place([[*map(end, kind.costs)] for kind in kinds], places[: found.num_parallel])

    usually = [kind.per_trial.typical for kind in kinds]
    fastest = sorted(places, key=usually.__getitem__)
    usual = used(lambda cost: cost.typical, fastest)
    slowest = used(lambda cost: cost.high, fastest[::-1])
    trials = Range(max(used(lambda cost: cost.low, fastest)), max(usual), max(*slowest, *usual))
    preparation = Range.by(lambda end: _together(machines, end))
    start = Range.by(lambda end: max(end(one.start) for one in machines))
    hours = (sum(usual) + preparation.typical * found.num_parallel) / 3600
    return replace(
        found,
        seconds=trials + preparation + start,
        device_hours=hours * (execution.gpus_per_trial or execution.cpus_per_trial),
        num_bytes=kinds[0].num_bytes,
        preparation=preparation,
        start=start,
    )


def _together(machines: Sequence[Machines], end: Callable[[Range], float]) -> float:
    """Seconds of what all trials share where each place does as much of it as it can."""
    pace = sum(one.num_parallel / seconds for one in machines if (seconds := end(one.preparation)) > 0)
    return 1 / pace if pace else 0.0


def _known(
    family: Family, missing: Sequence[TrialSpec], machines: Machines, execution: ExecutionConfig
) -> KindPrice:
    """What is known of trials on machines of one kind."""
    kinds = {family.kind(trial.config) for trial in missing}
    rates = {kind: machines.throughput.get(kind, ()) for kind in kinds}
    num_pilots = sum(any(rate.is_pilot for rate in of_kind) for of_kind in rates.values())
    num_measured = num_pilots + sum(not rate.is_pilot for of_kind in rates.values() for rate in of_kind)
    if unknown := _unknown(family, missing, rates, num_measured, machines):
        return KindPrice(machines, num_measured, num_pilots, unknown)
    means = {kind: statistics.fmean(rate.num_bytes for rate in of_kind) for kind, of_kind in rates.items()}
    num_bytes = sum(round(means[family.kind(trial.config)]) for trial in missing)
    costs = _costs(family, missing, rates, execution)
    return KindPrice(machines, num_measured, num_pilots, "", costs, num_bytes)


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
    family: Family, missing: Sequence[TrialSpec], rates: Throughput, num_measured: int, machines: Machines
) -> str:
    """Why these trials cannot be priced; empty where they can."""
    without = [kind for kind, of_kind in rates.items() if not of_kind]
    if not without:
        return ""
    reasons = dict.fromkeys(machines.failures[kind] for kind in without if kind in machines.failures)
    cells = dict.fromkeys(trial.cell for trial in missing if family.kind(trial.config) in without)
    like = "" if num_measured == 0 else f" like {', '.join(cells)}"
    why = f", and a pilot could not be timed: {'; '.join(reasons)}" if reasons else ""
    return f"no trial{like} has been measured {'there' if machines.name else 'here'} yet{why}"


def _costs(
    family: Family, missing: Sequence[TrialSpec], rates: Throughput, execution: ExecutionConfig
) -> list[Range]:
    """Seconds of each trial, in their order; where trials share a GPU, so many times what a pilot took alone."""
    share = execution.gpus_per_trial
    paces = {}
    for kind, of_kind in rates.items():
        low, high = error_of(of_kind)
        if 0 < share < 1 and any(rate.is_pilot for rate in of_kind):
            high /= share
        both = [rate.train_rate for rate in of_kind], [rate.other_rate for rate in of_kind]
        paces[kind] = [_spread(rates).times(low, 1.0, high) for rates in both]
    found = {}
    for config in {id(trial.config): trial.config for trial in missing}.values():  # Seeds share theirs.
        (train, other), work = paces[family.kind(config)], family.work(config)
        found[id(config)] = train.times(*[work.train] * 3) + other.times(*[work.other] * 3)
    return [found[id(trial.config)] for trial in missing]


def price_lines(price: Price, label: str = "price") -> list[str]:
    """The price in words, a line each."""
    of_kinds = []
    for kind in price.kinds:
        takes = f"{_with_ends(kind.per_trial)} a trial, by {_basis(kind)} there"
        here = f"{kind.machines.num_parallel} at a time on {kind.machines.count} x {kind.machines.name}"
        of_kinds.append(f"  {here}: {'unknown' if kind.unknown else takes}")
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


def about(price: Price) -> str:
    """`about 12 min (10 min to 20 min)`, of a price that is known."""
    assert price.seconds is not None
    return f"about {_with_ends(price.seconds)}"


def _with_ends(seconds: Range) -> str:
    return f"{duration(seconds.typical)} ({duration(seconds.low)} to {duration(seconds.high)})"


def _basis(price: Price | KindPrice) -> str:
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
