"""A real Slurm of two nodes on this machine, a folder and S3: cancelled half-way, nodes killed, time over."""

import contextlib
import os
import platform
import shutil
import signal
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

REPOSITORY = Path(__file__).parents[2]
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
SlurmdTimeout=15
NodeName=n0 NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[1]} CPUs=1
NodeName=n1 NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[2]} CPUs=1
PartitionName=main Nodes=n0,n1 Default=YES MaxTime=60 State=UP
"""
_SLURMD = [b"slurmd", b"-D", b"-N"]
DAEMONS = """
munged --foreground --force --key-file {folder}/key --socket {folder}/munge.socket --pid-file {folder}/munge.pid \\
  --log-file {folder}/munge.log --seed-file {folder}/seed &
until [ -S {folder}/munge.socket ]; do sleep 0.1; done
node() {{ while true; do slurmd -D -N "$1"; sleep 60; done; }}
slurmctld -D & node n0 & node n1 & wait
"""
"""A node that is killed comes back after a while, as a machine that starts again does."""


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


def table(results: str, name: str) -> pd.DataFrame:
    """A table of the study's ledger."""
    root = Path(results)
    if is_url(results):
        reading_copy(results).refresh("widths")
        root = reading_copy(results).root
    found = [pd.read_parquet(file) for file in root.glob(f"widths/ledger/{name}/*.parquet")]
    return pd.concat(found) if found else pd.DataFrame({"signature": [], "status": []})


def rows(results: str) -> pd.DataFrame:
    """What the study's finished trials measured, by trial."""
    trials = table(results, "trials")
    return trials[trials["status"] == "done"].set_index("signature").sort_index()


def kill_node(name: str) -> None:
    """End, as losing the machine would, a node's slurmd and all that it runs."""
    ours = f"SLURM_CONF={os.environ['SLURM_CONF']}".encode()
    on_it, commands = {}, []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # One may end between two looks.
            environment = (folder / "environ").read_bytes().split(b"\0")
            command = (folder / "cmdline").read_bytes().split(b"\0")
            if ours in environment and (
                f"SLURMD_NODENAME={name}".encode() in environment or command[:4] == [*_SLURMD, name.encode()]
            ):
                on_it[int(folder.name)] = folder
                commands.append(command)
    assert any(command[:1] == [b"slurmd"] for command in commands)
    for folder in [*on_it.values()]:
        with contextlib.suppress(OSError):
            parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            if b"slurmstepd" in Path(f"/proc/{parent}/cmdline").read_bytes():
                on_it[parent] = Path(f"/proc/{parent}")
    for process in on_it:
        with contextlib.suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)


@needs_server
@pytest.mark.usefixtures("server", "slurm")
@pytest.mark.parametrize(
    ("results", "machines"),
    [
        ("results", ["--nodes", "2"]),
        (f"s3://{BUCKET}/results", ["--shards", "2"]),
    ],
)
def test_a_study_that_was_cancelled_half_way_and_submitted_again_is_the_undisturbed_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, results: str, machines: list[str]
) -> None:
    earlier = {*Path("/tmp").glob("r[0-9]*")}  # of jobs that were killed
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", str(REPOSITORY))
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
    until(lambda: {*Path("/tmp").glob("r[0-9]*")} <= earlier, 60)  # Ray's folders of both nodes
    if not is_url(results):
        assert len(submissions(Path("results/widths"))) == 2
        kept = {path.suffix for path in Path("results/widths/submissions").iterdir()}
        assert kept == {".sh", ".json", ".log"}


DIGITS = """
question: Does the width matter?
family: command
baseline:
  command: "{python} digits.py --out {folder} --seed {seed} --epochs {epochs} --width {width} --dropout 0.2"
  settings: {epochs: 12, width: 64}
  metrics: {accuracy: higher is better}
  items_file: items.csv
  keep: {model: weights.pt}
  resume: true
axes: {width: {path: settings.width, values: [64, 16]}}
seeds: 6
primary: {metric: accuracy, margin: 0.1}
"""
KEYS = {
    "trials": ["signature"],
    "curves": ["signature", "epoch"],
    "evaluations": ["signature", "image_id"],
}
"""What tells the rows of a table apart: two rows with the same would be a trial that ran twice."""
_OVER = "The launch ended because SIGUSR1 came"
DIFFERENT = {
    "attempt",
    "metric_train_seconds",
    "started_at",
    "finished_at",
    "wall_seconds",
    "train_seconds",
    "provenance",
    "notes",
}
"""Columns that say when, where and how often a trial was begun."""


@needs_server
@pytest.mark.usefixtures("server", "slurm")
@pytest.mark.skipif(
    "ASYRP_SLURM_LOSSES" not in os.environ,
    reason="takes ten minutes, and a machine to itself; ASYRP_SLURM_LOSSES=1 runs it",
)
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("results", ["results", f"s3://{BUCKET}/results"])
def test_a_study_whose_nodes_were_lost_and_whose_time_was_over_is_the_undisturbed_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, results: str
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", str(REPOSITORY))
    Path("widths.yaml").write_text(DIGITS)
    script = (REPOSITORY / "trainables" / "command" / "digits.py").read_text()
    epoch = "        network.train()\n"
    assert script.count(epoch) == 1
    Path("digits.py").write_text(script.replace(epoch, f"        __import__('time').sleep(0.7)\n{epoch}"))
    told: list[str] = []

    def has_happened(count: int) -> bool:
        """Whether so many trials are done; what the job says of itself meanwhile is kept."""
        state = output("squeue", "--noheader", "--format=%T %r")
        if told[-1:] != [state]:
            told.append(state)
            print(f"{time.monotonic() - began:.0f} s: {state}; {len(rows(results))} done", flush=True)
        return len(rows(results)) >= count or state == ""

    began = time.monotonic()
    submit = ["submit", "widths.yaml", "--on", "slurm", "--results", results, "--time", "2m", "--nodes", "2"]
    assert cli.main(submit) == 0
    until(lambda: has_happened(2), 600)
    print(f"{time.monotonic() - began:.0f} s: n1 is killed", flush=True)
    kill_node("n1")
    (log,) = tmp_path.rglob("*submissions/001.log")
    until(lambda: "price: about" in log.read_text().partition(_OVER)[2], 600)
    time.sleep(8)  # Trials are at work, and Slurm has time to notice before that of the job is over.
    print(f"{time.monotonic() - began:.0f} s: n0, with the launch, is killed", flush=True)
    kill_node("n0")
    until(lambda: has_happened(13), 1200)
    if len(rows(results)) < 12:  # On a slow machine it had not: the job counted as over.
        print("submitted again", flush=True)
        assert cli.main(submit) == 0
        until(lambda: has_happened(13), 1200)

    assert cli.main(["run", "widths.yaml", "--inline", "--no-price", "--results", "undisturbed"]) == 0
    assert "has left the cluster; what ran on it goes on elsewhere" in log.read_text()
    assert "state-dump" not in log.read_text()
    for name in ("trials", "curves", "evaluations"):
        one, other = (table(where, name) for where in (results, "undisturbed"))
        assert not one.duplicated(KEYS[name]).any()
        same = [column for column in one.columns if column not in DIFFERENT]
        ordered = [each[same].sort_values([*KEYS[name]]).reset_index(drop=True) for each in (one, other)]
        pd.testing.assert_frame_equal(*ordered, check_exact=True)
