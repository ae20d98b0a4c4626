"""What can go wrong with a Ray cluster: a node that goes, another version, a process that uses it already."""

import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import ray

from orchestrator.backend import BackendError, TrialTask, WorkerSettings
from orchestrator.ray_backend import RayBackend, RayOptions
from orchestrator.trial_queue import TrialQueue

FAKE_TRIALS = Path(__file__).with_name("fake_trials.py")
PATIENCE_SECONDS = 240.0

Make = Callable[..., TrialTask]
Settings = Callable[..., WorkerSettings]


def wait_until(condition: Callable[[], bool]) -> None:
    """Wait for the cluster to get somewhere; after a while go on, for the test to say what is missing."""
    for _ in range(int(PATIENCE_SECONDS / 0.05)):
        if condition():
            return
        threading.Event().wait(0.05)


def test_trials_of_a_node_that_goes_move_to_another_one_and_children_follow(
    ray_nodes: Any,
    make_task: Make,
    make_settings: Settings,
    observer: Any,
    weights: Callable[[Path, str], list[int]],
) -> None:
    """Three trials stand on three CPUs, one of them on the node that is removed; each has a child."""
    settings = make_settings("BlockedTrial", max_retries=2)
    tasks = [make_task(f"parent{seed}", seed) for seed in (2, 3, 4)]
    tasks += [make_task(f"child{seed}", seed, parent=f"parent{seed}") for seed in (2, 3, 4)]
    for number, task in enumerate(tasks[:3]):  # so that their witnesses have different names
        task.config["training"]["optimizer"] = {"learning_rate": 0.1 + number}
    queue = TrialQueue(tasks)
    node = ray_nodes.add_node(num_cpus=1)

    def remove_the_node() -> None:
        wait_until(lambda: len(list(settings.cache_dir.glob("blocked-*"))) == 3)
        ray_nodes.remove_node(node, allow_graceful=False)
        wait_until(lambda: bool(observer.notes))  # A worker outlives its node for a moment, and could finish.
        (settings.cache_dir / "go").touch()

    helper = threading.Thread(target=remove_the_node)
    helper.start()
    with RayBackend(settings, RayOptions(ray_nodes.address, extra_modules=(FAKE_TRIALS,))) as backend:
        backend.run(queue, observer)
    helper.join()

    assert queue.is_finished
    assert Counter(record["signature"] for record in observer.records) == Counter(list(queue.tasks))
    assert set(observer.statuses.values()) == {"done"}
    assert any("goes on from its last checkpoint in another one" in note for note in observer.notes)
    for seed in (2, 3, 4):
        own = [seed * 1000, seed * 1000 + 1]
        assert weights(settings.study_folder, f"parent{seed}") == own
        assert weights(settings.study_folder, f"child{seed}") == own + own


def test_a_process_that_uses_ray_already_keeps_its_connection(
    ray_cluster: str, make_settings: Settings
) -> None:
    ray.init(address=ray_cluster, log_to_driver=False)
    try:
        with pytest.raises(BackendError, match="this process is already connected to Ray"):
            RayBackend(make_settings(), RayOptions(ray_cluster)).__enter__()

        assert ray.is_initialized()
    finally:
        ray.shutdown()


def test_a_cluster_of_another_version_is_bad_input(
    ray_cluster: str, make_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ray, "__version__", "2.59.0")

    with pytest.raises(
        BackendError, match=r"(?s)Version mismatch.*This is Ray 2\.59\.0; the cluster must run the same"
    ):
        RayBackend(make_settings(), RayOptions(ray_cluster)).__enter__()

    assert not ray.is_initialized()
