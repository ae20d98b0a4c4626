"""Prices of a study's parts: finds what is known here, times what is not, and asks `price.pricing`."""

import os
from collections.abc import Collection, Mapping, Sequence

from orchestrator.plan.cells import Plan
from orchestrator.study.launch import Study, configs_to_prepare
from orchestrator.study.price.pilots import Announce, Pilots, silently
from orchestrator.study.price.pricing import (
    Conditions,
    Price,
    device_of,
    median_seconds,
    median_training,
    parallel_trials,
    price,
)
from orchestrator.study.price.ranges import Range
from orchestrator.study.price.throughput import Kind, Measured, PreparationRates, measured
from orchestrator.study.runner import RunOptions
from trainables.settings import Settings

START_SECONDS = Range(7.0, 11.0, 25.0)
"""Until Ray has started here, and workers have imported torch, once for preparation and once for trials: measured in
docs/design/009-prices.md."""
LOADS = Range(1.5, 3.0, 5.0)
"""So many times what a pilot took to load the models alone: by preparation, then by trials, two processes at once."""


class Quote:
    """Prices of parts of a study's plan for a launch with these options, from what was measured once."""

    def __init__(
        self, study: Study, options: RunOptions | None = None, announce: Announce = silently
    ) -> None:
        self._study = study
        self._family = study.space.family
        self._family.activate()
        self._options = options or RunOptions()
        self._execution = study.space.config.execution
        at_once = parallel_trials(self._execution, self._options.num_cpus, self._options.inline)
        self._num_parallel = min(at_once, self._options.concurrency or at_once)
        self._throughput: dict[Kind, Sequence[Measured]] = dict(
            measured(study.folder.parent, device_of(self._execution), self._family)
        )
        self._pilots = Pilots(self._family, study.cache_dir, self._execution, announce)

    def of(self, plan: Plan, done: Collection[str], prepared: Plan | None = None) -> Price | None:
        """Price of what a plan lacks; None where it lacks nothing.

        `prepared` has the trials that preparation is for, where they are others than the plan's own.
        """
        missing = {trial.signature: trial.config for trial in plan.trials if trial.signature not in done}
        if not missing:
            return None
        if (cluster := _cluster(self._options)) is not None:
            why = f"trials run on the cluster at {cluster}, whose machines have not been timed"
            device = device_of(self._execution)
            return Price(len(missing), device, self._num_parallel, None, unknown=why)
        unknown = {self._family.kind(config): config for config in missing.values()}
        unknown = {kind: config for kind, config in unknown.items() if not self._throughput.get(kind)}
        self._throughput |= piloted(unknown, self._pilots)
        if prepared is None:
            configs = configs_to_prepare(plan, missing.keys())
        else:
            configs = configs_to_prepare(prepared, {trial.signature for trial in prepared.trials})
        work = self._family.preparation_work(configs, self._study.cache_dir)
        kinds = {self._family.kind(config) for config in missing.values()}
        conditions = Conditions(
            num_parallel=self._num_parallel,
            num_kept=len(kinds & self._pilots.kept),
            work=work,
            preparing=self._preparing(configs) if any(work.values()) else (),
            start=self._start(),
            failures=self._pilots.failures,
        )
        return price(plan, done, self._throughput, self._execution, conditions)

    def seconds_of(self, config: Settings) -> float:
        """Seconds of one trial, by the median of what `of` has used; 0 where nothing is known of its kind."""
        rates = self._throughput.get(self._family.kind(config), ())
        return median_seconds(self._family, config, rates) if rates else 0.0

    def seconds_to_checkpoint(self, config: Settings) -> float:
        """Seconds of a trial until it can be gone on from; 0 where its kind, machine or epochs are unknown."""
        rates = self._throughput.get(self._family.kind(config), ())
        if not rates or _cluster(self._options) is not None:
            return 0.0
        if not self._family.is_resumable(config):
            return self.seconds_of(config)
        if not self._family.has_epochs(config):
            return 0.0
        return median_training(self._family, config, rates) / self._family.num_epochs(config)

    def _preparing(self, configs: Sequence[Settings]) -> list[PreparationRates]:
        """What preparation takes; timed here where only finished trials are known, which do not record it."""
        kinds = {self._family.kind(config) for config in configs}
        known = [rate for kind in kinds for rate in self._throughput.get(kind, ())]
        if not known:
            return []
        if not any(rate.preparing is not None for rate in known):
            first = self._family.kind(configs[0])
            known = [*piloted({first: configs[0]}, self._pilots).get(first, ())]
        return [rate.preparing for rate in known if rate.preparing is not None]

    def _start(self) -> Range:
        """Until processes run and have loaded the models."""
        loading = Range(*[self._pilots.load_seconds] * 3)
        if self._options.inline:
            return loading.times(0.0, 1.0, 1.5)
        return START_SECONDS + loading.times(LOADS.low, LOADS.typical, LOADS.high)


def piloted(configs: Mapping[Kind, Settings], pilots: Pilots) -> dict[Kind, list[Measured]]:
    """A pilot of each kind of trial: seconds of work where none is kept. Nothing for one that cannot be timed here."""
    found = {
        kind: pilots.of(config, f"{number} of {len(configs)}")
        for number, (kind, config) in enumerate(configs.items(), start=1)
    }
    return {kind: rates for kind, rates in found.items() if rates}


def _cluster(options: RunOptions) -> str | None:
    """The address of the cluster that a launch would join; None where it runs on this machine."""
    if options.inline:
        return None
    address = options.address or os.environ.get("RAY_ADDRESS")
    return None if address in (None, "", "local") else address
