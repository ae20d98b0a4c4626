"""Trials on a real GPU; skipped where there is none."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from orchestrator.execution.queue import TrialQueue
from orchestrator.execution.ray.backend import RayBackend, RayOptions
from orchestrator.execution.tasks import TrialTask, WorkerSettings

Make = Callable[..., TrialTask]
Settings = Callable[..., WorkerSettings]
FAKE_TRIALS = Path(__file__).with_name("fake_trials.py")

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="this machine has no GPU"),
]


def test_trials_share_a_gpu_and_one_that_exhausts_it_fails_alone(
    ray_cluster: str, observer: Any, make_task: Make, make_settings: Settings
) -> None:
    """On worker processes that are used again: the memory of a failed trial must not be missing to the next."""
    tasks = [make_task(f"seed {seed}", seed) for seed in range(5)]
    queue, settings = TrialQueue(tasks), make_settings("HungryTrial", gpus_per_trial=0.5)

    with RayBackend(settings, RayOptions(ray_cluster, extra_modules=(FAKE_TRIALS,))) as backend:
        backend.run(queue, observer)

    assert observer.statuses == {f"seed {seed}": "failed" if seed == 1 else "done" for seed in range(5)}
    [failed] = [record for record in observer.records if record["status"] == "failed"]
    assert failed["reason"].startswith("out of GPU memory: CUDA out of memory")
    assert {record["device"] for record in observer.records} == {"cuda"}
    assert {record["provenance"]["device"] for record in observer.records} == {torch.cuda.get_device_name()}
