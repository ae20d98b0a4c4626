"""A Ray cluster whose head has no CPUs and whose machines, processes here, come when they are asked for."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

REPOSITORY = Path(__file__).parents[2]
MISSING = [name for name in ("unshare", "ip") if shutil.which(name) is None]
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(bool(MISSING), reason=f"{', '.join(MISSING)} not installed (util-linux, iproute2)"),
    pytest.mark.skipif(os.geteuid() != 0, reason="a network and processes of its own need root"),
    pytest.mark.skipif(
        "ASYRP_AUTOSCALING" not in os.environ,
        reason="takes minutes, and a machine to itself; ASYRP_AUTOSCALING=1 runs it",
    ),
    pytest.mark.timeout(600),
]
SPACE = """
question: Does the width matter?
family: command
baseline:
  command: "{python} train.py {width} {seed} {folder}"
  settings: {width: 1}
  metrics: {accuracy: higher is better}
axes: {width: {path: settings.width, values: [1, 2]}}
seeds: 1
primary: {metric: accuracy, margin: 0.1}
"""
TRAIN = """
import json, pathlib, sys, time
width, seed, folder = sys.argv[1:]
pathlib.Path(f"at_work_{width}").touch()
end = time.monotonic() + 240
while len(list(pathlib.Path().glob("at_work_*"))) < 2:  # The other one, on the other machine.
    assert time.monotonic() < end, "one at a time"
    time.sleep(0.1)
with open(f"{folder}/metrics.json", "w") as file:
    json.dump({"accuracy": int(width) / 2}, file)
"""
PROGRAM = """
set -e
ip link set lo up
ray start --head --num-cpus 0 --port 6379 --node-ip-address 127.0.0.1 --temp-dir "$1" --min-worker-port 0 \\
  --max-worker-port 0 --object-store-memory 100000000 --autoscaling-config cluster.json --include-dashboard false >&2
python -m orchestrator.cli run widths.yaml --address 127.0.0.1:6379 --concurrency 2 --wait 5m --yes
"""
"""The provider of these machines looks for the head at port 6379."""
HEAD = "ray.head.default"
"""As that provider calls it."""


def cluster_of(node: dict[str, Any], most: int) -> dict[str, Any]:
    """Ray's cluster file for its provider of fake machines; every key that its wheel has no defaults for."""
    lists = [
        f"{who}_{what}" for who in ("head", "worker") for what in ("setup_commands", "start_ray_commands")
    ]
    lists += [
        "initialization_commands",
        "setup_commands",
        "cluster_synced_files",
        "rsync_exclude",
        "rsync_filter",
    ]
    return {
        "cluster_name": "fake",
        "max_workers": most,
        "upscaling_speed": 1.0,
        "idle_timeout_minutes": 1,
        "provider": {
            "type": "fake_multinode",
            "use_node_id_as_ip": True,
            "disable_launch_config_check": True,
            "disable_node_updaters": True,
        },
        "auth": {"ssh_user": "ray"},
        "docker": {},
        "file_mounts": {},
        "file_mounts_sync_continuously": False,
        **{name: [] for name in lists},
        "head_node_type": HEAD,
        "available_node_types": {
            HEAD: {"resources": {"CPU": 0}, "node_config": {}, "max_workers": 0},
            "worker": {"resources": node, "node_config": {}, "min_workers": 0, "max_workers": most},
        },
    }


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """Where the launch is given, and a short one for the sockets of Ray."""
    (tmp_path / "widths.yaml").write_text(SPACE)
    (tmp_path / "train.py").write_text(TRAIN)
    node = {"CPU": 1, "object_store_memory": 100_000_000}
    (tmp_path / "cluster.json").write_text(json.dumps(cluster_of(node, most=2)))
    yield tmp_path
    shutil.rmtree(f"/tmp/as{os.getpid()}", ignore_errors=True)


def test_a_launch_waits_for_machines_and_gets_as_many_as_it_can_use(folder: Path) -> None:
    environment = {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "PYTHONPATH": str(REPOSITORY),
        "HOME": str(folder),
        "COLUMNS": "200",
        "RAY_AUTH_MODE": "disabled",
        "RAY_FAKE_CLUSTER": "1",
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_worker_niceness": "0",  # else workers wait for everybody else on a busy machine
        "AUTOSCALER_UPDATE_INTERVAL_S": "1",
    }
    alone = ["unshare", "--net", "--pid", "--fork", "--kill-child", "--mount-proc", "bash", "-c", PROGRAM]

    done = subprocess.run(
        [*alone, "test", f"/tmp/as{os.getpid()}"],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=580,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert "price: unknown: a launch tells it" in done.stdout
    assert re.search(r"\n  \d at a time on \d x .*: unknown\n", done.stdout)  # Of the machines that came.
    assert "at most 0 CPUs and 0 GPUs yet; waiting for one, 5 min at most" in done.stdout
    assert "[2/2]" in done.stdout
