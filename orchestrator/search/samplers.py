"""Optuna's samplers and pruners, from a space's own words."""

import hashlib
import json

import optuna

from orchestrator.space.designs.optuna import Config as SearchConfig


def sampler_of(search: SearchConfig, number: int) -> optuna.samplers.BaseSampler:
    """The sampler that proposes trial `number`, seeded by it: a search that was killed and goes on proposes what it
    would have proposed."""
    text = json.dumps([search.seed, number])
    seed = int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big")
    startup = search.startup_trials
    if search.sampler == "tpe":
        return optuna.samplers.TPESampler(n_startup_trials=startup, multivariate=True, group=True, seed=seed)
    if search.sampler == "cmaes":
        return optuna.samplers.CmaEsSampler(
            n_startup_trials=startup, seed=seed, warn_independent_sampling=False
        )
    if search.sampler == "gp":
        return optuna.samplers.GPSampler(
            n_startup_trials=startup,
            seed=seed,
            deterministic_objective=False,
            warn_independent_sampling=False,
        )
    return optuna.samplers.RandomSampler(seed=seed)


def pruner_of(search: SearchConfig) -> optuna.pruners.BasePruner:
    """The pruner that the space asks for, or one that stops nothing."""
    pruning = search.pruning
    if search.pruner == "median":
        return optuna.pruners.MedianPruner(
            n_startup_trials=pruning.startup_trials, n_warmup_steps=pruning.min_epochs
        )
    if search.pruner == "successive_halving":
        return optuna.pruners.SuccessiveHalvingPruner(
            min_resource=pruning.min_epochs, reduction_factor=pruning.reduction_factor
        )
    return optuna.pruners.NopPruner()
