"""A launch uses what it may use, not what the machine has."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from orchestrator.execution import machine
from orchestrator.execution.machine import core_limits, usable_bytes, usable_cores
from orchestrator.space.execution import ExecutionConfig
from orchestrator.study.price.pricing import parallel_trials

Groups = Callable[..., None]


@pytest.fixture(autouse=True)
def big_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """64 CPUs, no scheduler, no control group with limits."""
    monkeypatch.setattr(os, "cpu_count", lambda: 64)
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(64)), raising=False)
    monkeypatch.setattr(machine, "_control_groups", lambda controller: iter(()))
    for name in ("SLURM_JOB_ID", "SLURM_STEP_ID", "PBS_JOBID", "LSB_JOBID", "PE_HOSTFILE"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Groups:
    """Put this process into a control group and its parent, with these files."""

    def make(inner: dict[str, str], outer: dict[str, str]) -> None:
        folders = [tmp_path / "outer" / "inner", tmp_path / "outer"]
        folders[0].mkdir(parents=True)
        for folder, files in zip(folders, (inner, outer), strict=True):
            for name, content in files.items():
                (folder / name).write_text(content)
        monkeypatch.setattr(machine, "_control_groups", lambda controller: iter(folders))

    return make


def test_alone_on_a_machine_all_its_cpus_count() -> None:
    assert usable_cores() == 64


def test_taskset_bounds_the_cpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {3, 5}, raising=False)

    assert usable_cores() == 2
    assert parallel_trials(ExecutionConfig()) == 2
    assert parallel_trials(ExecutionConfig(cpus_per_trial=2)) == 1


@pytest.mark.parametrize(
    ("quota", "cores"),
    [("max 100000", 64), ("400000 100000", 4), ("250000 100000", 2), ("50000 100000", 1), ("", 64)],
)
def test_a_quota_of_cpu_time_counts_in_whole_cpus(groups: Groups, quota: str, cores: int) -> None:
    groups({"cpu.max": quota}, {"cpu.max": "max 100000"})

    assert usable_cores() == cores


def test_the_quota_of_a_parent_group_counts_too(groups: Groups) -> None:
    groups({"cpu.max": "max 100000"}, {"cpu.max": "300000 100000"})

    assert usable_cores() == 3


@pytest.mark.parametrize(("quota", "cores"), [("-1", 64), ("200000", 2)])
def test_control_groups_of_version_1_are_read(groups: Groups, quota: str, cores: int) -> None:
    groups({"cpu.cfs_quota_us": quota, "cpu.cfs_period_us": "100000"}, {})

    assert usable_cores() == cores


@pytest.mark.parametrize(
    ("variables", "cores"),
    [
        ({"SLURM_JOB_ID": "7", "SLURM_CPUS_ON_NODE": "8"}, 8),
        ({"SLURM_JOB_ID": "7", "SLURM_CPUS_ON_NODE": "8", "SLURM_CPUS_PER_TASK": "2"}, 8),
        (
            {
                "SLURM_JOB_ID": "7",
                "SLURM_STEP_ID": "0",
                "SLURM_CPUS_ON_NODE": "8",
                "SLURM_CPUS_PER_TASK": "2",
            },
            2,
        ),
        ({"SLURM_CPUS_ON_NODE": "8"}, 64),
        ({"SLURM_JOB_ID": "7", "SLURM_CPUS_ON_NODE": "many"}, 64),
        ({"PBS_JOBID": "7", "NCPUS": "4"}, 4),
        ({"NCPUS": "4"}, 64),
    ],
)
def test_the_allocation_of_a_scheduler_bounds_the_cpus(
    variables: dict[str, str], cores: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)

    assert usable_cores() == cores


def test_what_bounds_the_cpus_is_named(groups: Groups) -> None:
    groups({"cpu.max": "150000 100000"}, {})

    assert min(core_limits().items(), key=lambda limit: limit[1]) == (
        "the CPU quota of its control group",
        1.5,
    )


@pytest.mark.parametrize("name", ["memory.max", "memory.limit_in_bytes"])
def test_a_limit_on_memory_counts(groups: Groups, name: str) -> None:
    built_in = usable_bytes()
    groups({name: "1000000"}, {name: "9223372036854771712"})

    assert usable_bytes() == 1_000_000 < built_in


def test_trials_that_share_gpus_are_as_many_as_gpus_and_cpus_allow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("orchestrator.study.price.pricing.usable_gpus", lambda: 4)

    assert parallel_trials(ExecutionConfig(gpus_per_trial=0.5)) == 8
    assert parallel_trials(ExecutionConfig(gpus_per_trial=2)) == 2
    assert parallel_trials(ExecutionConfig(gpus_per_trial=0.5, cpus_per_trial=32)) == 2
