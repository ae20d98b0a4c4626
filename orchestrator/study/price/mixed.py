"""What the missing trials of a plan cost on a cluster, whose machines may be of several kinds.

A trial goes to the place that is free first, whatever its machine. Ray does not say which of several free places it
takes: the fastest at the low end and for the typical value, the slowest at the high end.
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace

from orchestrator.plan.cells import Plan
from orchestrator.space.execution import ExecutionConfig
from orchestrator.study.price.pricing import (
    Conditions,
    KindPrice,
    Price,
    costs_of,
    preparation_alone,
    price,
    used_by_place,
)
from orchestrator.study.price.ranges import Range
from orchestrator.study.price.throughput import Throughput


@dataclass(frozen=True)
class KnownMachines:
    """Machines of one kind, and what is known of trials there."""

    name: str
    num_machines: int
    throughput: Throughput
    conditions: Conditions


def price_of_cluster(
    plan: Plan,
    done: Collection[str],
    kinds: Sequence[KnownMachines],
    execution: ExecutionConfig,
    most: int | None = None,
) -> Price:
    """Price the trials of a plan whose signatures are not in `done`; at most so many run at a time."""
    alone = [price(plan, done, kind.throughput, execution, kind.conditions) for kind in kinds]
    missing = [trial for trial in plan.trials if trial.signature not in done]
    costs = [
        [] if one.seconds is None else costs_of(plan.family, missing, kind.throughput, execution)
        for kind, one in zip(kinds, alone, strict=True)
    ]
    places = [number for number, kind in enumerate(kinds) for _ in range(kind.conditions.num_parallel)]
    num_parallel = min(len(places), most or len(places))
    whole = replace(
        alone[0],
        num_parallel=num_parallel,
        num_measured=sum(one.num_measured for one in alone),
        num_pilots=sum(one.num_pilots for one in alone),
        num_kept=sum(one.num_kept for one in alone),
        kinds=tuple(
            KindPrice(kind.name, kind.num_machines, one, _mean(of_kind))
            for kind, one, of_kind in zip(kinds, alone, costs, strict=True)
        ),
    )
    if any(one.seconds is None for one in alone):
        unknown = "; ".join(
            f"on {kind.name} {kind.alone.unknown}" for kind in whole.kinds if kind.alone.unknown
        )
        return replace(whole, seconds=None, device_hours=None, num_bytes=None, unknown=unknown)

    def used(end: Callable[[Range], float], places: Sequence[int]) -> list[float]:
        return used_by_place([[end(cost) for cost in of_kind] for of_kind in costs], places[:num_parallel])

    fastest = sorted(places, key=lambda kind: whole.kinds[kind].per_trial.typical)
    usual = used(lambda cost: cost.typical, fastest)
    slowest = max(used(lambda cost: cost.high, fastest[::-1]))
    trials = Range(max(used(lambda cost: cost.low, fastest)), max(usual), max(slowest, max(usual)))
    preparation = Range.by(lambda end: _together(kinds, end))
    start = Range.by(lambda end: max(end(kind.conditions.start) for kind in kinds))
    return replace(
        whole,
        seconds=trials + preparation + start,
        device_hours=(sum(usual) + preparation.typical * num_parallel)
        * (execution.gpus_per_trial or execution.cpus_per_trial)
        / 3600,
        preparation=preparation,
        start=start,
    )


def _mean(costs: Sequence[Range]) -> Range:
    return Range.by(lambda end: sum(map(end, costs)) / max(len(costs), 1))


def _together(kinds: Sequence[KnownMachines], end: Callable[[Range], float]) -> float:
    """Seconds of what all trials share where each place does as much of it as it can."""
    alone = [(kind.conditions.num_parallel, end(preparation_alone(kind.conditions))) for kind in kinds]
    pace = sum(count / seconds for count, seconds in alone if seconds > 0)
    return 1 / pace if pace else 0.0
