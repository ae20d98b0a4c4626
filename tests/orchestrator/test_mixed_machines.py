"""Once a launch has joined a cluster, the price names each kind of machine, and rests on what is known of that kind."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from orchestrator.cli.parser import main
from orchestrator.execution.contract import JoinedCluster, MachineKind
from orchestrator.execution.provenance import machine_kind, this_kind
from orchestrator.execution.ray.backend import RayBackend, RayOptions
from orchestrator.execution.tasks import FamilyRef, WorkerSettings
from orchestrator.ledger import Ledger
from orchestrator.plan.build import build_plan
from orchestrator.plan.cells import Plan
from orchestrator.plan.loading import load_space
from orchestrator.space.execution import ExecutionConfig
from orchestrator.study.launch import Study, open_study
from orchestrator.study.price.pricing import Machines, price, price_lines
from orchestrator.study.price.quoting import Quote
from orchestrator.study.price.throughput import FEW_ERROR, Measured, Throughput
from orchestrator.study.runner import RunOptions
from trainables.errors import UserError
from trainables.settings import Settings

REPOSITORY = Path(__file__).parents[2]
EXECUTION = ExecutionConfig()
SPACE = """
question: Does the width matter?
family: ./model.py
baseline: {width: 4}
axes:
  width: {path: width, values: [4, 8]}
seeds: 2
primary: {metric: score, margin: 0.1}
"""
MODEL = """
import os, time
from trainables.family import Family
from trainables.settings import Settings

class Config(Settings):
    width: int = 4
    epochs: int = 4

def train(config, seed, report):
    assert config.width < 9, "too wide"
    for epoch in range(config.epochs):
        time.sleep(float(os.environ.get("PACE", "0")))
        report(epoch=epoch + 1, loss=1.0 / (epoch + config.width))
    return {"score": config.width + 0.01 * seed}

FAMILY = Family("mine", Config, train, metrics={"score": "higher is better"})
"""


@pytest.fixture
def study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Study:
    """Two cells of two seeds."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ASYRP_SWEEP_CACHE", str(tmp_path / "user"))
    (tmp_path / "model.py").write_text(MODEL)
    (tmp_path / "mine.yaml").write_text(SPACE)
    return open_study(load_space("mine.yaml"), tmp_path / "results")


def rates_of(plan: Plan, seconds: float) -> Throughput:
    """As if three trials of each kind had taken so long, half of it training."""
    work = {plan.family.kind(trial.config): plan.family.work(trial.config) for trial in plan.trials}
    return {
        kind: [Measured(seconds / 2 / one.train, seconds / 2 / one.other, 10)] * 3
        for kind, one in work.items()
    }


def test_trials_go_to_the_place_that_is_free_first_whatever_its_machine(study: Study) -> None:
    plan = study.plan
    fast, slow = (
        Machines(rates_of(plan, seconds), 1, name, 2) for name, seconds in (("Fast", 2.0), ("Slow", 9.0))
    )

    found = price(plan, (), [fast, slow], EXECUTION)
    limited = price(plan, (), [slow, fast], EXECUTION, most=1)

    assert found.seconds is not None
    assert limited.seconds is not None
    assert found.num_parallel == 2
    assert found.seconds.typical == pytest.approx(9)  # Three on the fast one meanwhile.
    assert found.device_hours == pytest.approx((3 * 2 + 9) / 3600)
    assert (limited.seconds.typical, limited.seconds.high) == (pytest.approx(8), pytest.approx(36))
    assert price_lines(found)[1:] == [
        "  1 at a time on 2 x Fast: 2 s (2 s to 2 s) a trial, by 6 finished trials there",
        "  1 at a time on 2 x Slow: 9 s (9 s to 9 s) a trial, by 6 finished trials there",
    ]


