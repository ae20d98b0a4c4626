"""A real Slurm of two nodes on this machine, a folder and S3: submitted, cancelled half-way, submitted again."""

import os
import platform
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pandas as pd
import pytest
from object_server import BUCKET, needs_server

from orchestrator.cli import parser as cli
from orchestrator.ledger.copies import reading_copy
from orchestrator.ledger.objects import is_url
from orchestrator.submission.record import submissions

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "unshare")
MISSING = [name for name in PROGRAMS if shutil.which(name) is None]
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(bool(MISSING), reason=f"{', '.join(MISSING)} not installed (slurm-wlm, munge)"),
    pytest.mark.skipif(os.geteuid() != 0, reason="the daemons of Slurm need root here"),
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
seeds: 2
primary: {metric: accuracy, margin: 0.1}
"""
TRAIN = """
import json, os, sys, time
width, seed, folder = sys.argv[1:]
while width == "2" and not os.path.exists("{go}"):
    time.sleep(0.1)
time.sleep(1)
with open(folder + "/metrics.json", "w") as file:
    json.dump(dict(accuracy=int(width) / (2 + int(seed))), file)
"""
"""Trials of width 2 wait for a file: a study that is cancelled before it is there is never over."""
CONFIG = """
ClusterName=test
SlurmctldHost={host}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
SlurmUser=root
SlurmdUser=root
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/%n
SlurmctldPidFile={folder}/ctl.pid
SlurmdPidFile={folder}/%n.pid
SlurmctldLogFile={folder}/ctl.log
SlurmdLogFile={folder}/%n.log
SlurmctldPort={ports[0]}
ProctrackType=proctrack/pgid
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
ReturnToService=2
NodeName=n0 NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[1]} CPUs=1
NodeName=n1 NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[2]} CPUs=1
PartitionName=main Nodes=n0,n1 Default=YES MaxTime=60 State=UP
"""
DAEMONS = """
munged --foreground --force --key-file {folder}/key --socket {folder}/munge.socket --pid-file {folder}/munge.pid \\
  --log-file {folder}/munge.log --seed-file {folder}/seed &
until [ -S {folder}/munge.socket ]; do sleep 0.1; done
slurmctld -D & slurmd -D -N n0 & slurmd -D -N n1 & wait
"""


@pytest.fixture
def slurm(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Daemons in a process space of their own, which takes all that they started with it."""
    folder = Path("/tmp") / f"slurm{os.getpid()}"  # sockets need a short path
    (folder / "state").mkdir(parents=True)
    sockets = [socket.socket() for _ in range(3)]
    for one in sockets:
        one.bind(("", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    (folder / "key").write_bytes(os.urandom(128))
    (folder / "key").chmod(0o600)
    config = folder / "slurm.conf"
    config.write_text(CONFIG.format(host=platform.node().split(".")[0], folder=folder, ports=ports))
    monkeypatch.setenv("SLURM_CONF", str(config))
    command = ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc", "bash", "-c"]
    with (folder / "daemons.log").open("wb") as log:
        daemons = subprocess.Popen([*command, DAEMONS.format(folder=folder)], stdout=log, stderr=log)
        try:
            until(lambda: output("sinfo", "--noheader", "--format=%T") == "idle")
            yield
        finally:
            daemons.kill()
            daemons.wait()
            shutil.rmtree(folder, ignore_errors=True)


def output(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()


def until(is_so: Callable[[], bool], seconds: float = 240) -> None:
    """Wait. Raises TimeoutError."""
    end = time.monotonic() + seconds
    while not is_so():
        if time.monotonic() > end:
            raise TimeoutError
        time.sleep(0.5)


def rows(results: str) -> pd.DataFrame:
    """What the study's finished trials measured, by trial."""
    root = Path(results)
    if is_url(results):
        reading_copy(results).refresh("widths")
        root = reading_copy(results).root
    files = root.glob("widths/ledger/trials/*.parquet")
    found = [pd.read_parquet(file) for file in files]
    if not found:
        return pd.DataFrame()
    trials = pd.concat(found)
    return trials[trials["status"] == "done"].set_index("signature").sort_index()


@needs_server
@pytest.mark.usefixtures("server", "slurm")
@pytest.mark.parametrize(
    ("results", "machines"),
    [
        ("results", ["--nodes", "2"]),
        (f"s3://{BUCKET}/results", ["--nodes", "2"]),
        (f"s3://{BUCKET}/results", ["--shards", "2"]),
    ],
)
def test_a_study_that_was_cancelled_half_way_and_submitted_again_is_the_undisturbed_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, results: str, machines: list[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
    Path("widths.yaml").write_text(SPACE)
    go = tmp_path / "go"
    Path("train.py").write_text(TRAIN.format(go=go))
    of_study = ["widths", "--results", results]
    submit = ["submit", "widths.yaml", "--on", "slurm", "--results", results, "--time", "20m", *machines]

    assert cli.main([*submit, "--nodes", "3"]) == 2
    assert cli.main(submit) == 0
    until(lambda: len(rows(results)) >= 1)
    assert cli.main(submit) == 2
    assert cli.main(["cancel", *of_study]) == 0
    until(lambda: output("squeue", "--noheader") == "")
    num_done = len(rows(results))
    go.touch()
    assert cli.main(submit) == 0
    until(lambda: output("squeue", "--noheader") == "")

    assert cli.main(["run", "widths.yaml", "--inline", "--no-price", "--results", "undisturbed"]) == 0
    expected = rows("undisturbed")
    assert 1 <= num_done < len(expected) == 4
    assert rows(results)["metric_accuracy"].equals(expected["metric_accuracy"])
    if not is_url(results):
        assert len(submissions(Path("results/widths"))) == 2
        kept = {path.suffix for path in Path("results/widths/submissions").iterdir()}
        assert kept == {".sh", ".json", ".log"}
