"""Kills drivers, workers and nodes of a Ray cluster at random, and compares what is left with an undisturbed run.

    python benchmarks/random_kills.py [--kills 200] [--kills-per-study 10] [--seed 1]

A study of warm-started chains (24 trials of three epochs that take 0.2 s each and compute nothing) runs through the
real command on a cluster of three nodes. At random moments one of four things is killed with SIGKILL: the driver,
one worker, one node with all that runs on it, or driver and node at once. The command is then given again, as a user
would, until it ends by itself. After each study the script compares records, curves and editors with those of an
undisturbed run, looks for files that should be gone, and stops at the first difference.
"""

import argparse
import contextlib
import importlib
import os
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import psutil

REPOSITORY = Path(__file__).resolve().parents[1]
LAUNCH = REPOSITORY / "tests" / "orchestrator" / "launch.py"
PATIENCE_SECONDS = 300.0
POLL_SECONDS = 0.05
MOMENTS = (0.2, 8.0)
"""Between two kills pass so many seconds, evenly distributed; a launch takes about 4 until its first trial, more on a
busy machine. A worker is waited for."""
CAUSES = ("driver", "worker", "node", "driver and node")

SPACE = """
question: Does a head start help?
baseline:
  domain: avatars
  attribute: zombie
  editor: {kind: conv}
  training: {epochs: 3}
axes:
  start:
    values:
      scratch: {}
      warm: {init: {from: {attribute: goblin}, epoch: 2}}
seeds: 6
primary: {metric: loss_total, margin: 0.1}
execution: {max_retries: 100}
"""
NUM_TRIALS = 24
PASSING = {"started_at", "finished_at", "wall_seconds", "train_seconds", "provenance", "attempt", "notes"}
"""What may differ between two runs that give the same results."""


class Launch:
    """The command on one results folder, in a process of its own."""

    def __init__(self, results: Path, space: Path, *options: str) -> None:
        self._command = [sys.executable, str(LAUNCH), "SlowTrial", "run", str(space)]
        self._command += ["--results", str(results), *options]
        self._log = results.parent / "launches.log"
        self.process = self._started()

    def _started(self) -> subprocess.Popen[bytes]:
        environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "PYTHONWARNINGS": "ignore"}
        with self._log.open("ab") as log:
            return subprocess.Popen(
                self._command, env=environment, stdout=log, stderr=log, start_new_session=True
            )

    def kill(self) -> None:
        """As the kernel does when memory runs out."""
        self.process.kill()
        self.process.wait()

    def again(self) -> None:
        """The same command once more."""
        self.process = self._started()

    def output(self) -> str:
        """What all launches printed."""
        return self._log.read_text(errors="replace")


def content(results: Path) -> dict[str, Any]:
    """Everything that a study leaves but when, where and at which attempt."""
    from orchestrator.ledger import Ledger

    ledger = Ledger(results / "chain" / "ledger")
    records = [
        {name: value for name, value in record.items() if name not in PASSING} for record in ledger.records()
    ]
    curves = ledger.table("curves").drop_columns(["attempt"]).to_pylist()
    editors = results / "chain" / "editors"
    return {
        "records": sorted(records, key=lambda record: str(record["signature"])),
        "curves": sorted(curves, key=lambda row: (row["signature"], row["epoch"])),
        "editors": {path.name: path.read_bytes() for path in sorted(editors.iterdir()) if path.is_file()},
        "damaged": ledger.damaged,
    }


def left_over(results: Path) -> list[str]:
    """Files that no finished study should have: temporary ones and checkpoints."""
    study = results / "chain"
    temporary = [path for path in study.rglob("*") if path.name.startswith(".writing") or ".tmp" in path.name]
    return [str(path.relative_to(study)) for path in [*temporary, *study.glob("checkpoints/*/epoch-*")]]


def trial_workers() -> list[psutil.Process]:
    """Processes that run trials on this script's own cluster; its nodes are children of this process."""
    found = []
    for process in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            title = " ".join(process.cmdline())
            if "ray::" in title and "TuneTrial" in title:
                found.append(process)
    return found