def test_kinds_alike_cost_what_one_machine_with_their_places_would(study: Study) -> None:
    rates = rates_of(study.plan, 3.0)
    work = {"conditions": 5.0}
    here = Machines(rates, 3, work=work, preparing=[{"conditions": 2.0}])

    whole = price(study.plan, (), [replace(here, num_parallel=1, name="Alike")] * 3, EXECUTION)

    alone = price(study.plan, (), [here], EXECUTION)
    assert whole.seconds is not None
    assert alone.seconds is not None
    assert whole.seconds.typical == pytest.approx(alone.seconds.typical)
    assert whole.preparation.high == pytest.approx(alone.preparation.high)
    assert whole.device_hours == pytest.approx(alone.device_hours)


def test_a_kind_of_which_nothing_is_known_leaves_the_price_unknown_and_the_others_told(study: Study) -> None:
    failures = dict.fromkeys(rates_of(study.plan, 1.0), "no room")
    known = Machines(rates_of(study.plan, 2.0), 1, "Fast")
    unknown = Machines({}, 2, "Odd", failures=failures)

    lines = price_lines(price(study.plan, (), [known, unknown], EXECUTION))

    assert lines == [
        "price: unknown: on Odd no trial has been measured there yet, and a pilot could not be timed: no room",
        "  1 at a time on 1 x Fast: 2 s (2 s to 2 s) a trial, by 6 finished trials there",
        "  2 at a time on 1 x Odd: unknown",
    ]


class Cluster:
    """Two kinds of machines in the place of a cluster's; counts pilots."""

    def __init__(self) -> None:
        self.kinds = [MachineKind("Fast", ("a",), 2), MachineKind("Slow", ("b", "c"), 2)]
        self.num_silent = 0
        self.timed: list[str] = []

    def pilot(self, kind: MachineKind, config: Settings) -> Mapping[str, Any]:
        self.timed.append(kind.name)
        return {"train": 1.0, "other": 1.0}


def test_records_of_a_kind_come_first_and_a_pilot_is_timed_once_on_each_other_kind(
    study: Study, tmp_path: Path, write_done: Callable[..., None]
) -> None:
    write_done(tmp_path / "results", study.plan, 8, 10, at="elsewhere", cpu="Slow")
    done = study.plan.trials[0].config
    alike = [trial for trial in study.plan.trials if trial.config == done]
    part = build_plan(study.space, num_seeds={trial.cell: 2 for trial in alike})
    others = {trial.signature for trial in part.trials if trial.config != done}
    cluster = Cluster()
    options = RunOptions(address="auto")

    first, second = (Quote(study, options, joined=cluster).of(study.plan, others) for _ in range(2))

    assert cluster.timed == ["Fast"]
    assert first is not None
    assert second is not None
    (fast, slow), (kept, _) = first.kinds, second.kinds
    assert (fast.num_pilots, slow.num_pilots, kept.num_kept) == (1, 0, 1)
    assert slow.per_trial.typical == pytest.approx(10)
    assert slow.per_trial.high == pytest.approx(10 * FEW_ERROR[1])
    assert first.num_parallel == 4


def test_a_kind_is_a_gpu_where_trials_use_one_and_a_cpu() -> None:
    hardware = {"cpu": "EPYC", "cpus": 8, "memory_bytes": 1}

    assert machine_kind({"device": "cpu", "hardware": hardware}) == "EPYC"
    assert machine_kind({"device": "NVIDIA H200", "hardware": hardware}) == "NVIDIA H200, EPYC"
    assert (
        machine_kind({"device": "cpu", "machine": "Linux aarch64", "hardware": {"cpu": None}})
        == "Linux aarch64"
    )
    assert machine_kind({"host": "old"}) == "unknown CPU"


def test_a_cluster_that_was_joined_is_told_with_its_kinds_and_times_pilots(
    ray_cluster: str, study: Study
) -> None:
    found: list[Any] = []
    family = study.space.family
    settings = WorkerSettings(study.folder, study.cache_dir, family=FamilyRef.of(family))
    config = study.plan.trials[0].config

    def look(joined: JoinedCluster) -> None:
        (kind,) = joined.kinds
        found.extend([joined.num_silent, kind.name, kind.num_parallel, joined.pilot(kind, config)])
        with pytest.raises(UserError, match="AssertionError: too wide"):
            joined.pilot(kind, config.model_copy(update={"width": 9}))
        raise UserError("too expensive")

    with pytest.raises(UserError, match="too expensive"):
        RayBackend(settings, RayOptions(ray_cluster, joined=look)).__enter__()

    assert found[:3] == [0, this_kind("cpu"), 2]
    assert family.timing(config, found[3]).rounds


