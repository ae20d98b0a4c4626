"""What the missing trials of a plan will cost, from what finished trials took on this machine."""

import json
import math
import os
import statistics
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orchestrator.config import ExecutionConfig
from orchestrator.ledger import Ledger
from orchestrator.plan import Plan, TrialSpec
from orchestrator.provenance import host
from orchestrator.reuse import COPIED_FROM
from trainables.config import CellConfig
from trainables.diffusion import training_timesteps

if TYPE_CHECKING:
    from orchestrator.launch import Study

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
    is_pilot: bool = False
    """A few steps timed for a price, no finished trial."""
    pass_rate: float | None = None
    """Seconds of a plain U-Net pass with one image alone, which only a pilot times."""


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
    preparation_seconds: float = 0.0
    """Of `seconds`, what the trajectory cache takes before the first trial."""
    num_pilots: int = 0
    """How many of `num_measured` are pilots: a few steps each, timed for this price."""


def price(
    plan: Plan,
    done: Collection[str],
    throughput: Throughput,
    execution: ExecutionConfig,
    num_passes: int = 0,
) -> Price:
    """Price the trials of a plan whose signatures are not in `done`.

    `num_passes` is the work that comes before them: U-Net passes of one image each that the trajectory cache lacks.
    Where no pilot timed a pass, it costs about what a sampling step of an evaluation does.
    """
    missing = [trial for trial in plan.trials if trial.signature not in done]
    unmeasured = dict.fromkeys(trial.cell for trial in missing if not throughput.get(kind_of(trial.config)))
    rates = {kind: throughput.get(kind, ()) for kind in {kind_of(trial.config) for trial in missing}}
    num_measured = sum(map(len, rates.values()))
    device, num_parallel = device_of(execution), parallel_trials(execution)
    if unmeasured:
        unknown = (None, None, None, None, None)
        return Price(len(missing), device, num_parallel, *unknown, num_measured, tuple(unmeasured))

    # Seeds share a configuration, and kinds share rates: each is worked out once.
    by_config = {id(trial.config): trial.config for trial in missing}
    num_trials = Counter(id(trial.config) for trial in missing)

    def total(choose: Choose) -> float:
        chosen = {kind: _chosen(measured_rates, choose) for kind, measured_rates in rates.items()}
        costs = {key: _seconds(config, *chosen[kind_of(config)]) for key, config in by_config.items()}
        return math.fsum(costs[key] * count for key, count in num_trials.items())

    def preparing(choose: Choose) -> float:
        all_rates = [rate for measured_rates in rates.values() for rate in measured_rates]
        passes = [rate.other_rate if rate.pass_rate is None else rate.pass_rate for rate in all_rates]
        return choose(passes) * num_passes if passes else 0.0

    rounds = math.ceil(len(missing) / num_parallel) / len(missing) if missing else 0.0
    typical, cache = total(statistics.median), preparing(statistics.median)
    return Price(
        num_trials=len(missing),
        device=device,
        num_parallel=num_parallel,
        seconds=typical * rounds + cache / num_parallel,
        seconds_low=total(min) * rounds + preparing(min) / num_parallel,
        seconds_high=total(max) * rounds + preparing(max) / num_parallel,
        device_hours=(typical + cache) * (execution.gpus_per_trial or execution.cpus_per_trial) / 3600,
        num_bytes=_num_bytes_of(missing, rates),
        num_measured=num_measured,
        preparation_seconds=cache / num_parallel,
    )


class Quote:
    """Prices of parts of a study's plan, from what was measured once."""

    def __init__(self, study: "Study") -> None:
        self._study = study
        self._execution = study.space.config.execution
        self._throughput: dict[Kind, Sequence[Measured]] = dict(
            measured(study.folder.parent, device_of(self._execution))
        )

    def of(self, plan: Plan, done: Collection[str]) -> Price | None:
        """Price of what a plan lacks; None where it lacks nothing."""
        from orchestrator.launch import cache_configs

        missing = {trial.signature for trial in plan.trials} - set(done)
        if not missing:
            return None
        device = device_of(self._execution)
        self._throughput |= piloted(plan, done, self._throughput, device)
        configs = cache_configs(plan, missing)
        passes = _cache_work(configs, self._study.cache_dir)
        found = price(plan, done, self._throughput, self._execution, passes)
        kinds = {kind_of(trial.config) for trial in plan.trials if trial.signature in missing}
        pilots = sum(rate.is_pilot for kind in kinds for rate in self._throughput.get(kind, ()))
        return replace(found, num_pilots=pilots)


