"""What the missing trials of a plan will cost, from what finished trials took on this machine."""

import json
import math
import os
import statistics
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orchestrator.config import ExecutionConfig
from orchestrator.ledger import Ledger
from orchestrator.plan import Plan
from orchestrator.provenance import host
from trainables.config import CellConfig
from trainables.diffusion import training_timesteps

if TYPE_CHECKING:
    from orchestrator.launch import Standing, Study

BYTES_OF_A_WEIGHT = 4

Kind = tuple[str, str]
"""Domain and editor kind: trials alike in both cost alike per image and timestep."""


@dataclass(frozen=True)
class Measured:
    """What one finished trial took."""

    train_rate: float
    """Seconds per image and trained timestep."""
    other_rate: float
    """Seconds of everything else (evaluation, loading) per image, strength and sampling step."""
    num_bytes: int
    """Of its parts in the ledger and its editor."""


Throughput = Mapping[Kind, Sequence[Measured]]
"""Finished trials on this machine, by what they cost alike in."""

Choose = Callable[[list[float]], float]
"""Picks one of several measured rates: the median, the lowest or the highest."""


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
    """As `seconds`, had every trial the pace of the fastest one measured."""
    seconds_high: float | None
    device_hours: float | None
    """CPU core hours, or GPU hours where trials use one."""
    num_bytes: int | None
    num_measured: int
    """Finished trials this rests on; pilots count too."""
    unmeasured: tuple[str, ...] = ()
    """Cells whose domain and editor kind no finished trial has had here."""
    num_pilots: int = 0
    """How many of `num_measured` are pilots: a few steps each, timed for this price."""


def price(plan: Plan, done: Collection[str], throughput: Throughput, execution: ExecutionConfig) -> Price:
    """Price the trials of a plan whose signatures are not in `done`."""
    missing = [trial for trial in plan.trials if trial.signature not in done]
    unmeasured = dict.fromkeys(trial.cell for trial in missing if not throughput.get(kind_of(trial.config)))
    rates = {kind: throughput.get(kind, ()) for kind in {kind_of(trial.config) for trial in missing}}
    num_measured = sum(map(len, rates.values()))
    device, num_parallel = device_of(execution), parallel_trials(execution)
    if unmeasured:
        unknown = (None, None, None, None, None)
        return Price(len(missing), device, num_parallel, *unknown, num_measured, tuple(unmeasured))

    def total(choose: Choose) -> float:
        return sum(_seconds(trial.config, rates[kind_of(trial.config)], choose) for trial in missing)

    rounds = math.ceil(len(missing) / num_parallel) / len(missing) if missing else 0.0
    typical = total(statistics.median)
    return Price(
        num_trials=len(missing),
        device=device,
        num_parallel=num_parallel,
        seconds=typical * rounds,
        seconds_low=total(min) * rounds,
        seconds_high=total(max) * rounds,
        device_hours=typical * (execution.gpus_per_trial or execution.cpus_per_trial) / 3600,
        num_bytes=sum(_mean_bytes(rates[kind_of(trial.config)]) for trial in missing),
        num_measured=num_measured,
    )


def study_price(study: "Study", now: "Standing") -> Price | None:
    """Price of what a study lacks, by all studies of the same results folder; None where it lacks nothing."""
    if len(now.done) == len(study.plan.trials):
        return None
    execution = study.space.config.execution
    throughput = measured(study.folder.parent, device_of(execution))
    pilots = piloted(study.plan, now.done, throughput, device_of(execution))
    found = price(study.plan, now.done, {**throughput, **pilots}, execution)
    return replace(found, num_pilots=len(pilots))


def piloted(
    plan: Plan, done: Collection[str], throughput: Throughput, device: str
) -> dict[Kind, Sequence[Measured]]:
    """A pilot of every kind of trial that is missing and was never measured here: seconds of work each.

    Nothing where this machine cannot tell: without the GPU that trials are to use, or the domain's files.
    """
    missing = {kind_of(trial.config): trial.config for trial in plan.trials if trial.signature not in done}
    unknown = {kind: config for kind, config in missing.items() if not throughput.get(kind)}
    found = {kind: _pilot(config, device) for kind, config in unknown.items()}
    return {kind: [rates] for kind, rates in found.items() if rates is not None}