def test_run_compares_its_limit_with_the_price_of_the_cluster_it_has_joined(
    ray_cluster: str, study: Study, capsys: pytest.CaptureFixture[str]
) -> None:
    code = main(["run", "mine.yaml", "--address", ray_cluster, "--max-cost", "1s"])

    told = capsys.readouterr()
    said = " ".join(told.out.split())
    assert code == 2
    assert f"pilot 1 of 2 on {this_kind('cpu')}: a few steps of" in said
    assert f"2 at a time on 1 x {this_kind('cpu')}: " in said
    assert "--max-cost 1s: the plan costs about" in told.err
    assert Ledger(study.ledger_folder).records() == []


PROGRAM = """
set -e
ip link set lo up
COMMON="--min-worker-port 0 --max-worker-port 0 --object-store-memory 100000000"
ray start --head --num-cpus 0 --port 6399 --node-ip-address 127.0.0.1 --temp-dir "$1" $COMMON --include-dashboard false
for ONE in Fast:0.2:2 Slow:2:1; do
  IFS=: read NAME PACE CPUS <<< "$ONE"
  sed "s/^model name.*/model name : $NAME/" /proc/cpuinfo >"$NAME"
  PACE=$PACE unshare --mount bash -c \
    "mount --bind $NAME /proc/cpuinfo && exec ray start --address 127.0.0.1:6399 --num-cpus $CPUS $COMMON"
done >&2
run() { python -m orchestrator.cli run mine.yaml --address 127.0.0.1:6399 --yes "$@" 2>&1 || echo "code $?"; }
run
run --seeds 6 --max-cost 2s
"""
"""A head without CPUs, and two machines, processes here, whose CPUs have other names and paces."""


@pytest.mark.slow
@pytest.mark.skipif(
    shutil.which("unshare") is None or shutil.which("ip") is None, reason="util-linux, iproute2"
)
@pytest.mark.skipif(
    "ASYRP_AUTOSCALING" not in os.environ, reason="takes two minutes; ASYRP_AUTOSCALING=1 runs it"
)
@pytest.mark.skipif(os.geteuid() != 0, reason="mounts and processes of its own need root")
@pytest.mark.timeout(300)
def test_on_two_kinds_of_machines_each_is_timed_then_known_by_its_trials(
    study: Study, tmp_path: Path
) -> None:
    environment = {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "PYTHONPATH": str(REPOSITORY),
        "HOME": str(tmp_path),
        "COLUMNS": "200",
        "RAY_AUTH_MODE": "disabled",
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_worker_niceness": "0",
    }
    alone = [
        "unshare",
        "--mount",
        "--net",
        "--pid",
        "--fork",
        "--kill-child",
        "--mount-proc",
        "bash",
        "-c",
        PROGRAM,
    ]
    sockets = f"/tmp/mixed{os.getpid()}"
    try:
        done = subprocess.run(
            [*alone, "test", sockets],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            timeout=280,
        )
    finally:
        shutil.rmtree(sockets, ignore_errors=True)

    first, second = done.stdout.split("mine: Does the width matter?")[1:]
    assert re.findall(r"pilot . of . on (\w+)", first) == ["Fast", "Fast", "Slow", "Slow"], (
        done.stdout + done.stderr
    )
    assert "3 at a time" in first
    assert re.search(r"  2 at a time on 1 x Fast: .* a trial, by 2 pilots of a few steps there\n", first)
    slow = re.search(r"  1 at a time on 1 x Slow: (\d+) s .* a trial, by 2 pilots", first)
    assert slow is not None
    assert 8 <= int(slow[1]) <= 10
    assert "[4/4]" in first
    assert "finished trial" in second
    assert re.search(
        r"--max-cost 2s: the plan costs about .*; .*\n1 problem. No trial was started.\n", second
    )
    assert second.endswith("code 2\n")
