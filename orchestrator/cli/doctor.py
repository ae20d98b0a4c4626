"""What `doctor` looks at: whether this machine can run a study, and what to fix where it cannot.

It writes nothing but probes, which it removes.
"""

import argparse
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from orchestrator.cli.disk_probe import Finding, installed, object_store, storage
from orchestrator.execution.contract import BackendError, RayOptions
from orchestrator.execution.machine import core_limits, usable_bytes, usable_cores
from orchestrator.execution.provenance import git_commit, versions
from orchestrator.execution.ray.cluster import OBJECT_STORE_BYTES, SHARED_MEMORY, check_address
from orchestrator.execution.ray.scratch import ADVICE, MAX_LENGTH, candidates
from orchestrator.execution.tasks import WorkerSettings
from orchestrator.space.execution import ExecutionConfig
from orchestrator.space.units import size_of
from trainables.command_line import command_lines, resolved
from trainables.paths import home

BYTES_PER_TRIAL = 1_000_000_000
"""What a worker takes on the built-in domain, models loaded; the driver takes as much."""
COLOURS = {"ok": "green", "note": "yellow", "FIX": "red"}


def examine(options: argparse.Namespace) -> Iterator[Finding]:
    """Look at everything that a launch with these options needs, quickest first.

    Raises UserError where an option of a family asks for what is not there.
    """
    results: Path | str = options.results
    yield from map(installed, ("python", "torch", "ray"))
    yield _code()
    yield _processors()
    yield _memory()
    yield _gpu()
    yield _temporary_files()
    yield _shared_memory()
    yield _home()
    yield from [object_store(results)] if isinstance(results, str) else storage(results.absolute())
    yield from _surroundings()
    for line in command_lines().values():
        for check in line.checks:
            yield from resolved(check)()
        if line.doctor is not None:
            yield from resolved(line.doctor.look)(options)
    if options.address is not None:
        yield _cluster(options.address)


def doctor_command(options: argparse.Namespace, console: Console, command_line: str) -> int:
    """Print what was found and what to fix; 1 when there is anything that stops a launch, else 0."""
    table = Table(box=None, padding=(0, 2, 0, 0))
    for no_wrap in (True, True, False):
        table.add_column("", no_wrap=no_wrap)
    looked_at = list(examine(options))
    for finding in looked_at:
        table.add_row(Text(finding.level, COLOURS[finding.level]), finding.name, Text(finding.found))
    console.print(table)
    for finding in looked_at:
        if finding.advice and finding.level != "ok":
            console.print(Text(f"{finding.name}: {finding.advice}"))
    return 1 if any(finding.level == "FIX" for finding in looked_at) else 0


def _code() -> Finding:
    commit = git_commit()
    if commit is None:
        return Finding("code", "ok", "of no git repository that can be read: records name no commit")
    changed = ", changed since" if commit.endswith("-dirty") else ""
    return Finding("code", "ok", f"commit {commit.removesuffix('-dirty')[:12]}{changed}")


def _processors() -> Finding:
    cores, limits = usable_cores(), core_limits()
    bound = min(limits, key=lambda name: limits[name])
    built_in = limits["the machine"]
    fewer = f" of {built_in:g}: {bound} allows {limits[bound]:g}" if cores < built_in else ""
    return Finding("processors", "ok", f"{cores} CPUs{fewer}; as many trials at a time with 1 CPU each")


def _memory() -> Finding:
    found = usable_bytes()
    fitting = max(1, found // BYTES_PER_TRIAL - 1)
    if fitting >= usable_cores():
        return Finding("memory", "ok", size_of(found))
    advice = f"run with --cpus {fitting}, for a trial on the built-in domain takes {size_of(BYTES_PER_TRIAL)}"
    little = f"{size_of(found)}, little for {usable_cores()} trials at a time"
    return Finding("memory", "note", little, advice)


def _gpu() -> Finding:
    import torch

    if torch.cuda.is_available():
        names = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
        return Finding("GPU", "ok", ", ".join(names))
    hidden = os.environ.get("CUDA_VISIBLE_DEVICES")
    if torch.version.cuda is None:
        return Finding("GPU", "ok", "none: this torch is built for CPUs; the built-in domain needs no more")
    if hidden is not None and Path("/dev/nvidiactl").exists():
        found = f"hidden by CUDA_VISIBLE_DEVICES={hidden!r}"
        return Finding("GPU", "note", found, "unset CUDA_VISIBLE_DEVICES to train on a GPU")
    return Finding("GPU", "ok", "none that torch can use; the built-in domain needs none")


def _temporary_files() -> Finding:
    problems: list[str] = []
    for folder, problem in candidates(MAX_LENGTH):
        if problem is None:
            found = f"in {folder}"
            with suppress(OSError):  # Only where nothing is in it: a launch makes it again.
                folder.rmdir()
            if not problems:
                return Finding("temporary files", "ok", found)
            advice = "nothing to do, unless another disk should hold them: then set TMPDIR"
            return Finding("temporary files", "note", f"{found}, as not in {'; '.join(problems)}", advice)
        problems.append(f"{folder.parent}: {problem}")
    return Finding("temporary files", "FIX", "; ".join(problems), ADVICE)


def _shared_memory() -> Finding:
    instead = ": Ray uses the temporary files' disk instead"
    if not os.access(SHARED_MEMORY, os.W_OK):
        return Finding("shared memory", "ok", f"no {SHARED_MEMORY}{instead}")
    found = os.statvfs(SHARED_MEMORY)
    free = found.f_bavail * found.f_frsize
    instead = "" if free >= OBJECT_STORE_BYTES else instead
    return Finding("shared memory", "ok", f"{size_of(free)} free in {SHARED_MEMORY}{instead}")


def _home() -> Finding:
    folder = home()
    if os.access(folder, os.W_OK):
        return Finding("home", "ok", str(folder))
    advice = "set HOME to a folder of yours, or caches are made again by every launch"
    return Finding("home", "note", f"{folder} cannot be written", advice)


def _surroundings() -> Iterator[Finding]:
    """Variables that change where trials run."""
    if address := os.environ.get("RAY_ADDRESS"):
        advice = "unset RAY_ADDRESS to use this machine alone"
        try:
            check_address(address, versions().get("ray", ""))
            yield Finding("RAY_ADDRESS", "note", f"launches join the cluster at {address}", advice)
        except BackendError as error:
            yield Finding("RAY_ADDRESS", "FIX", address, str(error))
    if "RAY_JOB_CONFIG_JSON_ENV_VAR" in os.environ:
        advice = "give spaces, domains and --results as absolute paths that every node sees"
        found = "our code takes the place of the job's working_dir on workers"
        yield Finding("Ray job", "note", found, advice)


def _cluster(address: str) -> Finding:
    from orchestrator.execution.ray.backend import RayBackend

    settings = WorkerSettings(Path(), Path(), execution=ExecutionConfig(wait_minutes=0))
    try:
        with RayBackend(settings, RayOptions(address)) as backend:
            return Finding("Ray cluster", "ok", backend.describe())
    except BackendError as error:
        return Finding("Ray cluster", "FIX", f"{address}: not usable", str(error))
