"""What of this machine a launch may use: CPUs, GPUs and memory, which may all be less than what is built in."""

import math
import os
from collections.abc import Iterator
from pathlib import Path

_SCHEDULERS = {
    "SLURM_JOB_ID": "SLURM_CPUS_ON_NODE",
    "PBS_JOBID": "NCPUS",
    "LSB_JOBID": "LSB_DJOB_NUMPROC",
    "PE_HOSTFILE": "NSLOTS",  # Grid Engine
}
"""Variable that says a job of a scheduler runs -> the one that says how many CPUs it was given."""

_MAX_BYTES = 2**60
"""More than this is version 1's way to say that there is no limit."""


def usable_cores() -> int:
    """How many CPUs this process may use: the least that its affinity, its control group and its scheduler allow.

    A quota of 2.5 CPUs counts as 2, one of 0.5 as 1.
    """
    return max(1, math.floor(min(core_limits().values())))


def core_limits() -> dict[str, float]:
    """What bounds the number of CPUs, in words -> how many it leaves."""
    limits = {"the machine": float(os.cpu_count() or 1)}
    if hasattr(os, "sched_getaffinity"):
        limits["the process's affinity (taskset)"] = float(len(os.sched_getaffinity(0)))
    quotas = [quota for folder in _control_groups("cpu") if (quota := _cpu_quota(folder)) is not None]
    if quotas:
        limits["the CPU quota of its control group"] = min(quotas)
    for job, variable in _SCHEDULERS.items():
        is_step = "SLURM_STEP_ID" in os.environ and "SLURM_CPUS_PER_TASK" in os.environ
        name = "SLURM_CPUS_PER_TASK" if job == "SLURM_JOB_ID" and is_step else variable
        if job in os.environ and os.environ.get(name, "").isdecimal():
            limits[f"the scheduler ({name})"] = float(os.environ[name])
    return limits


def usable_gpus() -> int:
    """How many GPUs torch can use; CUDA_VISIBLE_DEVICES may hide others."""
    import torch

    return torch.cuda.device_count()


def usable_bytes() -> int:
    """How much memory this process may use: what is built in, or less where its control group says so."""
    limits = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")]
    for folder in _control_groups("memory"):
        for name in ("memory.max", "memory.limit_in_bytes"):
            limits += [int(number) for number in _numbers(folder / name) if 0 < number < _MAX_BYTES]
    return min(limits)


def _control_groups(controller: str, root: Path = Path("/sys/fs/cgroup")) -> Iterator[Path]:
    """Folders of the control groups that this process is in, of versions 1 and 2, innermost first.

    Inside a container the path may be the host's, of which only the top is there.
    """
    try:
        lines = Path("/proc/self/cgroup").read_text(encoding="utf-8").splitlines()
    except OSError:  # not Linux
        return
    for line in lines:
        _, controllers, inside = line.split(":", 2)
        if controllers and controller not in controllers.split(","):
            continue
        top = root / controller if controllers else root
        own = top / inside.lstrip("/")
        yield from (folder for folder in (own, *own.parents) if folder == top or top in folder.parents)


def _cpu_quota(folder: Path) -> float | None:
    """CPUs that a control group allows; None where it sets no limit."""
    pair = _numbers(folder / "cpu.max") or [
        *_numbers(folder / "cpu.cfs_quota_us"),
        *_numbers(folder / "cpu.cfs_period_us"),
    ]
    return pair[0] / pair[1] if len(pair) == 2 and pair[0] > 0 and pair[1] > 0 else None


def _numbers(file: Path) -> list[float]:
    """The numbers in a file of a control group; none where there is no file, or where it says `max`."""
    try:
        return [float(word) for word in file.read_text(encoding="utf-8").split() if word != "max"]
    except (OSError, ValueError):
        return []
