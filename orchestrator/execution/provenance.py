"""Where and with what a trial ran. Recorded beside the numbers, never part of a trial's identity."""

import functools
import os
import platform
import re
import subprocess
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

from orchestrator.execution.machine import usable_bytes, usable_cores

CODE = ("asyrp_sweep", "orchestrator", "trainables", "search_spaces", "analysis")
"""Folders beside each other that decide what a trial does and what is made of it."""
GIT_SECONDS = 10.0
PACKAGES = ("asyrp-sweep", "torch", "numpy", "pillow", "safetensors", "ray", "optuna")


@functools.cache
def versions(of_family: tuple[str, ...] = ()) -> dict[str, str]:
    """Versions of Python and of the packages whose change could move a number, those of a family too."""
    found = {"python": platform.python_version()}
    for package in (*PACKAGES, *of_family):
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found


def host() -> str:
    """The name of the machine this process runs on."""
    return platform.node()


def git_commit() -> str | None:
    """The commit that holds the code which is running, with `-dirty` where any of our packages differs from it.

    None where that is unknown: no git, a repository that only surrounds an installed copy, or one that git refuses.
    """
    here = Path(__file__).resolve()
    top = here.parents[2]
    try:
        _git(
            top, "ls-files", "--error-unmatch", "--", str(here)
        )  # fails where it is not this code's repository
        status = _git(top, "status", "--porcelain=v2", "--branch", "--", *CODE).splitlines()
    except (OSError, subprocess.SubprocessError):
        return None
    commit = next((line.split()[-1] for line in status if line.startswith("# branch.oid ")), "(initial)")
    if commit == "(initial)":
        return None
    return commit + ("-dirty" if any(not line.startswith("#") for line in status) else "")


def provenance(
    commit: str | None,
    device: str,
    threads: int,
    packages: tuple[str, ...] = (),
    allotted: Mapping[str, float] | None = None,
    float32: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """The complete entry of one trial, JSON-able; `packages` are those of its family.

    `allotted` is what the trial was given of its machine, such as {"cpus": 1, "gpus": 0.5}; None where it had all.
    `float32` is how it was computed, such as {"convolutions": "tf32", "products": "ieee"}; records of before lack it.
    """
    return {
        "git_commit": commit,
        "versions": versions(packages),
        "host": host(),
        "process": os.getpid(),
        "device": device,
        "threads": threads,
        "float32": None if float32 is None else dict(float32),
        "machine": _system(),
        "hardware": {**hardware(), "allotted": None if allotted is None else dict(allotted)},
    }


def machine_kind(entry: Mapping[str, Any]) -> str:
    """In words, what the machine of such an entry was: its GPU, where the trial had one, and its CPU.

    Trials take alike where it is the same. Memory and the number of CPUs are not part of it: they decide how many
    trials run at once, and follow a job's allocation. Entries of before `hardware` was recorded name no kind of CPU.
    """
    cpu = (entry.get("hardware") or {}).get("cpu") or entry.get("machine") or "unknown CPU"
    device = entry.get("device") or "cpu"
    return str(cpu) if device == "cpu" else f"{device}, {cpu}"


@functools.cache
def hardware() -> dict[str, Any]:
    """What this machine has: kind and number of its CPUs, as far as this process may use them, and bytes of memory."""
    return {"cpu": _cpu_name(), "cpus": usable_cores(), "memory_bytes": usable_bytes()}


def this_kind(device: str) -> str:
    """The kind of this machine, for trials on a device that records name so."""
    return machine_kind({"device": device, "machine": _system(), "hardware": hardware()})


def _system() -> str:
    return f"{platform.system()} {platform.machine()}"


def _cpu_name() -> str | None:
    """As Linux names it; None where it has no name for it, and elsewhere."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    found = re.search(r"^model name\s*:\s*(.+)$", text, re.MULTILINE)
    return None if found is None else found[1].strip()


def _git(folder: Path, *arguments: str) -> str:
    command = ["git", "--no-optional-locks", "-C", str(folder), *arguments]
    # Where git itself runs us, as in a hook, GIT_DIR and others name the repository of that command.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    done = subprocess.run(
        command, capture_output=True, text=True, check=True, timeout=GIT_SECONDS, env=environment
    )
    return done.stdout