def _cache_work(configs: Sequence[CellConfig], cache_dir: Path) -> int:
    """U-Net passes that the trajectory cache lacks; 0 where the domain's files are not here to tell."""
    from trainables.domains import DomainError
    from trainables.trajectories import preparation_work

    try:
        return preparation_work(configs, cache_dir)
    except DomainError:
        return 0


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
    num_bytes = BYTES_OF_A_WEIGHT * rates.num_parameters
    return Measured(rates.train, rates.sample, num_bytes, is_pilot=True, pass_rate=rates.unedited)


def measured(results: Path, device: str) -> dict[Kind, list[Measured]]:
    """What the done trials of all studies in a results folder took on this machine and device."""
    found: dict[Kind, list[Measured]] = {}
    for ledger_folder in sorted(results.glob("*/ledger")):
        for record in Ledger(ledger_folder).records():
            if record["status"] == "done" and record["device"] == device and _is_of_this_host(record):
                for kind, entry in _measured_by(record, ledger_folder):
                    found.setdefault(kind, []).append(entry)
    return found


def price_lines(price: Price, label: str = "price") -> list[str]:
    """The price in words, a line each."""
    if price.seconds is None or price.seconds_low is None or price.seconds_high is None:
        if price.num_measured == 0:
            return [f"{label}: unknown: no trial has been measured here yet"]
        return [f"{label}: unknown: no trial like {', '.join(price.unmeasured)} has been measured here yet"]
    hours = "GPU hours" if price.device == "cuda" else "CPU core hours"
    num_finished = price.num_measured - price.num_pilots
    trials = "1 finished trial" if num_finished == 1 else f"{num_finished} finished trials"
    basis = "by a pilot of a few steps here" if num_finished == 0 else f"by {trials} here"
    cache = price.preparation_seconds
    shared = f"; {duration(cache)} of it for the trajectories that all trials share" if cache >= 1 else ""
    return [
        f"{label}: about {duration(price.seconds)} ({duration(price.seconds_low)} to "
        f"{duration(price.seconds_high)}), {price.num_parallel} at a time, {price.device_hours:.2g} {hours}, "
        f"{(price.num_bytes or 0) / 1e6:.2g} MB; {basis}{shared}"
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


def _chosen(rates: Sequence[Measured], choose: Choose) -> tuple[float, float]:
    """(training, other) seconds per step, chosen of what was measured."""
    return choose([rate.train_rate for rate in rates]), choose([rate.other_rate for rate in rates])


def _seconds(config: CellConfig, train_rate: float, other_rate: float) -> float:
    """Seconds of one trial."""
    return float(train_rate * _image_steps(config) + other_rate * _sample_steps(config))


def _num_bytes_of(missing: Sequence[TrialSpec], rates: Throughput) -> int:
    means = {kind: _mean_bytes(measured_rates) for kind, measured_rates in rates.items()}
    return sum(means[kind_of(trial.config)] for trial in missing)


def _mean_bytes(rates: Sequence[Measured]) -> int:
    return round(statistics.fmean(rate.num_bytes for rate in rates))


def _image_steps(config: CellConfig) -> int:
    """Images x timesteps that a training visits; all timesteps where t_edit is still to be found."""
    training = config.training
    lowest = training.t_edit if isinstance(training.t_edit, int) else 0
    timesteps = training_timesteps(training.num_train_steps, lowest)
    return training.num_images * training.epochs * len(timesteps)


def _sample_steps(config: CellConfig) -> int:
    """Images x strengths x steps that an evaluation visits."""
    evaluation = config.evaluation
    return evaluation.num_images * len(evaluation.strengths) * sum(evaluation.all_sample_steps)


def _is_of_this_host(record: Mapping[str, Any]) -> bool:
    provenance = json.loads(record["provenance"] or "{}")
    return provenance.get("host") == host() and COPIED_FROM not in provenance


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