def _pilot(config: CellConfig, device: str) -> Measured | None:
    import torch

    from trainables.pilot import pilot

    if device == "cuda" and not torch.cuda.is_available():
        return None
    try:
        rates = pilot(config, device)
    except Exception:  # Whatever is wrong will be told by the trial itself; a price is only a courtesy.
        return None
    return Measured(rates.train, rates.sample, BYTES_OF_A_WEIGHT * rates.num_parameters)


def measured(results: Path, device: str) -> dict[Kind, list[Measured]]:
    """What the done trials of all studies in a results folder took on this machine and device."""
    found: dict[Kind, list[Measured]] = {}
    for ledger_folder in sorted(results.glob("*/ledger")):
        for record in Ledger(ledger_folder).records():
            if record["status"] == "done" and record["device"] == device and _is_of_this_host(record):
                for kind, entry in _measured_by(record, ledger_folder):
                    found.setdefault(kind, []).append(entry)
    return found


def price_lines(price: Price) -> list[str]:
    """The price in words, a line each."""
    if price.seconds is None or price.seconds_low is None or price.seconds_high is None:
        if price.num_measured == 0:
            return ["price: unknown: no trial has been measured here yet"]
        return [f"price: unknown: no trial like {', '.join(price.unmeasured)} has been measured here yet"]
    hours = "GPU hours" if price.device == "cuda" else "CPU core hours"
    num_finished = price.num_measured - price.num_pilots
    trials = "1 finished trial" if num_finished == 1 else f"{num_finished} finished trials"
    basis = "by a pilot of a few steps here" if num_finished == 0 else f"by {trials} here"
    return [
        f"price: about {duration(price.seconds)} ({duration(price.seconds_low)} to "
        f"{duration(price.seconds_high)}), {price.num_parallel} at a time, {price.device_hours:.2g} {hours}, "
        f"{(price.num_bytes or 0) / 1e6:.2g} MB; {basis}"
    ]


def duration(seconds: float) -> str:
    """`40 s`, `12 min` or `3.5 h`."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"


def kind_of(config: CellConfig) -> Kind:
    """What trials must share for one to tell the other's cost."""
    return config.domain, config.editor.kind


def device_of(execution: ExecutionConfig) -> str:
    """The device that records of such trials name."""
    return "cuda" if execution.gpus_per_trial > 0 else "cpu"


def parallel_trials(execution: ExecutionConfig) -> int:
    """How many trials this machine runs at once: by its cores, or as many as share one GPU."""
    if execution.gpus_per_trial > 0:
        return max(1, int(1 / execution.gpus_per_trial))
    num_cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, num_cores // execution.cpus_per_trial)


def _seconds(config: CellConfig, rates: Sequence[Measured], choose: Choose) -> float:
    """Seconds of one trial."""
    train = choose([rate.train_rate for rate in rates]) * _image_steps(config)
    other = choose([rate.other_rate for rate in rates]) * _sample_steps(config)
    return float(train + other)


def _mean_bytes(rates: Sequence[Measured]) -> int:
    return round(statistics.fmean(rate.num_bytes for rate in rates))


def _image_steps(config: CellConfig) -> int:
    """Images x timesteps that a training visits."""
    training = config.training
    timesteps = training_timesteps(training.num_train_steps, training.t_edit)
    return training.num_images * training.epochs * len(timesteps)


def _sample_steps(config: CellConfig) -> int:
    """Images x strengths x steps that an evaluation visits."""
    evaluation = config.evaluation
    return evaluation.num_images * len(evaluation.strengths) * evaluation.num_sample_steps


def _is_of_this_host(record: Mapping[str, Any]) -> bool:
    return bool(json.loads(record["provenance"] or "{}").get("host") == host())


def _measured_by(record: Mapping[str, Any], ledger_folder: Path) -> Iterator[tuple[Kind, Measured]]:
    """What a record tells; nothing where it has no times, or its configuration is one of another version."""
    train, wall = record["train_seconds"], record["wall_seconds"]
    if not train or not wall:
        return
    try:
        config = CellConfig.model_validate_json(record["config"])
    except ValueError:
        return
    num_bytes = _num_bytes(ledger_folder, record["signature"])
    other = max(wall - train, 0.0)
    yield (
        kind_of(config),
        Measured(train / _image_steps(config), other / _sample_steps(config), num_bytes),
    )


def _num_bytes(ledger_folder: Path, signature: str) -> int:
    parts = ledger_folder.glob(f"*/part-{signature}-*.parquet")
    editor = ledger_folder.parent / "editors" / f"{signature}.safetensors"
    return sum(path.stat().st_size for path in (*parts, editor) if path.is_file())
