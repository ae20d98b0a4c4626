"""Ray as the other modules use it: the only one that imports it, after the settings that it reads meanwhile."""

import importlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

# Ray reads these while it is imported.
os.environ.update(
    {
        "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "1",  # else a trial that asks for no GPU sees them all
        "RAY_CHDIR_TO_TRIAL_DIR": "0",
        "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",  # no result files: our callback is the only record
        "TUNE_DISABLE_SIGINT_HANDLER": "1",
        "TUNE_GLOBAL_CHECKPOINT_S": "1000000",  # Tune's own state is never used
        "TUNE_PRINT_ALL_TRIAL_ERRORS": "0",
        "RAY_AIR_NEW_OUTPUT": "0",
        "RAY_TRAIN_ENABLE_V2_MIGRATION_WARNINGS": "0",
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_worker_niceness": "0",  # else workers have niceness 15, and crawl beside any other work
        # Inside a job of Ray's whose runtime environment names what ours does, ours counts, and the two merge.
        "RAY_OVERRIDE_JOB_RUNTIME_ENV": "1",
        # Ray prints these on the driver even when told to log nothing there; our notes say it shorter.
        "RAY_DEDUP_LOGS_SKIP_REGEX": "A worker died or was killed|killed due to memory pressure"
        "|Raylet is terminated|has been marked dead because",
    }
)

import ray
from ray import tune
from ray.air.execution.resources.placement_group import PlacementGroupResourceManager
from ray.air.execution.resources.request import ResourceRequest
from ray.autoscaler.sdk import request_resources
from ray.tune.registry import _global_registry
from ray.tune.schedulers import FIFOScheduler
from ray.tune.search import Searcher
from ray.util.placement_group import placement_group

__all__ = [
    "FIFOScheduler",
    "PlacementGroupResourceManager",
    "ResourceRequest",
    "Searcher",
    "forget_authentication",
    "placement_group",
    "ray",
    "registry_remembered",
    "request_resources",
    "tune",
]


def forget_authentication() -> None:
    """Let Ray read again from the environment whether clusters want a token, and which."""
    raylet: Any = importlib.import_module("ray._raylet")  # what `ray` itself offers resets neither
    raylet.Config.initialize("")
    raylet.AuthenticationTokenLoader.instance().reset_cache()


@contextmanager
def registry_remembered() -> Iterator[None]:
    """Within, Tune asks Ray's head once for each trainable; it asks five times for every trial."""
    registry: Any = _global_registry
    ask, ask_whether = registry.get, registry.contains
    known: dict[tuple[str, str], Any] = {}

    def get(category: str, key: str) -> Any:
        if (category, key) not in known:
            known[category, key] = ask(category, key)
        return known[category, key]

    registry.get = get
    registry.contains = lambda category, key: (category, key) in known or ask_whether(category, key)
    try:
        yield
    finally:
        del registry.get, registry.contains
