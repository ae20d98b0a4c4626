"""What can go wrong with a Ray cluster: a node that goes, another version, a process that uses it already."""

import subprocess
import sys
import tempfile
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import ray

from orchestrator.execution.contract import BackendError
from orchestrator.execution.queue import TrialQueue
from orchestrator.execution.ray.backend import RayBackend, RayOptions
from orchestrator.execution.tasks import TrialTask, WorkerSettings

FAKE_TRIALS = Path(__file__).with_name("fake_trials.py")
PATIENCE_SECONDS = 240.0

Make = Callable[..., TrialTask]
Settings = Callable[..., WorkerSettings]
AddNode = Callable[[int], Any]


@pytest.fixture
def add_node(ray_nodes: Any) -> Iterator[AddNode]:
    """Adds a machine of so many CPUs to the shared cluster, for one test.

    Its folder is its own, as on a real machine. By default Ray's nodes on one machine unpack the code of a launch into
    one folder: a node that is killed while it does so would leave the others with half of our modules.
    """
    with tempfile.TemporaryDirectory(
        dir="/tmp", ignore_cleanup_errors=True
    ) as folder:  # short: sockets lie there
        nodes = []

        def add(num_cpus: int) -> Any:
            nodes.append(ray_nodes.add_node(num_cpus=num_cpus, temp_dir=f"{folder}/{len(nodes)}"))
            return nodes[-1]

        yield add
        for node in set(nodes) & ray_nodes.worker_nodes:
            ray_nodes.remove_node(node)


def wait_until(condition: Callable[[], bool]) -> None:
    """Wait for the cluster to get somewhere; after a while go on, for the test to say what is missing."""
    for _ in range(int(PATIENCE_SECONDS / 0.05)):
        if condition():
            return
        threading.Event().wait(0.05)


def test_trials_of_a_node_that_goes_move_to_another_one_and_children_follow(
    ray_nodes: Any,
    add_node: AddNode,
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
    node = add_node(1)

    def remove_the_node() -> None:
        wait_until(lambda: len(list(settings.cache_dir.glob("blocked-*"))) == 3)
        ray_nodes.remove_node(node, allow_graceful=False)
        # A worker outlives its node for a moment, and could finish.
        wait_until(lambda: bool(observer.notes and observer.lost_machines))
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
    assert len(observer.lost_machines) == 1
    for seed in (2, 3, 4):
        own = [seed * 1000, seed * 1000 + 1]
        assert weights(settings.study_folder, f"parent{seed}") == own
        assert weights(settings.study_folder, f"child{seed}") == own + own


@pytest.mark.slow
def test_a_node_where_workers_keep_dying_is_not_asked_again(
    ray_nodes: Any, add_node: AddNode, make_task: Make, make_settings: Settings, observer: Any
) -> None:
    """Two trials stand on two CPUs; a third has the other node to itself, where every worker dies."""
    settings = make_settings("DeadlyMachineTrial", max_retries=2)
    node = add_node(1)
    settings.cache_dir.mkdir(parents=True, exist_ok=True)
    (settings.cache_dir / "deadly").write_text(node.node_id)
    places: list[Any] = []

    def look() -> None:
        wait_until(lambda: bool(observer.avoided_machines))
        threading.Event().wait(1)  # Room that was asked for there would be given at once.
        places.extend(
            place for place in ray.util.placement_group_table().values() if place["state"] == "CREATED"
        )
        (settings.cache_dir / "go").touch()

    helper = threading.Thread(target=look)
    helper.start()
    options = RayOptions(ray_nodes.address, extra_modules=(FAKE_TRIALS,))
    with RayBackend(settings, options) as backend:
        backend.run(TrialQueue([make_task(f"trial{seed}", seed) for seed in range(2, 6)]), observer)
    helper.join()

    assert len(places) == 2
    assert node.node_id not in {id for place in places for id in place["bundles_to_node_id"].values()}
    assert list(observer.statuses.values()) == ["done"] * 4
    ((avoided,),) = observer.avoided_machines
    (note,) = [note for note in observer.notes if note.startswith("2 workers died on ")]
    assert avoided.split(" before ")[0] in note
    assert note.endswith(f"no worker is started there before {avoided.split()[-1]}")


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


def test_a_thread_that_frees_references_does_not_end_the_process_while_it_leaves_ray(
    ray_cluster: str, tmp_path: Path
) -> None:
    """A live log's thread may collect garbage at any moment, also that of Tune."""
    program = """
import gc, sys, threading, time
from pathlib import Path
from orchestrator.execution.ray.backend import RayBackend, RayOptions
from orchestrator.execution.ray.ready import ray
from orchestrator.execution.tasks import WorkerSettings

address, folder = sys.argv[1], Path(sys.argv[2])
with RayBackend(WorkerSettings(folder, folder, "none:None"), RayOptions(address)):
    cycles = [[ray.put(number)] for number in range(4000)]
    for cycle in cycles:
        cycle.append(cycle)
    gc.collect()

    def make_garbage():
        while ray.is_initialized():
            time.sleep(0.0001)
        gc.set_threshold(100, 1, 1)
        while cycles and hasattr(ray._private.worker.global_worker, "core_worker"):
            cycles.pop()
            [[] for _ in range(300)]
        gc.set_threshold(1000)

    thread = threading.Thread(target=make_garbage)
    thread.start()
thread.join()
print(gc.isenabled())
"""
    done = subprocess.run(
        [sys.executable, "-c", program, ray_cluster, str(tmp_path)], capture_output=True, text=True
    )

    assert done.returncode == 0, done.stderr
    assert done.stdout == "True\n"


def test_a_cluster_of_another_version_is_bad_input(
    ray_cluster: str, make_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ray, "__version__", "2.59.0")

    with pytest.raises(
        BackendError, match=r"(?s)Version mismatch.*This is Ray 2\.59\.0; the cluster must run the same"
    ):
        RayBackend(make_settings(), RayOptions(ray_cluster)).__enter__()

    assert not ray.is_initialized()


def test_a_launch_waits_for_a_machine_that_comes_later(
    ray_cluster: str, add_node: AddNode, make_settings: Settings
) -> None:
    notes: list[str] = []

    def add_a_node(line: str) -> None:
        notes.append(line)
        add_node(3)

    options = RayOptions(ray_cluster, note=add_a_node, wait_seconds=240)  # what --wait gives
    with RayBackend(make_settings(cpus_per_trial=3, wait_minutes=0), options):
        pass

    assert len(notes) == 1
    assert notes[0].startswith("a trial asks for 3 CPUs and 0 GPUs")
    assert notes[0].endswith("at most 2 CPUs and 0 GPUs yet; waiting for one, 4 min at most")


def test_a_launch_that_waits_in_vain_says_what_it_asked_for(
    ray_cluster: str, make_settings: Settings
) -> None:
    settings = make_settings(cpus_per_trial=64, wait_minutes=0.001)

    with pytest.raises(BackendError, match=r"asks for 64 CPUs.*at most 2 CPUs.*No trial was started"):
        RayBackend(settings, RayOptions(ray_cluster)).__enter__()

    assert not ray.is_initialized()


def test_the_address_for_jobs_is_told_from_the_clusters(
    make_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "http://127.0.0.1:8265")

    with pytest.raises(BackendError, match=r"RAY_ADDRESS.* is where jobs are submitted"):
        RayBackend(make_settings()).__enter__()
