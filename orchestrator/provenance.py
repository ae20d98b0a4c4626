"""Where and with what a trial ran. Recorded beside the numbers, never part of a trial's identity."""

import functools
import os
import platform
import subprocess
from importlib import metadata
from pathlib import Path
from typing import Any

PACKAGES = ("asyrp-sweep", "torch", "diffusers", "open_clip_torch", "numpy", "safetensors", "ray", "optuna")


@functools.cache
def versions() -> dict[str, str]:
    """Versions of Python and of the packages whose change could move a number."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found


def host() -> str:
    """The name of the machine this process runs on."""
    return platform.node()


def git_commit() -> str | None:
    """The commit of the checkout this package is in, with `-dirty` when it differs; None outside one."""
    here = Path(__file__).resolve().parent
    try:
        commit = _git(here, "rev-parse", "HEAD")
        return commit + ("-dirty" if _git(here, "status", "--porcelain", "--", ".") else "")
    except (OSError, subprocess.SubprocessError):
        return None


def provenance(commit: str | None, device: str, threads: int) -> dict[str, Any]:
    """The complete entry of one trial, JSON-able."""
    return {
        "git_commit": commit,
        "versions": versions(),
        "host": host(),
        "process": os.getpid(),
        "device": device,
        "threads": threads,
        "machine": f"{platform.system()} {platform.machine()}",
    }


def _git(folder: Path, *arguments: str) -> str:
    command = ["git", "-C", str(folder), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.strip()
