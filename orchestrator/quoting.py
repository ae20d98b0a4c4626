"""Prices of a study's parts: finds what is known here, times what is not, and asks `orchestrator.pricing`."""

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from orchestrator.plan import Plan
from orchestrator.pricing import Price, device_of, median_seconds, price
from orchestrator.throughput import Kind, Measured, kind_of, measured, piloted, timed_passes
from trainables.config import CellConfig

if TYPE_CHECKING:
    from orchestrator.launch import Study


class Quote:
    """Prices of parts of a study's plan, from what was measured once."""

    def __init__(self, study: "Study") -> None:
        self._study = study
        self._execution = study.space.config.execution
        self._throughput: dict[Kind, Sequence[Measured]] = dict(
            measured(study.folder.parent, device_of(self._execution))
        )
        self._pass_seconds: list[float] | None = None

    def of(self, plan: Plan, done: Collection[str], prepared: Plan | None = None) -> Price | None:
        """Price of what a plan lacks; None where it lacks nothing.

        `prepared` has the trials that the trajectory cache is filled for, where they are others than the plan's own.
        """
        from orchestrator.launch import cache_configs

        missing = {trial.signature for trial in plan.trials} - set(done)
        if not missing:
            return None
        self._throughput |= piloted(plan, done, self._throughput, device_of(self._execution))
        if prepared is None:
            configs = cache_configs(plan, missing)
        else:
            configs = cache_configs(prepared, {trial.signature for trial in prepared.trials})
        passes = _cache_work(configs, self._study.cache_dir)
        pass_seconds = self._timed_passes(configs) if passes else ()
        return price(plan, done, self._throughput, self._execution, passes, pass_seconds)

    def seconds_of(self, config: CellConfig) -> float:
        """Of one trial, by the median of what `of` has used; 0 where nothing is known of its kind."""
        rates = self._throughput.get(kind_of(config), ())
        return median_seconds(config, rates) if rates else 0.0

    def _timed_passes(self, configs: Sequence[CellConfig]) -> Sequence[float]:
        """What a pass takes here where only finished trials are known, which do not tell it."""
        kinds = {kind_of(config) for config in configs}
        rates = [rate for kind in kinds for rate in self._throughput.get(kind, ())]
        if not rates or any(rate.pass_rate is not None for rate in rates):
            return ()
        if self._pass_seconds is None:
            self._pass_seconds = timed_passes(configs[0].domain, device_of(self._execution))
        return self._pass_seconds


def _cache_work(configs: Sequence[CellConfig], cache_dir: Path) -> int:
    """U-Net passes that the trajectory cache lacks; 0 where the domain's files are not here to tell."""
    from trainables.domains import DomainError
    from trainables.trajectories import preparation_work

    try:
        return preparation_work(configs, cache_dir)
    except DomainError:
        return 0