def add_node(cluster: Any) -> None:
    """A machine more, with a folder of its own.

    Ray's nodes on one machine unpack the code of a launch into one folder by default: one that is killed meanwhile
    would leave the others with half of our modules.
    """
    cluster.add_node(num_cpus=1, temp_dir=tempfile.mkdtemp())


def kill_one(cause: str, launch: Launch, cluster: Any, moments: random.Random) -> bool:
    """Kill something, a worker once there is one; False where there was nothing of the kind."""
    if "node" in cause:
        node = moments.choice(sorted(cluster.worker_nodes, key=lambda node: node.unique_id))
        cluster.remove_node(node, allow_graceful=False)
        add_node(cluster)
    if "driver" in cause:
        if launch.process.poll() is not None:
            return False
        launch.kill()
        launch.again()
    if cause == "worker":
        # Most of a launch is its start: a kill that hit only what is there would hardly ever hit a trial.
        while not (workers := trial_workers()):
            if launch.process.poll() is not None:
                return False
            time.sleep(POLL_SECONDS)
        with contextlib.suppress(psutil.NoSuchProcess):
            moments.choice(workers).kill()
    return True


def killed_study(
    folder: Path, cluster: Any, num_kills: int, moments: random.Random, killed: Counter[str]
) -> dict[str, Any]:
    """Run the study with so many kills on the way, then to its end; what it left."""
    results = fresh(folder)
    launch = Launch(results, folder / "chain.yaml", "--address", cluster.address)
    wanted = killed.total() + num_kills
    while killed.total() < wanted and launch.process.poll() is None:
        with contextlib.suppress(subprocess.TimeoutExpired):
            launch.process.wait(moments.uniform(*MOMENTS))
        cause = moments.choice(CAUSES)
        if launch.process.poll() is None and kill_one(cause, launch, cluster, moments):
            killed[cause] += 1
    for _ in range(5):  # A launch that ended with failed trials is given again, too.
        if launch.process.wait(PATIENCE_SECONDS) == 0:
            break
        launch.again()
    assert launch.process.returncode == 0, launch.output()
    if left := left_over(results):
        raise AssertionError(f"left over: {left}\n{launch.output()}")
    return content(results)


def fresh(folder: Path) -> Path:
    """An empty results folder beside the space file."""
    (folder / "results" / "cache").mkdir(parents=True)
    (folder / "chain.yaml").write_text(SPACE)
    return folder / "results"


def first_difference(found: dict[str, Any], wanted: dict[str, Any]) -> str:
    """Where two studies differ; empty where they do not."""
    for name, rows in wanted.items():
        if found[name] != rows:
            return f"{name}: found {found[name]!r:.2000}\nexpected {rows!r:.2000}"
    return ""


def main() -> int:
    """Kill, compare, count."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--kills-per-study", type=int, default=10)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    importlib.import_module("orchestrator.execution.ray.backend")  # sets what Ray reads when it is imported
    from ray.cluster_utils import Cluster

    moments, killed, began = random.Random(options.seed), Counter[str](), time.monotonic()
    with tempfile.TemporaryDirectory() as scratch:
        tempfile.tempdir = scratch  # The nodes' folders go with it.
        undisturbed = fresh(Path(scratch) / "undisturbed")
        launch = Launch(undisturbed, undisturbed.parent / "chain.yaml", "--inline")
        assert launch.process.wait(PATIENCE_SECONDS) == 0, launch.output()
        wanted = content(undisturbed)
        assert len(wanted["records"]) == NUM_TRIALS

        cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
        for _ in range(2):
            add_node(cluster)
        number = 0
        while killed.total() < options.kills:
            number += 1
            num_kills = min(options.kills_per_study, options.kills - killed.total())
            folder = Path(scratch) / str(number)
            found = killed_study(folder, cluster, num_kills, moments, killed)
            if difference := first_difference(found, wanted):
                print(f"study {number} differs from an undisturbed run: {difference}")
                return 1
            print(
                f"study {number}: {dict(killed)} killed so far, {time.monotonic() - began:.0f} s; "
                "same as an undisturbed run",
                flush=True,
            )
        cluster.shutdown()
    print(
        f"{killed.total()} kills ({dict(killed)}) in {number} studies: every one ends as an undisturbed run does"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
