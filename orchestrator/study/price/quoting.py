"""Prices of a study's parts: finds what is known here, times what is not, and asks `price.pricing`."""

import os
from collections.abc import Collection, Mapping, Sequence
from statistics import median

from orchestrator.execution.contract import JoinedCluster, MachineKind
from orchestrator.plan.cells import Plan
from orchestrator.study.launch import Study, configs_to_prepare
from orchestrator.study.price.pilots import Announce, Pilots, silently
from orchestrator.study.price.pricing import Machines, Price, device_of, parallel_trials, price
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
        self,
        study: Study,
        options: RunOptions | None = None,
        announce: Announce = silently,
        joined: JoinedCluster | None = None,
    ) -> None:
        """`joined` is the cluster that the launch runs on, once that is known."""
        self._study = study
        self._family = study.space.family
        self._family.activate()
        self._options = options or RunOptions()
        self._execution = study.space.config.execution
        self._joined = joined
        at_once = parallel_trials(self._execution, self._options.num_cpus, self._options.inline)
        self._num_parallel = min(at_once, self._options.concurrency or at_once)
        asked = (self._family, study.cache_dir, self._execution, announce)
        if joined is None:
            self._known = [Pilots(*asked)]
        else:
            self._known = [Pilots(*asked, on=(joined, kind)) for kind in joined.kinds]
        device = device_of(self._execution)
        for pilots in self._known:
            name = None if pilots.kind is None else pilots.kind.name
            pilots.throughput = measured(study.folder.parent, device, self._family, name)

    def of(self, plan: Plan, done: Collection[str], prepared: Plan | None = None) -> Price | None:
        """Price of what a plan lacks; None where it lacks nothing.

        `prepared` has the trials that preparation is for, where they are others than the plan's own.
        """
        missing = {trial.signature: trial.config for trial in plan.trials if trial.signature not in done}
        if not missing:
            return None
        if why := self._unknown_cluster():
            device = device_of(self._execution)
            return Price(len(missing), device, self._num_parallel, None, unknown=why)
        if prepared is None:
            configs = configs_to_prepare(plan, missing.keys())
        else:
            configs = configs_to_prepare(prepared, {trial.signature for trial in prepared.trials})
        work = self._family.preparation_work(configs, self._study.cache_dir)
        wanted = {self._family.kind(config): config for config in missing.values()}
        machines = [self._machines(pilots, wanted, configs, work) for pilots in self._known]
        return price(plan, done, machines, self._execution, self._options.concurrency)

    def _unknown_cluster(self) -> str:
        """Why nothing can be known of the machines that trials run on; empty where it can."""
        if self._joined is None:
            cluster = cluster_of(self._options)
            joining = f"a launch tells it, and keeps a limit, once it has joined the cluster at {cluster}"
            return "" if cluster is None else joining
        return "" if self._known else "no machine of the cluster has a free place for a trial now"

    def _machines(
        self,
        pilots: Pilots,
        wanted: Mapping[Kind, Settings],
        configs: Sequence[Settings],
        work: Mapping[str, float],
    ) -> Machines:
        """What a price of these kinds of trials depends on; what is not known of them is timed."""
        unknown = {kind: config for kind, config in wanted.items() if not pilots.throughput.get(kind)}
        pilots.throughput = {**pilots.throughput, **piloted(unknown, pilots)}
        preparing = self._preparing(pilots, configs) if any(work.values()) else ()
        kind = pilots.kind or MachineKind("", ("",), self._num_parallel)
        return Machines(
            pilots.throughput,
            num_parallel=kind.num_parallel,
            name=kind.name,
            count=len(kind.nodes),
            num_kept=len(wanted.keys() & pilots.kept),
            start=self._start(pilots.load_seconds),
            work=work,
            preparing=preparing,
            failures=pilots.failures,
        )

    def seconds_of(self, config: Settings) -> float:
        """Seconds of one trial, by the median of what `of` has used, on the fastest machines of a cluster.

        0 where nothing is known of its kind.
        """
        work = self._family.work(config)
        return min(
            (
                median(rate.train_rate for rate in rates) * work.train
                + median(rate.other_rate for rate in rates) * work.other
                for rates in self._rates(config)
            ),
            default=0.0,
        )

    def seconds_to_checkpoint(self, config: Settings) -> float:
        """As `seconds_of`, until a trial can be gone on from; 0 where its kind, machine or epochs are unknown."""
        known = self._rates(config)
        if not known or self._unknown_cluster():
            return 0.0
        if not self._family.is_resumable(config):
            return self.seconds_of(config)
        if not self._family.has_epochs(config):
            return 0.0
        fastest = min(median(rate.train_rate for rate in rates) for rates in known)
        return fastest * self._family.work(config).train / self._family.num_epochs(config)

    def _rates(self, config: Settings) -> list[Sequence[Measured]]:
        """What was measured of trials like this one, by the machines of which anything was."""
        kind = self._family.kind(config)
        return [rates for pilots in self._known if (rates := pilots.throughput.get(kind))]

    def _preparing(self, pilots: Pilots, configs: Sequence[Settings]) -> list[PreparationRates]:
        """What preparation takes; timed where only finished trials are known, which do not record it."""
        kinds = {self._family.kind(config) for config in configs}
        known = [rate for kind in kinds for rate in pilots.throughput.get(kind, ())]
        if known and not any(rate.preparing is not None for rate in known):
            first = self._family.kind(configs[0])
            known = [*piloted({first: configs[0]}, pilots).get(first, ())]
        return [rate.preparing for rate in known if rate.preparing is not None]

    def _start(self, load_seconds: float) -> Range:
        """Until processes run and have loaded the models."""
        loading = Range(*[load_seconds] * 3)
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


def cluster_of(options: RunOptions) -> str | None:
    """The address of the cluster that a launch would join; None where it runs on this machine."""
    if options.inline:
        return None
    address = options.address or os.environ.get("RAY_ADDRESS")
    return None if address in (None, "", "local") else address
